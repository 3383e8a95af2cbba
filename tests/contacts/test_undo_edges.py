"""Undo beside people, lost answers and looks that were not finished."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from sqlalchemy import update

from app.autotask.client import Autotask
from app.autotask.errors import Refusal, Refused
from app.cli.undo import run_undo
from app.contacts.undo import NOT_SHOWN, Undo, UndoStep
from app.contacts.unlink import UNDER_WAY
from app.db.states import Result
from app.db.tables import Due, Ledger, LinkRecord
from app.due import work
from app.due.exclusive import InUse
from app.looks.look import look
from app.services import Services
from sandbox.calls import Call
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import due_of, look_at, look_until_believed, people_of, rows
from tests.support.lifetimes import complete, end, nina_of_a_ticket, ours, ticket_of

CARLA = "carla.mendes@alpine-dental.example"
NINA = "nina@radiology.example"
LINKS = "AdditionalContacts"


async def on_ticket(services: Services, tenant: Tenant, people: Seed, cc: str = NINA) -> int:
    """Make a ticket whose people are linked, and created, by us."""
    ticket = tenant.new_ticket(people.alpine, cc=cc)
    assert await look_at(services, ticket) == Result.DONE
    return ticket


async def undo(services: Services, ticket: int) -> list[tuple[str, bool, bool, str]]:
    """Undo a ticket, and give of each step what it was, done, again, and in words."""
    steps = await Undo(services, "writer", dry_run=False).ticket(ticket)
    return [(step.action, step.done, step.again, step.detail) for step in steps]


def nina(tenant: Tenant) -> dict[str, Any]:
    """Return the contact that we created."""
    return tenant.contacts[ours(tenant)]


# --- people --------------------------------------------------------------------------------------


async def test_whom_a_person_took_off_and_put_on_again_is_left_alone(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A look saw her missing: what is there now is a person's will."""
    ticket = await on_ticket(services, tenant, people, CARLA)
    tenant.unlink(ticket, people.carla)
    await look_until_believed(services, ticket)
    tenant.link(ticket, people.carla)
    await look_at(services, ticket)

    assert await undo(services, ticket) == []

    assert tenant.linked_contacts(ticket) == [people.carla]


@pytest.mark.parametrize("looks", [0, 1])
async def test_who_was_put_on_again_between_two_readings_is_known_by_the_links_id(
    services: Services, tenant: Tenant, people: Seed, looks: int
) -> None:
    """No look saw her missing, and one that sees the new link changes nothing."""
    ticket = await on_ticket(services, tenant, people, CARLA)
    tenant.unlink(ticket, people.carla)
    tenant.link(ticket, people.carla)
    for _ in range(looks):
        await look_at(services, ticket)

    steps = await undo(services, ticket)

    assert steps == [("unlink", False, False, "kept: a person put it on again")]
    assert tenant.linked_contacts(ticket) == [people.carla]
    assert (await people_of(services, ticket))[CARLA].rejected_by is None


@pytest.mark.parametrize("answer", ["an empty list", "404"])
async def test_the_contact_of_a_deleted_ticket_is_retired(
    services: Services, tenant: Tenant, people: Seed, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no link left to be taken off; nobody has published what is answered for its list."""
    ticket = await on_ticket(services, tenant, people)
    tenant.delete_ticket(ticket)

    async def missing(*_args: Any) -> Any:
        raise Refused(["no such record or route (404)"], Refusal.MISSING)

    if answer == "404":  # which the sandbox does not say of a list
        monkeypatch.setattr(Autotask, "additional_contacts", missing)

    # A link that was seen a moment ago may be one that a reading does not show yet.
    assert (await undo(services, ticket))[0] == ("unlink", False, True, NOT_SHOWN)
    async with services.sessions() as session, session.begin():
        ago = LinkRecord.first_seen_linked_at - timedelta(hours=1)
        await session.execute(update(LinkRecord).values(first_seen_linked_at=ago, sent_at=None))

    assert (await undo(services, ticket))[0] == (
        "unlink",
        False,
        False,
        "is not on the ticket any more",
    )
    assert nina(tenant)["isActive"] == 0


async def test_a_contact_of_which_it_is_not_known_what_we_wrote_is_kept(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Nobody can tell what a person has changed."""
    ticket = await on_ticket(services, tenant, people)
    async with services.sessions() as session, session.begin():
        await session.execute(update(Ledger).values(sent=None))

    steps = await undo(services, ticket)

    assert steps[-1] == ("deactivate", False, False, "kept: what we wrote of it is not on record")
    assert nina(tenant)["isActive"] == 1


# --- what was not finished -----------------------------------------------------------------------


async def test_who_was_created_and_not_linked_is_not_brought_later(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The refused link would have been tried again."""
    refusal = Fault("error_500_errors", method="POST", path_contains=LINKS, text="No.", times=None)
    tenant.faults.add(refusal)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, ticket) is None
    tenant.faults.clear()

    assert await undo(services, ticket) == [("deactivate", True, False, "retired")]

    assert (await people_of(services, ticket))[NINA].rejected_by == "writer"
    assert await look_at(services, ticket) == Result.DONE
    assert tenant.linked_contacts(ticket) == []
    assert nina(tenant)["isActive"] == 0


async def test_whose_link_had_no_answer_is_not_brought_later(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Her contact stands in the ledger only, and she stays off the ticket though it is kept."""
    tenant.faults.add(Fault("reset_after", method="POST", path_contains=LINKS))
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, ticket) is None
    assert (await people_of(services, ticket))[NINA].contact_id is None
    tenant.change_contact(nina(tenant)["id"], title="Radiologist")

    steps = await undo(services, ticket)

    assert steps[0] == ("unlink", True, False, "taken off the ticket")
    assert (await people_of(services, ticket))[NINA].rejected_by == "writer"
    assert await look_at(services, ticket) == Result.DONE
    assert tenant.linked_contacts(ticket) == []


async def test_a_link_that_was_refused_keeps_no_contact(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The other ticket has never had her."""
    ticket = await on_ticket(services, tenant, people)
    refusal = Fault("error_500_errors", method="POST", path_contains=LINKS, text="No.", times=None)
    tenant.faults.add(refusal)
    other = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, other) is None
    assert len(await rows(services, LinkRecord)) == 2
    tenant.faults.clear()

    assert (await undo(services, ticket))[-1] == ("deactivate", True, False, "retired")


# --- lost answers, lost leases -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["reset_before", "reset_after"])
async def test_an_unlink_without_an_answer_is_not_taken_back(
    services: Services, tenant: Tenant, people: Seed, kind: Literal["reset_before", "reset_after"]
) -> None:
    """It may take effect, so no look may bring her; the next run tells, and ends it."""
    ticket = await on_ticket(services, tenant, people, CARLA)
    tenant.faults.add(Fault(kind, method="DELETE"))
    unread = Fault("error_500_errors", method="GET", path_contains=LINKS, text="No.", after=1)
    tenant.faults.add(unread)

    [(_, done, again, detail)] = await undo(services, ticket)

    assert (done, again) == (False, True)
    assert "may still take effect: run it again later" in detail
    [link] = await rows(services, LinkRecord)
    assert link.unlinked_at
    assert (await people_of(services, ticket))[CARLA].rejected_by == "writer"
    [(_, done, again, _)] = await undo(services, ticket)
    assert (done, again) == (True, False)
    assert tenant.linked_contacts(ticket) == []
    assert (await people_of(services, ticket))[CARLA].outcome == "unlinked"


async def test_a_link_that_is_asked_for_again_may_still_come(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """That it was there before its contact was ended says nothing about the second request."""
    ticket = ticket_of(tenant, await nina_of_a_ticket(services, tenant, grace_days=0))
    await complete(services, tenant, ticket)
    await end(services)
    tenant.update_ticket(ticket, callout=False, status=1)
    tenant.faults.add(Fault("reset_before", method="POST", path_contains=LINKS))
    assert await look_at(services, ticket) is None

    steps = await undo(services, ticket)

    assert steps[0] == ("unlink", False, True, UNDER_WAY)


async def test_what_was_done_is_told_though_the_lease_is_lost_at_the_end(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """It ran out while the contact was retired; the successor keeps the ticket."""
    ticket = await on_ticket(services, tenant, people)
    loop = asyncio.get_running_loop()

    async def steal() -> None:
        async with services.sessions() as session, session.begin():
            stolen = update(Due).where(Due.kind == work.TICKET)
            await session.execute(stolen.values(holder="successor", attempt=Due.attempt + 1))

    def on_change(call: Call) -> None:
        if call.method == "PATCH":
            asyncio.run_coroutine_threadsafe(steal(), loop).result(10)

    tenant.before_call = on_change

    assert [step[:2] for step in await undo(services, ticket)] == [
        ("unlink", True),
        ("deactivate", True),
    ]
    assert (await due_of(services, ticket)).holder == "successor"


async def test_the_ticket_of_an_undo_that_died_is_free_when_its_lease_has_run_out(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Not before: it may still be at work."""
    ticket = await on_ticket(services, tenant, people, CARLA)
    async with services.sessions() as session, session.begin():
        assert await work.take(session, work.TICKET, ticket, "undo:died")
    with pytest.raises(InUse):
        await undo(services, ticket)
    async with services.sessions() as session, session.begin():
        await session.execute(update(Due).values(lease_until=Due.lease_until - work.LEASE * 2))

    assert await undo(services, ticket) == [("unlink", True, False, "taken off the ticket")]


# --- many tickets --------------------------------------------------------------------------------


async def test_of_several_tickets_all_links_come_first_and_each_is_told_when_it_is_over(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """So whoever is told can show how far it has come, and what was done if it is ended early."""
    tickets = [await on_ticket(services, tenant, people) for _ in range(2)]
    told: list[list[UndoStep]] = []
    actions: list[tuple[int, str]] = []
    async for steps in Undo(services, "cli", dry_run=False).tickets(tickets):
        told.append(steps)
        actions += [(step.ticket_id, step.action) for step in steps]
    first, second = tickets
    assert actions == [(first, "unlink"), (second, "unlink"), (first, "deactivate")]
    assert len(told) == 4


async def test_a_command_that_is_ended_early_says_what_it_did(
    services: Services,
    tenant: Tenant,
    people: Seed,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C after the first ticket's links; the second ticket is as it was."""
    first, second = [await on_ticket(services, tenant, people, CARLA) for _ in range(2)]
    url = services.settings.database_url
    assert url

    @contextmanager
    def stopping(_label: str) -> Iterator[SimpleNamespace]:
        def moved(*_: object) -> None:
            raise KeyboardInterrupt

        yield SimpleNamespace(moved=moved)

    monkeypatch.setattr(importlib.import_module("app.cli.undo"), "bar", stopping)
    hour = timedelta(hours=1)
    assert (
        await asyncio.to_thread(run_undo, services.settings, url, hour, None, dry_run=False) == 130
    )

    said = capsys.readouterr().out
    assert f"{first} unlink {people.carla} {CARLA}: taken off the ticket" in said
    assert "Undone: 1 of 1" in said
    assert "Stopped early" in said
    assert (tenant.linked_contacts(first), tenant.linked_contacts(second)) == ([], [people.carla])


# --- the note ------------------------------------------------------------------------------------


async def test_with_notes_a_second_one_says_who_was_taken_off(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed
) -> None:
    """The undo itself makes the ticket due for it."""
    services = await make_services(ticket_note="internal", ticket_note_publish=2)
    ticket = await on_ticket(services, tenant, people, CARLA)
    await undo(services, ticket)
    async with services.sessions() as session, session.begin():
        [lease] = await work.claim(session, work.TICKET, "test", 1)
    assert await look(services, lease) == Result.DONE

    first, second = tenant.notes_of(ticket)
    assert "Added to this ticket" in first["description"]
    assert f"Taken off again:\n- {CARLA}" in second["description"]
    assert tenant.linked_contacts(ticket) == []
