"""Moves: how they are noticed, who is left behind in the old account, who was removed by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, insert, update

from app.db.states import Chore, LedgerState, Result
from app.db.tables import Due, Ledger, LinkRecord, Participant, TicketRecord
from app.due import work
from app.ops import follow
from app.services import Services
from sandbox.calls import Call
from sandbox.model import COMPLETE
from sandbox.seed import VENDOR, Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import (
    let_absences_age,
    look_at,
    look_until_believed,
    outcomes,
    people_of,
    rows,
)
from tests.support.lifetimes import (
    NINA,
    contact,
    end,
    follow_up,
    is_due,
    ledger_of,
    look_at_all,
    say,
    seized,
    stands,
)

CARLA = "carla.mendes@alpine-dental.example"
LINKS = "AdditionalContacts"


# --- noticing ------------------------------------------------------------------------------------


async def known(services: Services, *ticket_ids: int) -> None:
    """Let us have people on tickets of Alpine's that were looked at."""
    people = {"key": NINA, "name": "", "position": 0, "account_id": 174}
    people |= {"decision": "hold", "reason": "outside", "outcome": "held"}
    async with services.sessions() as session, session.begin():
        for n in ticket_ids:
            of = {"ticket_id": n, "decided_at": func.now(), **people}
            await session.execute(
                insert(TicketRecord).values(id=n, account_id=174, result=Result.DONE)
            )
            await session.execute(insert(Due).values(kind=work.TICKET, ref=n, priority=10))
            await session.execute(insert(Participant).values(of))


async def test_a_thousand_tickets_are_two_calls(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Only those are due then that are complete, moved or gone; who is due anyway is not asked."""
    tickets = [tenant.new_ticket(people.alpine, callout=False) for _ in range(1001)]
    await known(services, *tickets)
    moved, over, gone, due, *_, last = tickets
    tenant.move_ticket(moved, people.harbour, callout=False)
    tenant.update_ticket(over, callout=False, status=COMPLETE)
    tenant.delete_ticket(gone, callout=False)
    tenant.move_ticket(last, people.msp, callout=False)
    async with services.sessions() as session, session.begin():
        await session.execute(update(Due).where(Due.ref == due).values(due_at=func.now()))
    for statuses in (1, 0):  # read once a day
        lease = await seized(services, Chore.FOLLOW)
        tenant.forget_calls()
        await follow.follow(services, lease)
        async with work.fenced(services.sessions, lease) as session:
            await work.finish(session, lease)
        asked = [call for call in tenant.calls if call.entity == "Tickets"]
        assert tenant.count("GET") == statuses
        wanted = [one for call in asked if call.body for one in call.body["filter"][0]["value"]]
        if statuses:
            assert (len(asked), len(tenant.calls)) == (3, 3)
            assert sorted(wanted) == [one for one in tickets if one != due]
            found = [one for one in tickets if await is_due(services, one)]
            assert found == [moved, over, gone, due, last]
        else:
            assert len(wanted) == len(tickets) - 5


# --- left behind ---------------------------------------------------------------------------------


async def unlinked(services: Services, tenant: Tenant, account_id: int, cc: str = NINA) -> int:
    """Make a ticket for which a contact is created that Autotask does not let us link."""
    no = Fault("error_500_errors", method="POST", path_contains=LINKS, text="No.", times=None)
    tenant.faults.add(no)
    ticket = tenant.new_ticket(account_id, cc=cc)
    while await look_at(services, ticket) is None:
        async with services.sessions() as session, session.begin():
            await session.execute(update(Participant).values(retry_at=None))
    assert await outcomes(services, ticket) == {NINA: ("outside", "created_not_linked")}
    tenant.faults.clear()
    return ticket


@pytest.mark.parametrize("to", ["harbour", "msp"])
@pytest.mark.parametrize("lifetime", [None, {"outside": "ticket"}])
async def test_who_was_created_in_vain_is_ended(
    services: Services, tenant: Tenant, people: Seed, lifetime: Any, to: str
) -> None:
    """At once, be contacts for good there or not; and brought back when the ticket is."""
    await say(services, lifetime=lifetime)
    ticket = await unlinked(services, tenant, people.alpine)
    [nina] = tenant.contacts_with(NINA)
    await end(services)
    assert stands(contact(tenant, nina["id"])) == (1, NINA)
    tenant.move_ticket(ticket, getattr(people, to))
    await follow_up(services)
    await end(services)
    assert stands(contact(tenant, nina["id"])) == (0, None)
    assert (await ledger_of(services, nina["id"])).end_why == "moved"
    tenant.move_ticket(ticket, people.alpine)
    await follow_up(services)
    for _ in range(20):
        if await look_at(services, ticket):
            break
    assert tenant.linked_contacts(ticket) == [nina["id"]]
    assert stands(contact(tenant, nina["id"])) == (1, NINA)
    assert len(tenant.contacts_with(NINA)) == 1


async def test_moved_before_the_first_look_was_over(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Between its create and its link, within one look: left behind all the same."""
    ticket = tenant.new_ticket(people.alpine, cc=NINA)

    def move(call: Call) -> None:
        if call.method == "POST" and LINKS in call.path:
            tenant.before_call = lambda _: None
            tenant.move_ticket(ticket, people.harbour)

    tenant.before_call = move
    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == {NINA: ("moved", "held")}
    [nina] = tenant.contacts_with(NINA)
    await end(services)
    assert stands(contact(tenant, nina["id"])) == (0, None)


async def test_who_is_on_another_ticket_by_then_stays(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Linked elsewhere before the move, and still there when that ticket is over, too."""
    first = await unlinked(services, tenant, people.alpine)
    [nina] = tenant.contacts_with(NINA)
    other = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, other)
    tenant.move_ticket(first, people.harbour)
    await follow_up(services)
    await end(services)
    assert tenant.linked_contacts(other) == [nina["id"]]
    tenant.update_ticket(other, status=COMPLETE)
    await follow_up(services)
    await end(services)
    assert stands(contact(tenant, nina["id"])) == (1, NINA)
    assert (await ledger_of(services, nina["id"])).end_why is None


async def test_who_is_linked_elsewhere_after_the_move_stays(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Before the chore came to it: it is not in vain any more."""
    first = await unlinked(services, tenant, people.alpine)
    [nina] = tenant.contacts_with(NINA)
    tenant.move_ticket(first, people.harbour)
    await follow_up(services)
    other = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, other)
    await end(services)
    assert tenant.linked_contacts(other) == [nina["id"]]
    tenant.update_ticket(other, status=COMPLETE)
    await follow_up(services)
    async with services.sessions() as session, session.begin():
        await session.execute(update(Ledger).values(end_at=None))
    await end(services)
    assert stands(contact(tenant, nina["id"])) == (1, NINA)


async def test_who_was_linked_once_stays(services: Services, tenant: Tenant, people: Seed) -> None:
    """Taken off by the move, but not created in vain: a contact for good."""
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, ticket)
    [nina] = tenant.contacts_with(NINA)
    for account in (people.harbour, people.msp, people.bakery):
        tenant.move_ticket(ticket, account)
        await follow_up(services)
        await end(services)
        assert tenant.linked_contacts(ticket) == []
        assert stands(contact(tenant, nina["id"])) == (1, NINA)


async def test_a_create_that_took_effect_late_is_ended_too(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed
) -> None:
    """Nobody looks for it in the old account any more but the chore."""
    services: Services = await make_services(create_settle=1)
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    await look_at(services, ticket)
    tenant.faults.add(
        Fault("late_commit", method="POST", path_contains=f"/{people.alpine}/", seconds=0.7)
    )
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, ticket) is None
    tenant.move_ticket(ticket, people.harbour)
    await look_at(services, ticket)
    await end(services)
    await asyncio.sleep(1.2)
    for _ in range(2):
        async with services.sessions() as session, session.begin():
            await session.execute(update(Ledger).values(end_at=None))
        await end(services)
    [nina] = [one for one in tenant.contacts.values() if one["firstName"] == "Nina"]
    assert stands(nina) == (0, None)
    assert (await ledger_of(services, nina["id"])).state == LedgerState.RETIRED


# --- removed by hand -----------------------------------------------------------------------------


@pytest.mark.parametrize("noticed", [True, False])
async def test_who_was_removed_by_hand_stays_removed(
    services: Services, tenant: Tenant, people: Seed, noticed: bool
) -> None:
    """In the new account, and back in the first; another one of ours was still there."""
    ticket = tenant.new_ticket(people.alpine, cc=f"{CARLA}, {VENDOR}, {NINA}")
    await look_at(services, ticket)
    for key in (VENDOR, NINA):
        tenant.unlink(ticket, tenant.contacts_with(key, people.alpine)[0]["id"])
    if noticed:
        await look_until_believed(services, ticket)
    for account in (people.harbour, people.alpine, people.harbour, people.alpine):
        tenant.move_ticket(ticket, account)
        await follow_up(services)
        found = await outcomes(services, ticket)
        assert found[VENDOR] == found[NINA] == ("removed_by_person", "ignored")
        on = [people.carla] if account == people.alpine else []
        assert tenant.linked_contacts(ticket) == on


async def test_removed_by_hand_and_put_back_by_hand(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The last word counts: on again as Harbour's, and ours to bring in Alpine's."""
    ticket = tenant.new_ticket(people.alpine, cc=f"{CARLA}, {VENDOR}")
    await look_at(services, ticket)
    tenant.unlink(ticket, people.vendor_at_alpine)
    await look_until_believed(services, ticket)
    tenant.move_ticket(ticket, people.harbour)
    await follow_up(services)
    tenant.link(ticket, people.vendor_at_harbour)
    await look_at(services, ticket)
    assert (await outcomes(services, ticket))[VENDOR] == ("already_linked", "already_linked")


async def test_a_link_that_the_move_dropped_was_removed_by_no_person(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Though a technician has put somebody of the new account on it meanwhile."""
    tenant.switches.moved_links = "dropped"
    ticket = tenant.new_ticket(people.alpine, cc=f"{CARLA}, {VENDOR}")
    await look_at(services, ticket)
    tenant.move_ticket(ticket, people.harbour)
    tenant.link(ticket, people.jurgen)
    await follow_up(services)
    assert sorted(tenant.linked_contacts(ticket)) == [people.vendor_at_harbour, people.jurgen]
    tenant.move_ticket(ticket, people.alpine)
    await follow_up(services)
    assert tenant.linked_contacts(ticket) == [people.carla, people.vendor_at_alpine]


async def test_removed_by_hand_while_another_link_was_unanswered(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed
) -> None:
    """What was concluded from those that are left is not lost while the answer is waited for."""
    services: Services = await make_services(create_settle=1)
    ticket = tenant.new_ticket(people.alpine, cc=f"{CARLA}, {VENDOR}")
    await look_at(services, ticket)
    tenant.update_ticket(ticket, cc=f"{CARLA}, {VENDOR}, bruno.keller@alpine-dental.example")
    tenant.faults.add(Fault("reset_before", method="POST", path_contains=LINKS))
    assert await look_at(services, ticket) is None
    tenant.unlink(ticket, people.vendor_at_alpine)
    tenant.move_ticket(ticket, people.harbour)
    assert await look_at(services, ticket) is None
    while await look_at(services, ticket) is None:
        await let_absences_age(services)
        await asyncio.sleep(0.2)
    assert tenant.linked_contacts(ticket) == []
    assert (await outcomes(services, ticket))[VENDOR] == ("removed_by_person", "ignored")
    await look_at_all(services)
    assert (await people_of(services, ticket))[VENDOR].removed_account == people.alpine
    assert all(link.removed_seen_at for link in await rows(services, LinkRecord) if not link.ours)
