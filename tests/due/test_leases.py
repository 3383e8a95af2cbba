"""Leases on due work: what keeps them, what ends them, and what their old holders cannot do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import func, update

from app.db.database import Sessions, db_now, make_engine, make_sessions
from app.db.states import Priority
from app.db.tables import Due, Worker
from app.due import work
from app.due.work import LEASE, LeaseLost
from tests.support.due_work import NOW, SECOND, beat, change, claim, expire, finish, row, want


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    """A database with nothing due."""
    engine = make_engine(database_url)
    yield make_sessions(engine)
    await engine.dispose()


async def test_a_ticket_that_is_held_is_nobody_elses(sessions: Sessions) -> None:
    """Not even where it is wanted meanwhile."""
    await want(sessions, 1)
    await claim(sessions)
    await want(sessions, 1, priority=Priority.URGENT)
    assert await claim(sessions, "b") == []


async def test_an_expired_lease_is_reclaimed_and_the_old_holder_fenced_out(
    sessions: Sessions,
) -> None:
    """Who was only slow can neither write nor finish; the successor's lease is not touched."""
    await want(sessions, 1)
    [old] = await claim(sessions)
    await expire(sessions)

    [new] = await claim(sessions, "b")

    assert (new.tries, new.attempt) == (2, old.attempt + 1)
    with pytest.raises(LeaseLost):
        async with work.fenced(sessions, old):
            pytest.fail("entered without the lease")
    async with sessions() as session:
        with pytest.raises(LeaseLost):
            await work.finish(session, old)
    assert await beat(sessions, old) == {old}
    due = await row(sessions)
    assert (due.holder, due.attempt) == ("b", new.attempt)


async def test_the_same_process_is_fenced_out_by_its_own_later_claim(sessions: Sessions) -> None:
    """The holder's name alone is not the lease: the attempt belongs to it."""
    await want(sessions, 1)
    [old] = await claim(sessions, "a")
    await expire(sessions)
    await claim(sessions, "a")
    with pytest.raises(LeaseLost):
        await finish(sessions, old)


async def test_a_want_that_came_during_a_lost_look_is_not_lost(sessions: Sessions) -> None:
    """The successor of a dead holder leaves the ticket due, too."""
    await want(sessions, 1)
    await claim(sessions)
    await want(sessions, 1)
    await expire(sessions)
    [new] = await claim(sessions, "b")
    await finish(sessions, new)
    due = await row(sessions)
    assert due.holder is None
    assert due.due_at is not None


async def test_a_heartbeat_keeps_a_lease(sessions: Sessions) -> None:
    """Beaten leases are prolonged by the whole time; of several only the lost one is named."""
    await want(sessions, 1, 2)
    leases = sorted(await claim(sessions), key=lambda lease: lease.ref)
    await change(sessions, 1, lease_until=func.now() + SECOND)
    await expire(sessions, 2)

    assert await beat(sessions, *leases) == {leases[1]}

    async with sessions() as session:
        now = await db_now(session)
        assert await work.is_held(session, leases[0])
        assert not await work.is_held(session, leases[1])
    until = (await row(sessions, 1)).lease_until
    assert until is not None
    assert until > now + LEASE - 5 * SECOND


async def test_a_lease_ends_at_its_last_moment(sessions: Sessions) -> None:
    """At that moment it is too late to prolong it."""
    await want(sessions, 1)
    [lease] = await claim(sessions)
    async with sessions() as session, session.begin():
        await session.execute(update(Due).values(lease_until=func.now()))
        assert await work.beat(session, [lease]) == {lease}


async def test_nobody_can_claim_while_a_holder_writes(sessions: Sessions) -> None:
    """A fenced transaction, once entered, commits as the holder, however long it takes."""
    await want(sessions, 1)
    [lease] = await claim(sessions)
    await expire(sessions)
    async with work.fenced(sessions, lease) as session:
        assert await claim(sessions, "b") == []
        session.add(Worker(id="written under the lease"))
    async with sessions() as session:
        assert await session.get(Worker, "written under the lease")
    assert len(await claim(sessions, "b")) == 1


async def test_what_fails_within_a_fenced_transaction_is_not_written(sessions: Sessions) -> None:
    """All of it or nothing."""
    await want(sessions, 1)
    [lease] = await claim(sessions)

    async def finish_and_fail() -> None:
        async with work.fenced(sessions, lease) as session:
            await work.finish(session, lease)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await finish_and_fail()
    assert (await row(sessions)).holder == "a"


async def test_repeated_deaths_are_spaced_out(sessions: Sessions) -> None:
    """The first death costs the lease only; each further one a longer pause, an hour at most."""
    await want(sessions, 1)
    pauses = []
    for deaths in (0, 1, 2, 50):
        await claim(sessions)
        await change(sessions, deaths=deaths)
        for seconds in (1, 11, 41, 3601):
            await expire(sessions, ago=timedelta(seconds=seconds))
            if await claim(sessions):
                pauses.append(seconds)
                break
        await change(sessions, holder=None, lease_until=None, due_at=func.now())
    assert pauses == [1, 11, 41, 3601]


async def test_each_death_of_a_holder_is_counted_once(sessions: Sessions) -> None:
    """The first claim is no death, and what only had to wait for its turn is none either."""
    await want(sessions, 1)
    counted = []
    for _ in range(3):
        assert await claim(sessions)
        counted.append((await row(sessions)).deaths)
        await expire(sessions, ago=timedelta(hours=2))
    assert counted == [0, 1, 2]


async def test_a_look_that_ends_forgets_the_deaths_before_it(sessions: Sessions) -> None:
    """The work kills nobody any more: the next death costs the lease only."""
    await want(sessions, 1)
    await claim(sessions)
    await expire(sessions)
    [lease] = await claim(sessions, "b")
    await finish(sessions, lease, NOW)
    await claim(sessions)
    await expire(sessions)
    assert len(await claim(sessions, "b")) == 1


async def test_the_work_of_the_dead_is_not_overtaken_for_ever(sessions: Sessions) -> None:
    """A ticket whose worker died goes before those that became due after it."""
    await want(sessions, 1)
    await change(sessions, due_at=func.now() - timedelta(minutes=5))
    await claim(sessions)
    await expire(sessions)
    await want(sessions, 2, 3)
    assert [lease.ref for lease in await claim(sessions, "b", limit=1)] == [1]
