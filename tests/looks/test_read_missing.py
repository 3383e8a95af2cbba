"""What a reading does not show: it may lag, or be no answer. Nobody is doubled, lost or blamed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.autotask.callouts import Callout
from app.db.states import Chore, Result
from app.db.tables import Absence, Ledger, LinkRecord, Mapping, TicketRecord
from app.due import work
from app.looks.look import look
from app.ops.reconcile import reconcile
from app.records import deliveries
from app.records.absences import BELIEVED_AFTER, Kind
from app.services import Services
from sandbox.model import CONTACTS, LINKS, TICKETS, Entity
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.clock import Clock
from tests.support.helpers import (
    due_of,
    let_absences_age,
    look_at,
    look_until_believed,
    missed_before,
    outcomes,
    result_of,
    rows,
    want,
)
from tests.support.lifetimes import TICKET, end, ours, say, seized

CARLA = "carla.mendes@alpine-dental.example"
NINA = "nina@radiology.example"
NOBODY = '{"items": [], "pageDetails": {"count": 0, "nextPageUrl": null}}'


async def live(services: Services, clock: Clock, seconds: int, step: int = 5) -> None:
    """Let time pass, and look at what is due in it, as a worker does."""
    for _ in range(0, seconds, step):
        async with services.sessions() as session, session.begin():
            leases = await work.claim(session, work.TICKET, "test", 8)
        for lease in leases:
            await look(services, lease)
        clock.advance(seconds=step)


async def compare(services: Services) -> None:
    """Compare Autotask's tickets with ours once."""
    lease = await seized(services, Chore.RECONCILE)
    await reconcile(services, lease)
    async with work.fenced(services.sessions, lease) as session:
        await work.finish(session, lease)


NO_TICKET: dict[str, Fault] = {
    "null": Fault("answer", text='{"item": null}'),
    "no item": Fault("answer", text="{}"),
    "errors": Fault("answer", text='{"item": null, "errors": ["Object reference not set."]}'),
    "a list": Fault("answer", text='{"item": []}'),
    "a text": Fault("answer", text='{"item": "not found"}'),
    "a query's answer": Fault("answer", text=NOBODY),
    "another ticket": Fault("answer", text='{"item": {"id": 1, "companyID": 174}}'),
    "no content": Fault("answer", status=204, text=""),
    "a page": Fault("answer", text="<html>moment, please</html>"),
}


@pytest.mark.parametrize("what", NO_TICKET)
async def test_a_reading_that_does_not_show_the_ticket_is_repeated(
    clock: Clock, services: Services, tenant: Tenant, people: Seed, what: str
) -> None:
    """Its callout came seconds ago: it is not gone, and its people are brought within seconds."""
    fault = NO_TICKET[what]
    tenant.faults.add(Fault("answer", "GET", "Tickets", status=fault.status, text=fault.text))
    ticket = tenant.new_ticket(people.alpine, cc=NINA)

    assert await look_at(services, ticket) is None
    await live(services, clock, 15)

    assert await result_of(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == {NINA: ("outside", "created_and_linked")}
    assert await rows(services, Absence) == []


@pytest.mark.parametrize("missing_item", ["null", "404"])
async def test_three_readings_over_two_minutes_are_believed(
    clock: Clock, services: Services, tenant: Tenant, missing_item: Any
) -> None:
    """What was counted is kept in the database; the ticket says what was found."""
    tenant.switches.missing_item = missing_item
    assert await look_at(services, 999) is None
    due_at = (await due_of(services, 999)).due_at
    for seconds in (5, 25):
        clock.advance(seconds=seconds)
        assert await look_at(services, 999) is None
    [ticket] = await rows(services, TicketRecord)
    assert (ticket.result, ticket.over_at) == (None, None)
    assert "does not show the ticket" in ticket.note

    clock.advance(seconds=91)
    assert await look_at(services, 999) == Result.GONE

    [absence] = await rows(services, Absence)
    assert (absence.kind, absence.ref, absence.readings) == (Kind.TICKET, 999, 4)
    assert due_at
    assert due_at - absence.since <= timedelta(seconds=6)
    assert tenant.count("GET", "Tickets") == 4


@pytest.mark.parametrize(
    ("pauses", "believed"),
    [((0, 0, 0), False), ((130,), False), ((60, 61), True), ((1, 1, 1, 90), False)],
)
async def test_fewer_readings_or_less_time_are_not(
    clock: Clock, services: Services, tenant: Tenant, pauses: tuple[int, ...], believed: bool
) -> None:
    """Triggers can follow one another closely, or a reading come late."""
    result = await look_at(services, 999)
    for seconds in pauses:
        clock.advance(seconds=seconds)
        result = await look_at(services, 999)
    assert (result == Result.GONE) is believed


async def test_a_callout_that_says_deleted_and_one_reading_are_enough(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Both are Autotask's word; the callout alone is none."""
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await want(services, ticket)
    deleted = Callout("Delete", "Ticket", ticket, "g")
    async with services.sessions() as session, session.begin():
        await deliveries.receive(session, deleted, b"", timedelta(0))
    assert await look_at(services, ticket) == Result.DONE

    tenant.delete_ticket(ticket, callout=False)
    assert await look_at(services, ticket) == Result.GONE


async def test_a_ticket_that_is_gone_by_mistake_is_found_by_comparison(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """It is known, and yet not passed over."""
    await compare(services)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    tenant.faults.add(Fault("answer", "GET", "Tickets", text='{"item": null}'))
    await missed_before(services, Kind.TICKET, ticket)
    assert await look_at(services, ticket) == Result.GONE

    await compare(services)

    assert (await due_of(services, ticket)).due_at is not None
    assert await look_at(services, ticket) == Result.DONE
    assert len(tenant.contacts_with(NINA)) == 1


# --- reading that lags ---------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [3, 20, 90])
@pytest.mark.parametrize("entity", [TICKETS, CONTACTS, LINKS], ids=lambda entity: entity.name)
async def test_reading_that_lags_makes_nothing_twice_and_takes_nobody_off(
    clock: Clock, services: Services, tenant: Tenant, people: Seed, entity: Entity, seconds: float
) -> None:
    """Two tickets with the same stranger, and triggers that follow each other."""
    tenant.lag_reads(entity, seconds)
    tickets = [tenant.new_ticket(people.alpine, cc=f"{NINA}, {CARLA}") for _ in range(2)]
    await want(services, *tickets)
    await live(services, clock, 10)
    await want(services, *tickets)
    await live(services, clock, 300)
    await want(services, *tickets)
    await live(services, clock, 200)

    [nina] = tenant.contacts_with(NINA)
    for ticket in tickets:
        assert sorted(tenant.linked_contacts(ticket)) == [people.carla, nina["id"]]
        assert await result_of(services, ticket) == Result.DONE
        assert (await outcomes(services, ticket))[CARLA] == ("known", "linked")
    by = {(await outcomes(services, ticket))[NINA][1] for ticket in tickets}
    assert by == {"created_and_linked", "linked"}
    assert [row.sends for row in await rows(services, Ledger)] == [1]
    assert all(link.ours for link in await rows(services, LinkRecord))


WRONG = {
    "the list of a ticket": ("GET", "TicketAdditionalContacts"),
    "the contacts of addresses": ("POST", "Contacts"),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("times", [1, 2])
async def test_an_empty_list_is_not_believed_at_once(
    clock: Clock, services: Services, tenant: Tenant, people: Seed, what: str, times: int
) -> None:
    """However long ago they were linked, and though no contact is found."""
    ticket = tenant.new_ticket(people.alpine, cc=f"{NINA}, {CARLA}")
    await look_at(services, ticket)
    before = await outcomes(services, ticket), sorted(tenant.linked_contacts(ticket))
    clock.advance(hours=2)  # our records do not suffice any more
    method, entity = WRONG[what]
    tenant.faults.add(Fault("answer", method, entity, text=NOBODY, times=times))

    assert await look_at(services, ticket) is None
    assert (await outcomes(services, ticket), sorted(tenant.linked_contacts(ticket))) == before
    await live(services, clock, 60)

    assert await result_of(services, ticket) == Result.DONE
    assert (await outcomes(services, ticket), sorted(tenant.linked_contacts(ticket))) == before
    assert len(await rows(services, Mapping)) == 2
    assert len(tenant.contacts_with(NINA)) == 1


async def test_a_mapped_contact_that_is_not_shown_is_neither_forgotten_nor_doubled(
    clock: Clock, services: Services, tenant: Tenant, people: Seed
) -> None:
    """A person's contact, found before; the others of the list are served meanwhile."""
    await look_at(services, tenant.new_ticket(people.alpine, cc=CARLA))
    clock.advance(hours=2)
    tenant.faults.add(Fault("answer", "POST", "Contacts", text=NOBODY))
    ticket = tenant.new_ticket(people.alpine, cc=f"{CARLA}, {NINA}")

    assert await look_at(services, ticket) is None

    assert (await outcomes(services, ticket))[NINA] == ("outside", "created_and_linked")
    assert (await outcomes(services, ticket))[CARLA] == ("known", None)
    await live(services, clock, 10)
    assert (await outcomes(services, ticket))[CARLA] == ("known", "linked")
    assert len(tenant.contacts_with(CARLA)) == 1


async def test_a_retired_contact_that_is_not_shown_is_brought_back_later(
    clock: Clock, services: Services, tenant: Tenant, people: Seed
) -> None:
    """Its address is not free after one reading."""
    await say(services, lifetime=TICKET, grace_days=0)
    first = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, first)
    tenant.update_ticket(first, status=5)
    await look_at(services, first)
    await end(services)
    tenant.faults.add(Fault("answer", "POST", "Contacts", text=NOBODY))
    ticket = tenant.new_ticket(people.alpine, cc=NINA)

    assert await look_at(services, ticket) is None
    await live(services, clock, 15)

    assert tenant.linked_contacts(ticket) == [ours(tenant)]
    assert len(tenant.contacts_with(NINA)) == 1


async def test_who_is_taken_off_is_seen_after_two_minutes_and_not_added_meanwhile(
    clock: Clock, services: Services, tenant: Tenant, people: Seed
) -> None:
    """The same as ever, later."""
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    await look_at(services, ticket)
    tenant.unlink(ticket, people.carla)
    await want(services, ticket)
    await live(services, clock, int(BELIEVED_AFTER.total_seconds()))
    assert tenant.linked_contacts(ticket) == []
    await live(services, clock, 15)
    assert await outcomes(services, ticket) == {CARLA: ("removed_by_person", "ignored")}
    assert await result_of(services, ticket) == Result.DONE


async def test_a_merged_tickets_people_are_not_lost_by_one_reading(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """An empty list of the source, once."""
    source = tenant.new_ticket(people.alpine, cc=CARLA, description="It hums.")
    await look_at(services, source)
    into = tenant.new_ticket(people.alpine)
    await look_at(services, into)
    tenant.merge_tickets(source, into)
    tenant.faults.add(Fault("answer", "GET", "TicketAdditionalContacts", text=NOBODY))
    result = await look_at(services, source)
    assert result is None
    assert await look_at(services, source) == Result.COMPLETE
    assert await look_at(services, into) == Result.DONE
    assert people.carla in tenant.linked_contacts(into)


async def test_a_moved_tickets_links_are_taken_back_though_one_reading_misses_them(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """No contact of the old account stays on it as if a person had put it there."""
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    await look_at(services, ticket)
    tenant.move_ticket(ticket, people.harbour)
    tenant.faults.add(Fault("answer", "GET", "TicketAdditionalContacts", text=NOBODY))
    assert await look_at(services, ticket) is None
    await let_absences_age(services)
    await look_until_believed(services, ticket)
    assert tenant.linked_contacts(ticket) == []
