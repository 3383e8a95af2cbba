"""A ticket that we know is changed or deleted: it is looked at again, once for many changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest

from app.cli.demo import serving
from app.db.states import Priority, Result
from app.db.tables import CalloutCount, Delivery, Due, Look, TicketRecord
from app.due.work import TICKET
from app.records import deliveries as delivery_records
from app.services import Services
from sandbox.callouts import encode_callout
from sandbox.outbox import Action
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.conftest import SECRET, work_until
from tests.support.clients import client_of
from tests.support.databases import plain
from tests.support.helpers import (
    due_of,
    look_at,
    mailbox_of,
    notes_on,
    outcomes,
    result_of,
    rows,
)
from tests.web.test_webhooks import FAIL_AT_COMMIT, post

NINA = "nina@radiology.example"
OTTO = "otto@radiology.example"
COMPLETE = 5
ALL: list[Action] = ["Create", "Update", "Delete"]
KNOWN = 4711

MakeServices = Callable[..., Any]


def update(**changes: Any) -> bytes:
    """Write what Autotask posts about a change of a ticket."""
    usual = {"Action": "Update", "Guid": "g", "EntityType": "Ticket", "Id": KNOWN, "Fields": {}}
    marks = {"EventTime": "2025-09-15T14:57:50Z", "SequenceNumber": 1}
    return encode_callout(usual | marks | changes)


async def remember(services: Services, result: Result = Result.DONE) -> None:
    """Know a ticket that nothing is to be done about any more."""
    async with services.sessions() as session, session.begin():
        session.add(TicketRecord(id=KNOWN, result=result))


async def counts(services: Services) -> dict[str, int]:
    """Give how many callouts of which kind nothing was done about."""
    return {row.kind: row.count for row in await rows(services, CalloutCount)}


# --- stored and answered -------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["Update", "Delete", "update"])
async def test_a_change_of_a_known_ticket_is_a_delivery_and_a_due_ticket(
    api: httpx.AsyncClient, services: Services, action: str
) -> None:
    """Committed with the 202, before other work, and without a result until it was looked at."""
    await remember(services)

    answer = await post(api, update(Action=action))

    assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    [delivery], due = await rows(services, Delivery), await due_of(services, KNOWN)
    assert (delivery.entity_id, delivery.action) == (KNOWN, action)
    assert (due.wanted, due.priority) == (1, Priority.LIVE)
    assert await result_of(services, KNOWN) is None
    assert await counts(services) == {}


@pytest.mark.parametrize(("settle", "delay"), [(0, 5), (3, 5), (60, 60)])
async def test_a_change_waits_for_those_that_come_with_it(
    make_services: MakeServices, settle: float, delay: float
) -> None:
    """Five seconds at least; as long as a new ticket where that is longer."""
    services = await make_services(settle_seconds=settle)
    await remember(services)
    async with client_of(services) as api:
        await post(api, update())
    due = await due_of(services, KNOWN)
    assert due.due_at
    assert due.due_at - due.since == timedelta(seconds=delay)


async def test_many_changes_make_one_look_and_none_puts_it_off(
    api: httpx.AsyncClient, services: Services
) -> None:
    """The first one says when."""
    await remember(services)
    await post(api, update())
    first = (await due_of(services, KNOWN)).due_at

    for number in range(2, 8):
        assert (await post(api, update(SequenceNumber=number))).json() == {"status": "accepted"}

    [due] = await rows(services, Due)
    assert (due.due_at, due.wanted) == (first, 7)


async def test_a_change_puts_off_no_look_that_is_due_sooner(
    api: httpx.AsyncClient, services: Services
) -> None:
    """Nor does the end of settling wait for it."""
    await post(api, update(Action="Create"))
    before = (await due_of(services, KNOWN)).due_at
    await post(api, update())
    assert (await due_of(services, KNOWN)).due_at == before


async def test_the_same_change_again_is_known(api: httpx.AsyncClient, services: Services) -> None:
    """Five at once: one is accepted, all are welcome, one look is due."""
    await remember(services)
    answers = await asyncio.gather(*(post(api, update()) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {202}
    words = sorted(answer.json()["status"] for answer in answers)
    assert words == ["accepted", "known", "known", "known", "known"]
    assert [due.wanted for due in await rows(services, Due)] == [1]


UNINTERESTING: dict[str, tuple[dict[str, Any], str]] = {
    "another ticket": ({"Id": KNOWN + 1}, "ticket.update"),
    "deleted": ({"Id": KNOWN + 1, "Action": "Delete"}, "ticket.delete"),
    "no id": ({"Id": None}, "ticket.update"),
    "no number": ({"Id": "seven", "Action": "Delete"}, "ticket.delete"),
    "a note": ({"EntityType": "TicketNote"}, "ticketnote.update"),
    "a company": ({"EntityType": "Account"}, "account.update"),
    "no idea": ({"Action": "Updated"}, "ticket.other"),
}


@pytest.mark.parametrize(("change", "kind"), UNINTERESTING.values(), ids=list(UNINTERESTING))
async def test_other_changes_are_welcome_and_only_counted(
    api: httpx.AsyncClient, services: Services, change: dict[str, Any], kind: str
) -> None:
    """Reconciliation finds the tickets that matter; an error would disable the webhook."""
    await remember(services)

    answer = await post(api, update(**change))

    assert (answer.status_code, answer.json()) == (202, {"status": "ignored"})
    assert await counts(services) == {kind: 1}
    assert (await rows(services, Delivery), await rows(services, Due)) == ([], [])
    assert await result_of(services, KNOWN) == Result.DONE


async def test_a_change_that_cannot_be_committed_is_never_answered_with_2xx(
    api: httpx.AsyncClient, services: Services, database_url: str
) -> None:
    """I1 holds for changes, too: neither the delivery is kept nor the ticket touched."""
    await remember(services)
    with psycopg.connect(plain(database_url), autocommit=True) as connection:
        connection.execute(FAIL_AT_COMMIT)

    assert (await post(api, update())).status_code >= 500

    assert (await rows(services, Delivery), await rows(services, Due)) == ([], [])
    assert await result_of(services, KNOWN) == Result.DONE


# --- from Autotask to the look -------------------------------------------------------------------


@pytest.fixture
async def told(
    make_services: MakeServices,
    server: SandboxServer,
    people: Seed,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Services]:
    """A process that hears of all that is done to tickets, its own doing included, at once."""
    monkeypatch.setattr(delivery_records, "UPDATE_SETTLE", timedelta(0))
    services: Services = await make_services(
        cc_sources=("udf:CC",), ticket_note="internal", ticket_note_publish=2, **mailbox_of(server)
    )
    async with serving(services) as url:
        hooks = f"{url}/webhooks/autotask"
        server.tenant.subscribe(hooks, f"{hooks}/deactivated", SECRET, actions=ALL)
        yield services


async def at_rest(services: Services, deliveries: int) -> bool:
    """Tell whether so many callouts came and nothing is left of them: no due ticket, no look."""
    if len(await rows(services, Delivery)) < deliveries:
        return False
    due = [one for one in await rows(services, Due) if one.kind == TICKET]
    return all(one.due_at is None and one.holder is None for one in due)


async def test_what_we_do_ourselves_comes_to_rest(
    told: Services, tenant: Tenant, people: Seed
) -> None:
    """Links and note are called out to us: each makes one more look at most, which does nothing."""
    assert tenant.switches.link_touches_ticket
    assert tenant.switches.note_touches_ticket
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, cc=f"{NINA}, {OTTO}")

    await work_until(told, lambda: at_rest(told, 4))

    created = ("outside", "created_and_linked")
    assert await outcomes(told, ticket) == {NINA: created, OTTO: created}
    assert len(tenant.linked_contacts(ticket)) == 2
    assert len(notes_on(tenant, ticket)) == 1
    looks = len(await rows(told, Look))
    assert 2 <= looks <= 4

    ends = time.monotonic() + 1  # it stays so
    await work_until(told, lambda: time.monotonic() > ends)
    actions = sorted(one.action for one in await rows(told, Delivery))
    assert actions == ["Create", "Update", "Update", "Update"]  # two links and a note
    assert await at_rest(told, 4)
    assert len(await rows(told, Look)) == looks


CHANGES: dict[str, tuple[Callable[[Tenant, int, Seed], Any], Result]] = {
    "completed": (lambda t, one, _: t.update_ticket(one, status=COMPLETE), Result.COMPLETE),
    "moved": (
        lambda t, one, people: t.update_ticket(one, companyID=people.msp, contactID=None),
        Result.PARKED,
    ),
    "reopened": (lambda t, one, _: t.update_ticket(one, status=1), Result.NO_LIST),
    "deleted": (lambda t, one, _: t.delete_ticket(one), Result.GONE),
}


@pytest.mark.parametrize(("change", "result"), CHANGES.values(), ids=list(CHANGES))
async def test_a_change_is_noticed(
    told: Services,
    tenant: Tenant,
    people: Seed,
    change: Callable[[Tenant, int, Seed], Any],
    result: Result,
) -> None:
    """A few seconds later, not at the next comparison, if that notices at all."""
    status = COMPLETE if result == Result.NO_LIST else 1
    ticket = tenant.new_ticket(people.alpine, callout=False, status=status)
    assert await look_at(told, ticket) not in (None, result)

    change(tenant, ticket, people)

    async def noticed() -> bool:
        return await result_of(told, ticket) == result

    await work_until(told, noticed)
    assert len(await rows(told, Delivery)) == 1
