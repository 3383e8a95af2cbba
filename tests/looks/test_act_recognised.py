"""A request that took effect behind an error is recognised as ours, and not made twice."""

from __future__ import annotations

import json

import pytest

from app.db.states import LedgerState, Result
from app.db.tables import Ledger, LinkRecord
from app.services import Services
from sandbox.model import CONTACTS
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.looks.test_read_missing import live
from tests.support.clock import Clock
from tests.support.helpers import look_at, notes_on, outcomes, rows

CARLA = "carla.mendes@alpine-dental.example"
NINA = "nina@radiology.example"


def errors(text: str) -> str:
    """Give the body of Autotask's own refusal."""
    return json.dumps({"errors": [text]})


BEHIND: dict[str, tuple[int, str]] = {
    "an errors array": (500, errors("Object reference not set to an instance of an object.")),
    "a duplicate": (409, errors("A record with this value already exists.")),
    "a duplicate, 500": (500, errors("Duplicate value for emailAddress.")),
    "a cap": (500, errors("The maximum number of records has been reached.")),
    "a reference": (500, errors("Value does not reference an existing entity for companyID.")),
    "a bad request": (400, "{}"),
    "HTML": (500, "<html>Runtime Error</html>"),
    "HTML, 200": (200, "<html>We'll be back soon</html>"),
    "a gateway": (502, "<html>Bad Gateway</html>"),
    "no id": (200, '{"itemId": null}'),
    "errors and 200": (200, '{"itemId": 1, "errors": ["a workflow rule failed"]}'),
}


@pytest.mark.parametrize("what", BEHIND)
@pytest.mark.parametrize("lag", [0, 20])
async def test_a_contact_that_was_created_behind_an_error_is_ours(
    clock: Clock, services: Services, tenant: Tenant, people: Seed, what: str, lag: float
) -> None:
    """By its mark: one contact, linked, in the ledger, so that it can be undone and ended."""
    status, text = BEHIND[what]
    tenant.lag_reads(CONTACTS, lag)
    tenant.faults.add(
        Fault("answer_after", "POST", path_contains="/Companies/", status=status, text=text)
    )
    ticket = tenant.new_ticket(people.alpine, cc=f"{NINA}, {CARLA}")
    await look_at(services, ticket)
    await live(services, clock, 400)

    [nina] = tenant.contacts_with(NINA)
    assert sorted(tenant.linked_contacts(ticket)) == [people.carla, nina["id"]]
    assert (await outcomes(services, ticket))[NINA] == ("outside", "created_and_linked")
    [row] = await rows(services, Ledger)
    assert (row.state, row.contact_id, row.sends) == (LedgerState.CREATED, nina["id"], 1)


@pytest.mark.parametrize("what", BEHIND)
async def test_a_link_that_was_made_behind_an_error_is_ours(
    clock: Clock, services: Services, tenant: Tenant, people: Seed, what: str
) -> None:
    """One row, though this tenant would store a second one."""
    status, text = BEHIND[what]
    tenant.faults.add(
        Fault("answer_after", "POST", "TicketAdditionalContacts", status=status, text=text)
    )
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    await look_at(services, ticket)
    await live(services, clock, 400)

    assert tenant.linked_contacts(ticket) == [people.carla]
    assert await outcomes(services, ticket) == {CARLA: ("known", "linked")}
    [link] = await rows(services, LinkRecord)
    assert link.ours


async def test_a_link_that_was_refused_and_that_a_person_makes_later_is_theirs(
    clock: Clock, services: Services, tenant: Tenant, people: Seed
) -> None:
    """What was refused and is not there is not claimed weeks later."""
    tenant.faults.add(
        Fault("error_500_errors", "POST", "TicketAdditionalContacts", times=None, text="No.")
    )
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    await look_at(services, ticket)
    await live(services, clock, 3000, step=30)
    assert await outcomes(services, ticket) == {CARLA: ("known", "failed")}
    tenant.link(ticket, people.carla)
    await look_at(services, ticket)
    [link] = await rows(services, LinkRecord)
    assert not link.ours


@pytest.mark.parametrize("what", ["an errors array", "HTML", "a duplicate"])
async def test_a_note_that_was_written_behind_an_error_is_written_once(
    clock: Clock, make_services: object, tenant: Tenant, people: Seed, what: str
) -> None:
    """By its title's mark."""
    status, text = BEHIND[what]
    services: Services = await make_services(  # type: ignore[operator]
        ticket_note="internal", ticket_note_publish=2
    )
    tenant.faults.add(Fault("answer_after", "POST", "TicketNotes", status=status, text=text))
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    await look_at(services, ticket)
    await live(services, clock, 60)
    assert await look_at(services, ticket) == Result.DONE
    assert len(notes_on(tenant, ticket)) == 1
