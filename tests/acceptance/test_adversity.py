"""What went wrong in trials by people who wanted it to: each has its test here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from app.db import database
from app.db.states import LedgerState, Origin, Result
from app.db.tables import Due, Gate, Ledger, Mapping, Participant, RefusedCall, Slot
from app.outbound import gate, rules
from app.services import Services
from sandbox.calls import Call
from sandbox.seed import VENDOR, Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import (
    due_of,
    look_at,
    look_until_believed,
    outcomes,
    people_of,
    result_of,
    rows,
)

NINA = "nina@radiology.example"
CARLA = "carla.mendes@alpine-dental.example"
CREATE = {"method": "POST", "entity": "Contacts", "path_contains": "/Companies/"}


async def test_a_frozen_process_that_holds_the_gate_stops_nobody_for_long(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends its transaction, and the others go on."""
    monkeypatch.setattr(database, "_SESSION", database._SESSION.replace("'10s'", "'1s'"))
    frozen, other = await make_services(), await make_services()
    ticket = tenant.new_ticket(people.alpine, cc=NINA)

    session = frozen.sessions()
    # In a task of its own, as it is another process: in this one it would be our own transaction.
    await asyncio.create_task(session.execute(select(Gate).with_for_update()))
    async with asyncio.timeout(15):
        assert await look_at(other, ticket) == Result.DONE

    with pytest.raises(Exception, match=r"terminat|closed"):
        await session.commit()
    await session.close()


async def test_a_create_that_waited_too_long_for_its_slot_does_not_leave(
    services: Services, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it could take effect after others have looked for it, and created."""
    monkeypatch.setattr(rules, "LEAVE_SECONDS", 0.5)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)

    def all_slots_taken(call: Call) -> None:
        if call.path.lower().endswith("/contacts/query") and len(tenant.calls) < 11:
            asyncio.run_coroutine_threadsafe(take_slots(services), loop).result(5)

    loop = asyncio.get_running_loop()
    tenant.before_call = all_slots_taken

    assert await look_at(services, ticket) == Result.DONE

    assert len(tenant.contacts_with(NINA)) == 1
    states = [row.state for row in await rows(services, Ledger)]
    assert states == [LedgerState.REFUSED, LedgerState.CREATED]


async def take_slots(services: Services) -> None:
    """Take all three slots of an entity for two seconds, as another process does."""
    async with services.sessions() as session, session.begin():
        expires_at = await database.db_now(session) + timedelta(seconds=2)
        for n in range(3):
            await session.merge(
                Slot(entity="Contacts", n=n, holder="somebody else", expires_at=expires_at)
            )


async def test_a_wrong_address_or_a_proxy_that_says_404_loses_no_ticket(
    make_services: Callable[..., Any], server: SandboxServer, tenant: Tenant, people: Seed
) -> None:
    """Only a query that finds nothing means that a ticket is gone."""
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    services: Services = await make_services()
    services.tenancy._api_url = f"{server.url}/sandbox/elsewhere"

    assert await look_at(services, ticket) is None
    assert await result_of(services, ticket) is None


async def test_a_missing_ticket_is_gone_where_autotask_says_404(
    services: Services, tenant: Tenant
) -> None:
    """One more call each time makes sure that it is no wrong address."""
    tenant.switches.missing_item = "404"
    assert await look_until_believed(services, 999) == Result.GONE
    assert len(tenant.calls) == 6


@pytest.mark.parametrize(
    ("field", "address", "reason"),
    [
        ("emailAddress", "help@northwind-msp.example", "own_address"),
        ("emailAddress3", "help+tag@northwind-msp.example", "own_address"),
        ("emailAddress2", "omar.haddad@mail.test", "technician"),
    ],
)
async def test_a_contact_whose_mail_comes_to_us_is_not_linked(
    services: Services, tenant: Tenant, people: Seed, field: str, address: str, reason: str
) -> None:
    """By any of its addresses: one link would be a mail loop."""
    contact = tenant.contacts[people.carla]
    fields = ["emailAddress", "emailAddress2", "emailAddress3"]
    contact.update(dict.fromkeys(fields))
    contact[field] = address
    contact[next(name for name in fields if name != field)] = "facility@alpine-dental.example"
    ticket = tenant.new_ticket(people.alpine, cc="facility@alpine-dental.example")

    assert await look_at(services, ticket) == Result.DONE

    found = await outcomes(services, ticket)
    assert found == {"facility@alpine-dental.example": (reason, "ignored")}
    assert tenant.linked_contacts(ticket) == []


async def test_an_overloaded_tenant_is_left_in_peace(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """After one answer of that kind no call of any ticket leaves for a while."""
    tenant.faults.add(Fault("status_429", entity="Tickets", retry_after="100"))
    first = tenant.new_ticket(people.alpine, cc=NINA)
    second = tenant.new_ticket(people.alpine, cc=NINA)

    assert await look_at(services, first) is None
    assert await look_at(services, second) is None

    assert len(tenant.calls) == 1
    async with services.sessions() as session:
        shut = await gate.state(session)
        assert shut is not None
        assert shut.code == "overloaded"
        assert shut.until is not None
        assert shut.until - shut.since >= timedelta(seconds=99)


async def test_becoming_the_tickets_contact_is_not_being_removed(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A workflow makes her the contact, and then another person: she is added again."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, cc=CARLA)
    await look_at(services, ticket)
    tenant.update_ticket(ticket, contactID=people.carla)
    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == {CARLA: ("ticket_contact", "ignored")}
    tenant.update_ticket(ticket, contactID=people.ana)

    assert await look_at(services, ticket) == Result.DONE
    assert tenant.linked_contacts(ticket) == [people.carla]


async def test_an_old_ticket_is_not_given_up_at_its_first_trouble(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """It may have waited for 80 hours because of a pause; given up is only after many tries."""
    tenant.faults.add(Fault("error_500", times=2))
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, ticket)
    long_ago = func.now() - timedelta(hours=80)
    await set_due(services, since=long_ago)
    assert await look_at(services, ticket) is None

    tenant.faults.add(Fault("error_500"))
    await set_due(services, since=long_ago, tries=20)
    assert await look_at(services, ticket) == Result.FAILED
    assert (await due_of(services, ticket)).due_at is None


async def set_due(services: Services, **values: Any) -> None:
    """Change the rows of due work."""
    async with services.sessions() as session, session.begin():
        await session.execute(update(Due).values(**values))


async def test_a_refused_link_is_read_again_whatever_the_text(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The ticket moves to another account between the reading and the link: decided anew."""
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)

    def move(call: Call) -> None:
        if call.method == "POST" and "AdditionalContacts" in call.path:
            tenant.before_call = lambda _: None
            tenant.update_ticket(ticket, companyID=people.harbour)

    tenant.before_call = move
    tenant.switches.texts["company"] = "Computer says no."

    assert await look_at(services, ticket) == Result.DONE

    assert tenant.linked_contacts(ticket) == []
    assert tenant.contacts_with(CARLA, people.harbour) == []
    carla = (await people_of(services, ticket))[CARLA]
    assert (carla.account_id, carla.reason) == (people.harbour, "other_client")


async def test_odd_characters_from_autotask_stop_nothing(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """PostgreSQL stores no NUL."""
    tenant.faults.add(Fault("error_500_errors", text="No\x00 thanks", **CREATE))  # type: ignore[arg-type]
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    tenant.tickets[ticket]["ticketNumber"] = "T\x001"

    assert await look_at(services, ticket) is None
    assert (await people_of(services, ticket))[NINA].detail == "POST Contacts: No thanks"


async def test_a_mapping_that_was_found_ends_when_the_contact_gets_another_address(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A leaver's contact is given to the successor; the address has moved to a new contact."""
    await look_at(services, tenant.new_ticket(people.alpine, cc=VENDOR))
    tenant.contacts[people.vendor_at_alpine]["emailAddress"] = "successor@dentsoft.example"
    new = tenant.add_contact(people.alpine, VENDOR)
    async with services.sessions() as session, session.begin():
        verified_at = func.now() - timedelta(hours=2)
        await session.execute(update(Mapping).values(verified_at=verified_at))
    ticket = tenant.new_ticket(people.alpine, cc=VENDOR)

    assert await look_at(services, ticket) == Result.DONE
    assert tenant.linked_contacts(ticket) == [new]
    [row] = await rows(services, Mapping)
    assert (row.contact_id, row.origin) == (new, Origin.FOUND)


async def test_a_right_that_is_missing_is_asked_for_less_and_less_often(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Reading is allowed, creating is not: what is read meanwhile does not forget that."""
    tenant.faults.add(Fault("forbidden", times=None, **CREATE))  # type: ignore[arg-type]
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    pauses = []
    for _ in range(3):
        assert await look_at(services, ticket) is None
        [refused] = await rows(services, RefusedCall)
        pauses.append(refused.times)
        assert (refused.call, refused.about) == ("create Contacts", f"account {people.alpine}")
        assert (refused.until - refused.last_at).total_seconds() == [60, 120, 300][len(pauses) - 1]
        async with services.sessions() as session, session.begin():
            await session.execute(update(RefusedCall).values(until=func.now()))
            await session.execute(update(Participant).values(retry_at=func.now()))

    assert pauses == [1, 2, 3]
    tenant.faults.clear()
    assert await look_at(services, ticket) == Result.DONE
    assert await rows(services, RefusedCall) == []
