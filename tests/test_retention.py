"""Retention: history is thinned out, and a replay after a year re-adds nobody."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, update

from app import chores, retention, work
from app.desk import Desk
from app.models import Delivery, Due, Ledger, Look, Mapping, Participant, TicketRecord
from app.states import Priority, Result
from app.work import Chore
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.helpers import changes, look_at, outcomes, rows

NINA = "nina@radiology.example"
OMAR = "omar@elsewhere.example"


async def thin_out(desk: Desk) -> None:
    """Run the chore."""
    async with desk.sessions() as session, session.begin():
        await work.want(session, work.CHORE, Chore.RETENTION, timedelta(0), Priority.LIVE)
        [lease] = await work.claim(session, work.CHORE, "test", 1)
    await chores.run(desk, lease)


async def age(desk: Desk, days: int) -> None:
    """Let everything have happened so many days earlier."""
    ago = timedelta(days=days)
    async with desk.sessions() as session, session.begin():
        await session.execute(update(Delivery).values(received_at=Delivery.received_at - ago))
        await session.execute(update(Look).values(ended_at=Look.ended_at - ago))


def delivery(number: int) -> Delivery:
    return Delivery(
        entity_type="Ticket",
        entity_id=number,
        action="Create",
        sequence_number=number,
        body_sha256="0" * 64,
    )


async def test_old_deliveries_and_looks_go(
    desk: Desk, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In small batches; of each ticket the last look stays, which says what became of it."""
    monkeypatch.setattr(retention, "_BATCH", 3)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    for _ in range(5):
        await look_at(desk, ticket)
    async with desk.sessions() as session, session.begin():
        session.add_all(delivery(number) for number in range(7))
    await age(desk, 91)
    async with desk.sessions() as session, session.begin():
        session.add(delivery(8))
    newest = max(look.id for look in await rows(desk, Look))

    await thin_out(desk)

    assert [one.entity_id for one in await rows(desk, Delivery)] == [8]
    assert [one.id for one in await rows(desk, Look)] == [newest]


@pytest.mark.parametrize(("days", "kept"), [(29, 5), (31, 1)])
async def test_the_days_are_a_setting(
    make_desk: Callable[..., Any], tenant: Tenant, people: Seed, days: int, kept: int
) -> None:
    """What is younger than that stays whole."""
    desk: Desk = await make_desk(retention_days=30)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    for _ in range(5):
        await look_at(desk, ticket)
    await age(desk, days)
    await thin_out(desk)
    assert len(await rows(desk, Look)) == kept


async def test_a_replay_after_a_year_re_adds_nobody(
    desk: Desk, tenant: Tenant, people: Seed, server: SandboxServer
) -> None:
    """Whom a person took off, and what was decided, is known for good."""
    ticket = tenant.new_ticket(people.alpine, cc=f"{NINA}, {OMAR}")
    parked = tenant.new_ticket(people.msp, cc=NINA)
    await look_at(desk, ticket)
    await look_at(desk, parked)
    taken_off = next(one.contact_id for one in await rows(desk, Participant) if one.key == NINA)
    tenant.unlink(ticket, taken_off)
    await look_at(desk, ticket)
    await age(desk, 365)
    kept = [await rows(desk, model) for model in (Ledger, Mapping, Participant, TicketRecord)]

    await thin_out(desk)

    after = [await rows(desk, model) for model in (Ledger, Mapping, Participant, TicketRecord)]
    assert [len(some) for some in after] == [len(some) for some in kept]
    written = len(changes(server))
    assert await look_at(desk, ticket) == Result.DONE
    assert len(changes(server)) == written
    assert (await outcomes(desk, ticket))[NINA] == ("removed_by_person", "ignored")


async def test_a_chore_is_due_again_when_it_is_done(desk: Desk) -> None:
    """By its own interval, with its holder gone."""
    await thin_out(desk)
    [due] = [one for one in await rows(desk, Due) if one.kind == work.CHORE]
    assert due.holder is None
    async with desk.sessions() as session:
        now = (await session.execute(func.now().select())).scalar_one()
    assert timedelta(hours=5) < due.due_at - now < timedelta(hours=7)
