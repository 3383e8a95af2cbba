"""Answers that are made of the right one: late, without an end, nonsense, or empty."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sandbox.server import SandboxServer
from sandbox.switches import Fault, FaultKind
from sandbox.tenant import Tenant
from tests.support.contract import ContractChecker

ALL = {"filter": [{"op": "gte", "field": "id", "value": 0}]}


@pytest.fixture
def tenant() -> Tenant:
    tenant = Tenant()
    tenant.add_company("Corner Bakery", id=1)
    tenant.add_company("Harbour", id=2)
    return tenant


@pytest.fixture
def api(tenant: Tenant) -> Iterator[httpx.Client]:
    checker = ContractChecker()
    with (
        SandboxServer(tenant, wrap=checker) as server,
        httpx.Client(base_url=server.api_url, headers=tenant.credentials, timeout=5) as client,
    ):
        yield client
    assert checker.violations == []


def pages(api: httpx.Client, most: int = 6) -> list[tuple[str, list[int]]]:
    """Follow the pages of all companies; give each one's address and ids."""
    found: list[tuple[str, list[int]]] = []
    url = "/v1.0/Companies/query"
    while url and len(found) < most:
        answer: dict[str, Any] = api.post(url, json=ALL).json()
        found.append((url, [item["id"] for item in answer["items"]]))
        url = answer["pageDetails"]["nextPageUrl"]
    return found


@pytest.mark.parametrize(
    ("kind", "addresses"), [("endless_same", 2), ("endless_cycle", 3), ("endless_new", 6)]
)
def test_pages_never_end(
    tenant: Tenant, api: httpx.Client, kind: FaultKind, addresses: int
) -> None:
    """One that names itself, two that name each other, or ever new ones with new records."""
    tenant.faults.add(Fault(kind, "POST", "Companies", times=None))
    found = pages(api)
    assert len(found) == 6
    assert len({url for url, _ in found}) == addresses
    ids = {tuple(ids) for _, ids in found}
    assert len(ids) == (6 if kind == "endless_new" else 1)
    tenant.faults.clear()
    assert [ids for _, ids in pages(api)] == [[1, 2]]


def test_nonsense_and_nothing(tenant: Tenant, api: httpx.Client) -> None:
    """JSON with a good status, of which nothing can be used."""
    tenant.faults.add(Fault("nonsense"), Fault("empty"))
    odd, none = (api.get("/v1.0/Tickets/entityInformation/fields") for _ in range(2))
    assert (odd.status_code, none.status_code) == (200, 200)
    assert odd.json()["fields"][0]["picklistValues"] == 7
    assert none.json()["fields"] == []


def test_a_slow_answer_is_the_right_one(tenant: Tenant, api: httpx.Client) -> None:
    """It holds a thread meanwhile."""
    tenant.faults.add(Fault("slow", seconds=0.3))
    began = time.monotonic()
    assert [ids for _, ids in pages(api)] == [[1, 2]]
    assert time.monotonic() - began >= 0.3
