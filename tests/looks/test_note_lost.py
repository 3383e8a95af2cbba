"""The note on a ticket, against the sandbox: once, whatever is lost or refused on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from app.autotask.client import Autotask
from app.db.states import Result
from app.db.tables import Due, Gate, Note
from app.due import work
from app.due.work import LeaseLost
from app.looks import note as notes
from app.looks.look import look
from app.outbound import gate
from app.services import Services
from sandbox.calls import Call
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.conftest import work_until
from tests.support.helpers import let_pass, look_at, notes_on, result_of, rows, want

pytestmark = pytest.mark.wait

CARLA = "carla.mendes@alpine-dental.example"
GUARDED = "dora.lind@alpine-dental.example"  # inactive, so she is held
INSIDE = 2
MakeServices = Callable[..., Any]


@pytest.fixture
async def noting(make_services: MakeServices) -> Services:
    """A process that writes a note on every ticket."""
    services: Services = await make_services(
        ticket_note="internal", ticket_note_publish=INSIDE, create_settle=1.0
    )
    return services


async def finish(services: Services, ticket: int) -> None:
    """Work until the ticket is done."""

    async def done() -> bool:
        return await result_of(services, ticket) == Result.DONE

    await work_until(services, done, 20)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("reset_after", method="POST", entity="TicketNotes"),
        Fault("reset_before", method="POST", entity="TicketNotes"),
        Fault("hang_after", method="POST", entity="TicketNotes", seconds=0.3),
        Fault("hang_before", method="POST", entity="TicketNotes", seconds=0.3),
        Fault("late_commit", method="POST", entity="TicketNotes", seconds=0.7),
        Fault("garbage", method="POST", entity="TicketNotes"),
        Fault("error_500", method="POST", entity="TicketNotes"),
    ],
    ids=lambda fault: fault.kind,
)
async def test_a_lost_answer_makes_neither_two_notes_nor_none(
    noting: Services, tenant: Tenant, people: Seed, fault: Fault
) -> None:
    """It is looked for first, until Autotask can no longer carry the request out."""
    tenant.faults.add(fault)
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    await want(noting, ticket)
    await finish(noting, ticket)
    await asyncio.sleep(1)
    assert len(notes_on(tenant, ticket)) == 1
    created = [row.note_id for row in await rows(noting, Note) if row.state == "created"]
    assert created == [notes_on(tenant, ticket)[0]["id"]]


@pytest.mark.parametrize("left", [False, True], ids=["before it left", "after it was written"])
async def test_a_look_that_dies_with_its_note_under_way_leaves_one(
    noting: Services, tenant: Tenant, people: Seed, left: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next look finds the stored intent, and then the note or the time in which it can come."""

    async def dies(*_args: Any, **_kwargs: Any) -> None:
        raise asyncio.CancelledError

    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    with monkeypatch.context() as patch:
        if left:
            patch.setattr(notes, "persist_with", dies)
        else:
            patch.setattr(Autotask, "create_note", dies)
        with pytest.raises(asyncio.CancelledError):
            await look_at(noting, ticket)
    assert [row.state for row in await rows(noting, Note)] == ["sending"]
    assert len(notes_on(tenant, ticket)) == left
    async with noting.sessions() as session, session.begin():
        await session.execute(update(Due).values(holder=None, lease_until=None))
    await want(noting, ticket)
    await finish(noting, ticket)
    assert len(notes_on(tenant, ticket)) == 1


async def test_a_note_that_is_refused_fails_no_ticket(
    noting: Services, tenant: Tenant, people: Seed, api: httpx.AsyncClient, reader: dict[str, str]
) -> None:
    """It is shown with the ticket."""
    fault = Fault("error_500_errors", method="POST", entity="TicketNotes", text="No notes here.")
    tenant.faults.add(fault)
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    assert await look_at(noting, ticket) == Result.DONE
    shown = (await api.get(f"/admin/tickets/{ticket}", headers=reader)).json()
    [note] = shown["notes"]
    assert (note["state"], note["note_id"]) == ("refused", None)
    assert "No notes here." in note["error"]


async def test_a_forbidden_note_is_not_tried_on_every_ticket(
    noting: Services, tenant: Tenant, people: Seed
) -> None:
    """Each try would shut the gate for everybody."""
    tenant.faults.add(Fault("forbidden", method="POST", entity="TicketNotes", times=None))
    first, second = (tenant.new_ticket(people.alpine, cc=CARLA) for _ in range(2))
    assert await look_at(noting, first) == Result.DONE
    async with noting.sessions() as session, session.begin():
        await session.execute(update(Gate).values(shut_until=None))
    assert await look_at(noting, second) == Result.DONE
    tried = [c for c in tenant.calls if (c.method, c.entity) == ("POST", "TicketNotes")]
    assert len(tried) == 1


async def test_a_pause_keeps_the_note_back(noting: Services, tenant: Tenant, people: Seed) -> None:
    """It is a write; afterwards it is written."""
    ticket = tenant.new_ticket(people.alpine, cc=GUARDED)
    async with noting.sessions() as session, session.begin():
        await gate.pause(session, "ops")
    assert await look_at(noting, ticket) is None
    assert notes_on(tenant, ticket) == []
    async with noting.sessions() as session, session.begin():
        await gate.pause(session, None)
    assert await look_at(noting, ticket) == Result.DONE
    assert len(notes_on(tenant, ticket)) == 1


async def test_a_ticket_does_not_stay_open_for_ever_for_its_note(
    noting: Services, tenant: Tenant, people: Seed
) -> None:
    """After a day it is done without."""
    busy = "The Autotask API thread threshold of 3 threads has been exceeded."
    tenant.faults.add(Fault("error_500_errors", "POST", "TicketNotes", times=None, text=busy))
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    assert await look_at(noting, ticket) is None
    await let_pass(noting, ticket, 25 * 3600)
    assert await look_at(noting, ticket) == Result.DONE


async def test_two_looks_at_one_ticket_write_one_note(
    noting: Services, tenant: Tenant, people: Seed
) -> None:
    """The first was taken for dead while its note was under way."""
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    await want(noting, ticket)
    loop = asyncio.get_running_loop()
    looks: list[asyncio.Future[Any]] = []

    async def take_over() -> None:
        async with noting.sessions() as session, session.begin():
            await session.execute(update(Due).values(lease_until=Due.lease_until - work.LEASE * 2))
        async with noting.sessions() as session, session.begin():
            [lease] = await work.claim(session, work.TICKET, "successor", 1)
        looks.append(asyncio.ensure_future(look(noting, lease)))
        await asyncio.sleep(0.2)

    def on_note(call: Call) -> None:
        if call.method == "POST" and call.entity == "TicketNotes":
            tenant.before_call = lambda _: None
            asyncio.run_coroutine_threadsafe(take_over(), loop).result(10)

    tenant.before_call = on_note
    async with noting.sessions() as session, session.begin():
        [lease] = await work.claim(session, work.TICKET, "slow", 1)
    with pytest.raises(LeaseLost):
        await look(noting, lease)
    await asyncio.gather(*looks)
    await finish(noting, ticket)
    assert len(notes_on(tenant, ticket)) == 1
