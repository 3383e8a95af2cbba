"""Undo: by our records alone, and never what a person touched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from app.cli.common import read_since
from app.cli.undo import run_undo
from app.contacts.undo import Undo, UndoStep
from app.db.states import Result
from app.db.tables import Audit, Due, Ledger, LinkRecord, Mapping, Participant
from app.due import work
from app.due.exclusive import InUse
from app.records import links as link_records
from app.records import undo as undo_records
from app.services import Services
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import due_of, look_at, outcomes, rows, want
from tests.support.lifetimes import ours, stands

CARLA = "carla.mendes@alpine-dental.example"
NINA = "nina@radiology.example"


@pytest.fixture
async def ticket(services: Services, tenant: Tenant, people: Seed) -> int:
    """A ticket with Carla linked and Nina created by us."""
    made = tenant.new_ticket(people.alpine, cc=f"{CARLA}, {NINA}")
    assert await look_at(services, made) == Result.DONE
    return made


def nina(tenant: Tenant) -> dict[str, Any]:
    """Return the contact that we created."""
    return tenant.contacts[ours(tenant)]


async def undo(services: Services, ticket: int, *, dry_run: bool = False) -> list[UndoStep]:
    """Undo a ticket as somebody with a key does."""
    return await Undo(services, "writer", dry_run).ticket(ticket)


async def undo_all(services: Services, *tickets: int, dry_run: bool = False) -> list[UndoStep]:
    """Undo tickets by one order, as the command does."""
    return [step async for some in Undo(services, "cli", dry_run).tickets(tickets) for step in some]


def told(steps: list[UndoStep], action: str, address: str = NINA) -> UndoStep:
    """Pick a step."""
    [step] = [one for one in steps if (one.action, one.address) == (action, address)]
    return step


async def test_all_of_it_is_undone(
    services: Services, tenant: Tenant, ticket: int, people: Seed
) -> None:
    """Off the ticket, the new contact retired, the known one as she was, recorded with a name."""
    steps = await undo(services, ticket)
    assert [(s.action, s.address, s.done, s.again) for s in steps] == [
        ("unlink", CARLA, True, False),
        ("unlink", NINA, True, False),
        ("deactivate", NINA, True, False),
    ]
    assert tenant.linked_contacts(ticket) == []
    assert stands(nina(tenant)) == (0, None)
    assert tenant.contacts[people.carla]["isActive"] == 1
    assert {o for _, o in (await outcomes(services, ticket)).values()} == {"unlinked"}
    assert [row.state for row in await rows(services, Ledger)] == ["retired"]
    assert NINA not in {row.email for row in await rows(services, Mapping)}
    done = [row for row in await rows(services, Audit) if row.what.startswith("undo_")]
    assert {(row.who, row.ticket_id) for row in done} == {("writer", ticket)}
    assert len(done) == 3


async def test_nobody_is_brought_again(services: Services, tenant: Tenant, ticket: int) -> None:
    """Whoever asks for a look; what was undone stays to be seen."""
    await undo(services, ticket)
    for _ in range(2):
        assert await look_at(services, ticket) == Result.DONE
    assert tenant.linked_contacts(ticket) == []
    assert nina(tenant)["isActive"] == 0
    assert {o for _, o in (await outcomes(services, ticket)).values()} == {"unlinked"}


async def test_who_is_linked_by_hand_afterwards_is_not_ours(
    services: Services, tenant: Tenant, ticket: int, people: Seed
) -> None:
    """A second undo leaves her."""
    await undo(services, ticket)
    tenant.link(ticket, people.carla)
    await look_at(services, ticket)
    assert await undo(services, ticket) == []
    assert tenant.linked_contacts(ticket) == [people.carla]


async def test_a_dry_run_says_the_same_and_changes_nothing(
    services: Services, tenant: Tenant, ticket: int
) -> None:
    """Neither at Autotask nor in our tables."""
    tables = (Participant, LinkRecord, Ledger, Mapping, Audit, Due)
    before = [
        [r.__dict__ | {"_sa_instance_state": 0} for r in await rows(services, t)] for t in tables
    ]
    writes = [c for c in tenant.calls if c.method in ("PATCH", "DELETE")]
    steps = await undo(services, ticket, dry_run=True)
    after = [
        [r.__dict__ | {"_sa_instance_state": 0} for r in await rows(services, t)] for t in tables
    ]
    assert after == before
    assert [c for c in tenant.calls if c.method in ("PATCH", "DELETE")] == writes
    real = await undo(services, ticket)
    assert [(s.action, s.address, s.done) for s in steps] == [
        (s.action, s.address, s.done) for s in real
    ]


def rename(tenant: Tenant, people: Seed) -> None:
    tenant.change_contact(nina(tenant)["id"], lastName="Other")


def second_address(tenant: Tenant, people: Seed) -> None:
    tenant.change_contact(nina(tenant)["id"], emailAddress2="n@x.example")


def mute(tenant: Tenant, people: Seed) -> None:
    tenant.change_contact(nina(tenant)["id"], receivesEmailNotifications=False)


def own_ticket(tenant: Tenant, people: Seed) -> None:
    tenant.new_ticket(people.alpine, contact_id=nina(tenant)["id"])


def on_another(tenant: Tenant, people: Seed) -> None:
    tenant.link(tenant.new_ticket(people.alpine), nina(tenant)["id"])


@pytest.mark.parametrize("touch", [rename, second_address, mute, own_ticket, on_another])
async def test_whom_a_person_touched_stays_active(
    services: Services,
    tenant: Tenant,
    ticket: int,
    people: Seed,
    touch: Callable[[Tenant, Seed], None],
) -> None:
    """Off the ticket all the same; the reason is said."""
    touch(tenant, people)
    step = told(await undo(services, ticket), "deactivate")
    assert (step.done, step.again) == (False, False)
    assert step.detail.startswith("kept: ")
    assert nina(tenant)["isActive"] == 1
    assert nina(tenant)["id"] not in tenant.linked_contacts(ticket)


async def test_a_contact_that_we_linked_elsewhere_stays_unless_that_is_undone_too(
    services: Services, tenant: Tenant, ticket: int, people: Seed
) -> None:
    """One order for both takes all links off first."""
    other = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, other)
    dry = await undo_all(services, ticket, other, dry_run=True)
    assert told([s for s in dry if s.ticket_id == ticket], "deactivate").done
    assert not told(await undo(services, ticket, dry_run=True), "deactivate").done

    async with services.sessions() as session:
        ids = await undo_records.tickets_since(session, timedelta(hours=1))
        assert (
            await undo_records.tickets_since(session, datetime.now(UTC) + timedelta(hours=1)) == []
        )
    assert ids == [ticket, other]
    await undo_all(services, *ids)
    assert nina(tenant)["isActive"] == 0
    assert tenant.linked_contacts(other) == []


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "late_commit", "garbage"])
@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
async def test_a_lost_answer_is_read_again_and_done_again(
    services: Services, tenant: Tenant, ticket: int, kind: Any, method: str
) -> None:
    """Both requests may be repeated."""
    tenant.faults.add(Fault(kind, method=method, seconds=0.2))
    assert all(step.done for step in await undo(services, ticket))
    await asyncio.sleep(0.3)
    assert tenant.linked_contacts(ticket) == []
    assert nina(tenant)["isActive"] == 0


async def test_an_undo_that_dies_is_completed_by_the_next(
    services: Services, tenant: Tenant, ticket: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is brought again in between, though the record of the unlinking is missing."""

    async def dies(*_args: Any, **_kwargs: Any) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(link_records, "unlinked", dies)
        with pytest.raises(asyncio.CancelledError):
            await undo(services, ticket)
    assert len(tenant.linked_contacts(ticket)) == 1
    await undo(services, ticket)
    assert tenant.linked_contacts(ticket) == []
    assert {o for _, o in (await outcomes(services, ticket)).values()} == {"unlinked"}


async def test_a_refused_unlink_changes_nothing(
    services: Services, tenant: Tenant, ticket: int
) -> None:
    """The contact is on the ticket, so it stays active and the records say so."""
    fault = Fault("error_500_errors", method="DELETE", text="Not now.", times=None)
    tenant.faults.add(fault)
    steps = await undo(services, ticket)
    assert told(steps, "unlink").again
    assert not told(steps, "deactivate").done
    assert len(tenant.linked_contacts(ticket)) == 2
    assert {row.unlinked_at for row in await rows(services, LinkRecord)} == {None}
    assert {row.rejected_by for row in await rows(services, Participant)} == {None}


async def test_a_ticket_that_is_looked_at_is_not_undone(
    services: Services,
    tenant: Tenant,
    ticket: int,
    api: httpx.AsyncClient,
    writer: dict[str, str],
) -> None:
    """409, and nothing is sent; nor is it looked at while it is undone."""
    await want(services, ticket)
    async with services.sessions() as session, session.begin():
        assert await work.claim(session, work.TICKET, "looking", 1)
    with pytest.raises(InUse):
        await undo(services, ticket)
    answer = await api.post(f"/admin/tickets/{ticket}/undo", headers=writer)
    assert answer.status_code == 409
    assert len(tenant.linked_contacts(ticket)) == 2
    assert [step.again for step in await undo_all(services, ticket)] == [True, True]

    async with services.sessions() as session, session.begin():
        await session.execute(update(Due).values(holder=None, lease_until=None, due_at=None))
    async with services.sessions() as session, session.begin():
        assert await work.take(session, work.TICKET, ticket, "undo")
    await want(services, ticket)
    async with services.sessions() as session, session.begin():
        assert await work.claim(session, work.TICKET, "looking", 1) == []


async def test_what_was_due_is_due_afterwards(services: Services, ticket: int) -> None:
    """And what was not is not."""
    await undo(services, ticket)
    due = await due_of(services, ticket)
    assert (due.due_at, due.holder) == (None, None)
    await want(services, ticket)
    await undo(services, ticket)
    due = await due_of(services, ticket)
    assert due.due_at is not None
    assert due.done < due.wanted


async def test_over_http_every_contact_is_listed(
    api: httpx.AsyncClient, writer: dict[str, str], reader: dict[str, str], ticket: int
) -> None:
    """With what was done; a reader may not."""
    path = f"/admin/tickets/{ticket}/undo"
    assert (await api.post(path, headers=reader)).status_code == 403
    assert (await api.post("/admin/tickets/999/undo", headers=writer)).status_code == 404
    dry = (await api.post(f"{path}?dry_run=true", headers=writer)).json()
    assert (dry["dry_run"], dry["complete"], len(dry["steps"])) == (True, True, 3)
    done = (await api.post(path, headers=writer)).json()
    assert [step["done"] for step in done["steps"]] == [True] * 3
    assert (await api.post(path, headers=writer)).json()["steps"] == []


async def test_the_command_says_each_step(
    services: Services, tenant: Tenant, ticket: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """And ends with 1 while there is something to be tried again."""
    url = services.settings.database_url
    assert url

    def run(*, dry_run: bool = False) -> int:
        return run_undo(services.settings, url, timedelta(hours=2), None, dry_run=dry_run)

    assert await asyncio.to_thread(run, dry_run=True) == 0
    assert "Would be undone: 3 of 3" in capsys.readouterr().out
    tenant.faults.add(Fault("error_500_errors", method="DELETE", text="No."))
    assert await asyncio.to_thread(run) == 1
    assert await asyncio.to_thread(run) == 0
    assert NINA in capsys.readouterr().out
    assert tenant.linked_contacts(ticket) == []


@pytest.mark.parametrize("text", ["", "yesterday", "2x", "h2"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    """With what it should look like."""
    with pytest.raises(ValueError, match="neither like 2h"):
        read_since(text)


def test_times_are_utc() -> None:
    """Unless they say otherwise."""
    assert read_since("2h") == timedelta(hours=2)
    assert read_since("2026-11-23T10:00") == datetime(2026, 11, 23, 10, tzinfo=UTC)
