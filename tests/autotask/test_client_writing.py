"""The HTTP client against the sandbox: what it writes, once, in time and in which form."""

from __future__ import annotations

import time
from math import inf
from types import SimpleNamespace

import httpx
import pytest

from app.autotask import calls
from app.autotask.client import PERMIT_SECONDS, Autotask
from app.autotask.errors import TooLate, Unanswered
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.support.clients import NIA, SECRETS, Door, answered_by

# --- writing -------------------------------------------------------------------------------------


async def test_a_contact_is_created_and_linked(
    autotask: Autotask, tenant: Tenant, people: Seed, door: Door
) -> None:
    """The ids that Autotask gave, each write once, below the parent's path."""
    ticket = tenant.new_ticket(people.alpine)
    contact_id = await autotask.create_contact(people.alpine, NIA, inf)
    link_id = await autotask.link_contact(ticket, contact_id, time.monotonic() + 5)

    assert tenant.contacts[contact_id]["emailAddress"] == NIA.email
    assert tenant.contacts[contact_id]["title"] == "via e-mail"
    assert tenant.links[link_id]["contactID"] == contact_id
    assert door.entered == ["Contacts", "TicketAdditionalContacts"]
    assert door.writes == 2
    assert autotask.asked_at <= time.monotonic()


@pytest.mark.parametrize("item_id", [None, 0, -1, True, "5", 5.0, [5]])
async def test_a_create_that_names_no_record_is_unanswered(item_id: object) -> None:
    """It may have taken effect: the caller has to look."""
    answer = httpx.Response(200, json={"itemId": item_id})
    async with answered_by(lambda _: answer) as autotask:
        with pytest.raises(Unanswered):
            await autotask.create_contact(1, NIA, inf)


async def test_what_goes_over_the_wire() -> None:
    """Three headers on every call, JSON with a length: a body in chunks is not for every proxy."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"itemId": 5, "item": None})

    async with answered_by(answer) as autotask:
        await autotask.create_contact(1, NIA, inf)
        await autotask.contact(1)
    for request in seen:
        assert request.headers["UserName"] == "user"
        assert (request.headers["Secret"], request.headers["ApiIntegrationCode"]) == SECRETS
        assert request.headers["Content-Type"] == "application/json"
    assert seen[0].headers["Content-Length"] == str(len(seen[0].content))
    assert "Transfer-Encoding" not in seen[0].headers
    assert seen[1].content == b""


@pytest.mark.parametrize("late", ["create", "link"])
async def test_a_write_whose_time_is_over_is_not_sent(
    autotask: Autotask, tenant: Tenant, people: Seed, door: Door, late: str
) -> None:
    """The reading that it was decided on is too old by now: Autotask never hears of it."""
    ticket = tenant.new_ticket(people.alpine)
    over = time.monotonic() - 0.001
    writes = {
        "create": lambda: autotask.create_contact(people.alpine, NIA, over),
        "link": lambda: autotask.link_contact(ticket, people.bruno, over),
    }
    with pytest.raises(TooLate):
        await writes[late]()

    assert tenant.calls == []
    assert tenant.linked_contacts(ticket) == []
    assert tenant.contacts_with(NIA.email) == []
    assert door.inside == 0
    await autotask.link_contact(ticket, people.bruno, time.monotonic() + 5)
    assert tenant.linked_contacts(ticket) == [people.bruno]


@pytest.mark.parametrize(("stopped", "sent"), [(PERMIT_SECONDS + 0.1, 0), (PERMIT_SECONDS, 1)])
async def test_a_process_that_was_stopped_before_sending_does_not_send(
    autotask: Autotask,
    tenant: Tenant,
    people: Seed,
    monkeypatch: pytest.MonkeyPatch,
    stopped: float,
    sent: int,
) -> None:
    """Stopped between permission and request: by now another has the slot and the lease."""
    await autotask.contact(people.ana)  # the connection stands
    tenant.forget_calls()
    times = iter([100.0, 100.0 + stopped])
    monkeypatch.setattr(calls, "time", SimpleNamespace(monotonic=lambda: next(times)))

    if sent:
        await autotask.create_contact(people.alpine, NIA, inf)
    else:
        with pytest.raises(TooLate):
            await autotask.create_contact(people.alpine, NIA, inf)
    assert len(tenant.calls) == len(tenant.contacts_with(NIA.email)) == sent
