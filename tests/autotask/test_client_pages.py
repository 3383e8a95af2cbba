"""Lists whose pages have no end: no answer, after few calls."""

from __future__ import annotations

import itertools

import httpx
import pytest

from app.autotask import client
from app.autotask.client import Autotask
from app.autotask.errors import Unanswered
from sandbox.seed import Seed
from sandbox.switches import Fault, FaultKind
from sandbox.tenant import Tenant
from tests.support.clients import answered_by

NEXT = "https://api.example/x/v1.0/Companies/query/next?paging="


@pytest.mark.parametrize(
    ("kind", "calls", "why"),
    [
        ("endless_same", 2, "lead back|repeat"),
        ("endless_cycle", 2, "lead back|repeat"),
        ("endless_new", 5, "more than 5 pages"),
    ],
)
async def test_pages_of_the_double_that_never_end(
    autotask: Autotask,
    tenant: Tenant,
    people: Seed,
    monkeypatch: pytest.MonkeyPatch,
    kind: FaultKind,
    calls: int,
    why: str,
) -> None:
    """One that names itself, two that name each other, and ever new ones."""
    monkeypatch.setattr(client, "_COMPANY_PAGES", 5)
    tenant.faults.add(Fault(kind, "POST", "Companies", times=None))
    with pytest.raises(Unanswered, match=why):
        await autotask.active_companies()
    assert tenant.count("POST", "Companies") <= calls
    tenant.faults.clear()
    assert len(await autotask.active_companies()) == 5


@pytest.mark.parametrize(
    ("tokens", "calls"),
    [("aa", 2), ("aba", 3), ("abca", 4), ("abcb", 4), ("aabb", 2)],
)
async def test_a_page_that_was_read_ends_the_reading(tokens: str, calls: int) -> None:
    """At once, wherever the way back leads; each page has a record of its own."""
    nexts, ids, asked = iter(tokens), itertools.count(1), []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        details = {"nextPageUrl": NEXT + next(nexts)}
        return httpx.Response(200, json={"items": [{"id": next(ids)}], "pageDetails": details})

    async with answered_by(answer) as autotask:
        with pytest.raises(Unanswered, match="lead back"):
            await autotask.active_companies()
    assert len(asked) == calls


async def test_the_first_page_can_be_the_one_that_comes_again() -> None:
    """A list of a parent's records is read with GET: its own address is a page, too."""
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(
            200, json={"items": [{"id": 1}], "pageDetails": {"nextPageUrl": str(request.url)}}
        )

    async with answered_by(answer) as autotask:
        with pytest.raises(Unanswered, match="lead back"):
            await autotask.notes(7)
    assert len(asked) == 1


async def test_pages_with_the_same_records_are_one_page() -> None:
    """Each has an address of its own."""
    tokens = itertools.count(1)

    def answer(_: httpx.Request) -> httpx.Response:
        details = {"nextPageUrl": f"{NEXT}{next(tokens)}"}
        return httpx.Response(200, json={"items": [{"id": 1}, {"id": 2}], "pageDetails": details})

    async with answered_by(answer) as autotask:
        with pytest.raises(Unanswered, match="repeat"):
            await autotask.active_companies()
    assert next(tokens) == 3


async def test_an_empty_page_in_between_is_read_past() -> None:
    """It repeats nothing, and the next one may have something."""
    pages = iter(
        [([{"id": 1}], "a"), ([], "b"), ([{"id": 2}], None)],
    )

    def answer(_: httpx.Request) -> httpx.Response:
        items, token = next(pages)
        details = {"nextPageUrl": token and NEXT + token}
        return httpx.Response(200, json={"items": items, "pageDetails": details})

    async with answered_by(answer) as autotask:
        assert [one.id for one in await autotask.active_companies()] == [1, 2]
