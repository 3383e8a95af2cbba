"""Undo against people, looks and requests that get in between its steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import pytest
from sqlalchemy import update

from app.autotask.client import Autotask
from app.autotask.models import ContactLink
from app.contacts.undo import Undo, UndoStep
from app.db.states import Result
from app.db.tables import Ledger, Participant
from app.looks.facts import gather
from app.outbound.gate import pause
from app.records import absences
from app.services import Services
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import (
    due_of,
    let_links_settle,
    let_pass,
    look_at,
    look_until_believed,
    missed_before,
    outcomes,
    rows,
    want,
)
from tests.support.lifetimes import end, say, stands

NINA = "nina@radiology.example"
CREATED = {NINA: ("outside", "created_and_linked")}


@pytest.fixture
async def ticket(services: Services, tenant: Tenant, people: Seed) -> int:
    """A ticket for which Nina was created and linked by us."""
    made = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, made) == Result.DONE
    return made


@pytest.fixture
def other(tenant: Tenant, people: Seed) -> int:
    """A ticket of the same account that names her, too, and was not looked at."""
    return tenant.new_ticket(people.alpine, cc=NINA)


async def undo(services: Services, ticket: int) -> list[tuple[str, bool, bool, str]]:
    """Undo a ticket, and give of each step what it was, done, again, and in words."""
    return [told(step) for step in await Undo(services, "writer", dry_run=False).ticket(ticket)]


def told(step: UndoStep) -> tuple[str, bool, bool, str]:
    """Give of a step what it was, done, again, and in words."""
    return step.action, step.done, step.again, step.detail


def nina(tenant: Tenant) -> dict[str, Any]:
    """Return the contact that carries her address."""
    [contact] = tenant.contacts_with(NINA)
    return contact


async def chore_later(services: Services) -> None:
    """Do the chore, though what it puts off is not due yet."""
    async with services.sessions() as session, session.begin():
        await session.execute(update(Ledger).values(end_at=None))
    await end(services)


# --- between two steps ---------------------------------------------------------------------------


async def test_who_is_put_on_again_between_the_two_parts_stays_active(
    services: Services, tenant: Tenant, ticket: int
) -> None:
    """Of many tickets all links come first, which takes minutes: a technician was faster."""
    steps: list[UndoStep] = []
    async for some in Undo(services, "cli", dry_run=False).tickets([ticket]):
        if not steps:
            tenant.link(ticket, nina(tenant)["id"])
        steps += some

    by_hand = f"kept: a person put it on ticket {ticket}"
    assert told(steps[-1]) == ("deactivate", False, False, by_hand)
    assert nina(tenant)["isActive"] == 1


async def test_no_look_links_a_contact_that_is_being_retired(
    services: Services, tenant: Tenant, ticket: int, other: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The intent is stored before the request leaves; the look waits, and finds nobody."""
    deactivate = Autotask.deactivate_contact
    looks: list[Result | None] = []

    async def slow(*args: Any) -> None:
        looks.append(await look_at(services, other))
        await deactivate(*args)

    monkeypatch.setattr(Autotask, "deactivate_contact", slow)

    first = nina(tenant)
    assert (await undo(services, ticket))[-1] == ("deactivate", True, False, "retired")

    assert looks == [None]
    assert (await due_of(services, other)).due_at
    assert stands(first) == (0, None)
    assert tenant.contacts_with(NINA) == []
    assert await look_at(services, other) == Result.DONE
    assert await outcomes(services, other) == CREATED  # another contact: undo is for good
    assert tenant.linked_contacts(other) == [nina(tenant)["id"]]
    assert stands(first) == (0, None)


async def test_whom_a_look_announces_after_the_last_reading_stays_active(
    services: Services, tenant: Tenant, ticket: int, other: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """She was on no other ticket when it was asked, and is on one when it is stored."""
    links_of = Autotask.links_of

    async def slow(*args: Any) -> list[ContactLink]:
        there = await links_of(*args)
        assert await look_at(services, other) == Result.DONE
        return there

    monkeypatch.setattr(Autotask, "links_of", slow)

    kept = f"kept: it comes onto ticket {other}"
    assert (await undo(services, ticket))[-1] == ("deactivate", False, False, kept)

    assert nina(tenant)["isActive"] == 1
    assert tenant.linked_contacts(other) == [nina(tenant)["id"]]
    assert [row.state for row in await rows(services, Ledger)] == ["created"]


async def test_a_look_that_read_too_early_creates_no_twin(
    services: Services, tenant: Tenant, people: Seed, other: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It saw no contact; meanwhile one was created for another ticket, and that was undone."""
    undone: list[bool] = []

    async def slow(*args: Any, **rest: Any) -> Any:
        seen = await gather(*args, **rest)
        if not undone:
            undone.append(True)
            first = tenant.new_ticket(people.alpine, cc=NINA)
            assert await look_at(services, first) == Result.DONE
            assert [step[1] for step in await undo(services, first)] == [True, True]
        return seen

    monkeypatch.setattr("app.looks.look.gather", slow)

    assert await look_at(services, other) is None

    assert tenant.contacts_with(NINA) == []
    assert [row.state for row in await rows(services, Ledger)] == ["retired"]
    assert await look_at(services, other) == Result.DONE
    assert await outcomes(services, other) == CREATED
    assert tenant.linked_contacts(other) == [nina(tenant)["id"]]


async def test_a_clearing_that_may_come_late_keeps_the_contact_off_other_tickets(
    services: Services, tenant: Tenant, ticket: int, other: int
) -> None:
    """All its answers were lost: looks wait until it can come no more, and the contact is kept."""
    tenant.faults.add(Fault("reset_before", method="PATCH", times=None))
    [_, (_, done, again, _)] = await undo(services, ticket)
    assert (done, again) == (False, True)
    assert [row.state for row in await rows(services, Ledger)] == ["retiring"]
    tenant.faults.clear()

    assert await look_at(services, other) is None
    assert tenant.linked_contacts(other) == []

    await asyncio.sleep(3.2)  # CREATE_SETTLE
    await chore_later(services)
    assert await look_at(services, other) == Result.DONE
    assert tenant.linked_contacts(other) == [nina(tenant)["id"]]
    assert stands(nina(tenant)) == (1, NINA)


async def test_a_deactivation_that_may_come_late_lets_nobody_create_another(
    services: Services, tenant: Tenant, ticket: int, other: int
) -> None:
    """Her address is away, and nobody carries it: looks wait until the contact is retired."""
    first = nina(tenant)
    tenant.faults.add(Fault("reset_before", method="PATCH", after=1, times=None))
    [_, (_, done, again, _)] = await undo(services, ticket)
    assert (done, again) == (False, True)
    assert stands(first) == (1, None)
    tenant.faults.clear()

    assert await look_at(services, other) is None
    assert tenant.contacts_with(NINA) == []

    await chore_later(services)
    assert stands(first) == (0, None)
    assert await look_at(services, other) == Result.DONE
    assert tenant.linked_contacts(other) == [nina(tenant)["id"]]


@pytest.mark.parametrize("after", [0, 1], ids=["clearing", "deactivation"])
async def test_a_lost_request_is_sent_again_by_the_next_run(
    services: Services, tenant: Tenant, ticket: int, after: int
) -> None:
    """The ledger knows that the contact was about to be retired."""
    first = nina(tenant)
    tenant.faults.add(Fault("reset_before", method="PATCH", after=after, times=None))
    await undo(services, ticket)
    tenant.faults.clear()

    assert await undo(services, ticket) == [("deactivate", True, False, "retired")]

    assert stands(first) == (0, None)
    assert [row.state for row in await rows(services, Ledger)] == ["retired"]


# --- afterwards ----------------------------------------------------------------------------------


async def test_whose_contact_a_person_deleted_is_not_created_again(
    services: Services, tenant: Tenant, ticket: int
) -> None:
    """There is neither a link nor a contact to be undone, and she is not wanted all the same."""
    contact_id = nina(tenant)["id"]
    with tenant.lock:
        tenant.unlink(ticket, contact_id)
        del tenant.contacts[contact_id]
    await let_links_settle(services)
    await missed_before(services, absences.Kind.CONTACT, contact_id)

    assert await undo(services, ticket) == [
        ("unlink", False, False, "is not on the ticket any more"),
        ("deactivate", True, False, "does not exist any more"),
    ]

    assert await look_until_believed(services, ticket) == Result.DONE
    assert tenant.contacts_with(NINA) == []


@pytest.mark.parametrize("limit", ["of a ticket", "of a day"])
async def test_nobody_takes_the_room_that_undo_makes(
    make_services: Callable[..., Any],
    tenant: Tenant,
    people: Seed,
    limit: Literal["of a ticket", "of a day"],
) -> None:
    """Who was held because there was no room is kept off with those who had it."""
    services = await make_services(**({} if limit == "of a ticket" else {"max_new_per_sender": 2}))
    cc = ", ".join(f"p{number}@radiology.example" for number in range(12))
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, cc=cc)
    assert await look_at(services, ticket) == Result.DONE
    before = [outcome for _, outcome in (await outcomes(services, ticket)).values()]
    assert {"created_and_linked", "held"} == set(before)

    await undo(services, ticket)
    async with services.sessions() as session, session.begin():  # the day is over
        await session.execute(update(Ledger).values(sent_at=Ledger.sent_at - timedelta(days=2)))

    assert await look_at(services, ticket) == Result.DONE
    assert tenant.linked_contacts(ticket) == []
    after = [outcome for _, outcome in (await outcomes(services, ticket)).values()]
    assert (after.count("unlinked"), after.count("ignored")) == (
        before.count("created_and_linked"),
        before.count("held"),
    )


async def test_who_was_refused_and_waits_to_be_tried_again_is_not_brought_later(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Undo is the last word on a ticket for those, too, whom it does not have to take off."""
    create = "/Companies/174/Contacts"
    tenant.faults.add(
        Fault("error_500_errors", method="POST", path_contains=create, text="No.", after=1)
    )
    ticket = tenant.new_ticket(people.alpine, cc=f"{NINA}, z@radiology.example")
    assert await look_at(services, ticket) is None
    assert await outcomes(services, ticket) == {
        NINA: ("outside", "created_and_linked"),
        "z@radiology.example": ("outside", None),
    }
    await undo(services, ticket)
    async with services.sessions() as session, session.begin():
        await session.execute(update(Participant).values(retry_at=None))

    assert await look_at(services, ticket) == Result.DONE

    assert tenant.linked_contacts(ticket) == []
    assert tenant.contacts_with("z@radiology.example") == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("phone", "555-0100"),
        ("alternatePhone", "555-0100"),
        ("mobilePhone", "555-0100"),
        ("extension", "7"),
        ("faxNumber", "555-0100"),
        ("roomNumber", "7"),
        ("title", "Radiologist"),
        ("namePrefix", 1),
        ("middleInitial", "J"),
        ("nameSuffix", 1),
        ("externalID", "7"),
    ],
)
async def test_a_field_that_only_people_fill_in_keeps_the_contact(
    services: Services, tenant: Tenant, ticket: int, field: str, value: str | int
) -> None:
    """Somebody has made it their own; it is said which field tells."""
    tenant.change_contact(nina(tenant)["id"], **{field: value})

    kept = f"kept: a person changed {field}"
    assert (await undo(services, ticket))[-1] == ("deactivate", False, False, kept)

    assert nina(tenant)["isActive"] == 1


# --- the ticket's due work -----------------------------------------------------------------------


async def test_a_ticket_that_was_due_is_as_old_and_as_often_tried_as_before(
    services: Services, ticket: int
) -> None:
    """Undo is no look: what is given up after a day is, however often it is undone."""
    await want(services, ticket)
    await let_pass(services, ticket, 3600)
    before = await due_of(services, ticket)

    await undo(services, ticket)

    after = await due_of(services, ticket)
    assert (after.since, after.due_at, after.tries) == (before.since, before.due_at, before.tries)
    assert after.wanted > after.done


async def test_a_ticket_that_is_wanted_during_undo_is_no_older_than_that(
    services: Services, ticket: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was idle for an hour; its age is not that of the look before."""
    await let_pass(services, ticket, 3600)
    before = await due_of(services, ticket)
    deactivate = Autotask.deactivate_contact

    async def slow(*args: Any) -> None:
        await want(services, ticket)
        await deactivate(*args)

    monkeypatch.setattr(Autotask, "deactivate_contact", slow)

    await undo(services, ticket)

    after = await due_of(services, ticket)
    assert after.due_at
    assert after.since - before.since >= timedelta(hours=1)


async def test_during_a_pause_no_one_is_rejected(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Nothing is taken off, so who is held stays for a person to decide about."""
    await say(services, max_new_per_ticket=1)
    ticket = tenant.new_ticket(people.alpine, cc=f"{NINA}, zoe@radiology.example")
    await look_at(services, ticket)
    for who in ("administrator", None):
        async with services.sessions() as session, session.begin():
            await pause(session, who)
        steps = await Undo(services, "writer", dry_run=False).ticket(ticket)
        [held] = [row for row in await rows(services, Participant) if row.outcome == "held"]
        assert held.rejected_by == (None if who else "writer"), steps
