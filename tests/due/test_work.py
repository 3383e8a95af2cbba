"""Due work on a real PostgreSQL: what is wanted, who gets it, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from app.db.database import Sessions, make_engine, make_sessions
from app.db.states import Priority, WaitsFor
from app.db.tables import Due, Worker
from app.due import backlog, work
from app.due.work import LEASE, RUNNING, TICKET, Lease
from tests.support.due_work import NOW, SECOND, change, claim, expire, finish, row, want


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    """A database with nothing due."""
    engine = make_engine(database_url)
    yield make_sessions(engine)
    await engine.dispose()


# --- want ----------------------------------------------------------------------------------------


async def test_many_triggers_make_one_look(sessions: Sessions) -> None:
    """Five callouts of a ticket are one thing to do, and the look covers all of them."""
    for _ in range(5):
        await want(sessions, 1)

    [lease] = await claim(sessions)
    await finish(sessions, lease)

    due = await row(sessions)
    assert (lease.wanted, due.wanted, due.done, due.due_at) == (5, 5, 5, None)
    assert await claim(sessions) == []


async def test_a_want_makes_it_sooner_never_later(sessions: Sessions) -> None:
    """The earlier time and the more urgent priority stay."""
    await want(sessions, 1, delay=timedelta(hours=1))
    await want(sessions, 1, delay=timedelta(minutes=1), priority=Priority.URGENT)
    sooner = await row(sessions)
    await want(sessions, 1, delay=timedelta(hours=2))

    due = await row(sessions)
    assert due.due_at is not None
    assert sooner.due_at == due.due_at < sooner.since + timedelta(minutes=2)
    assert due.priority == Priority.URGENT


async def test_what_is_not_due_yet_is_not_claimed(sessions: Sessions) -> None:
    """A ticket settles before its first look."""
    await want(sessions, 1, delay=timedelta(seconds=60))
    assert await claim(sessions) == []


async def test_kinds_do_not_mix(sessions: Sessions) -> None:
    """A worker gets only the kind of work that it asks for."""
    async with sessions() as session, session.begin():
        await work.want(session, "chore", 1, NOW, Priority.LIVE)
    assert await claim(sessions) == []


async def test_ending_a_look_ends_nothing_of_another_kind(sessions: Sessions) -> None:
    """A chore may have the number of a ticket, and the same holder."""
    await want(sessions, 1)
    [lease] = await claim(sessions)
    async with sessions() as session, session.begin():
        await work.want(session, "chore", 1, NOW, Priority.LIVE)
        [chore] = await work.claim(session, "chore", "a", 1)
    await finish(sessions, lease)
    async with sessions() as session:
        assert await work.is_held(session, chore)


@pytest.mark.parametrize("again", [None, timedelta(hours=1)])
async def test_a_want_during_a_look_leaves_it_due(
    sessions: Sessions, again: timedelta | None
) -> None:
    """What came while we looked is looked at, at once, however the look ended."""
    await want(sessions, 1)
    [lease] = await claim(sessions)
    await want(sessions, 1)

    await finish(sessions, lease, again)

    due = await row(sessions)
    assert (due.wanted, due.done) == (2, 1)
    [second] = await claim(sessions, "b")
    assert (second.wanted, second.attempt) == (2, lease.attempt + 1)


async def test_age_and_tries_start_anew_only_when_it_was_idle(sessions: Sessions) -> None:
    """A new trigger does not make work that is being retried young again."""
    await want(sessions, 1)
    [lease] = await claim(sessions)
    await finish(sessions, lease, NOW)
    await change(sessions, since=func.now() - timedelta(hours=70))
    old = (await row(sessions)).since

    await want(sessions, 1)
    assert (await row(sessions)).since == old
    [lease] = await claim(sessions)
    assert (lease.tries, lease.age > timedelta(hours=69)) == (2, True)
    await want(sessions, 1)
    assert (await row(sessions)).since == old
    await finish(sessions, lease, NOW)
    assert (await row(sessions)).since == old


async def test_age_and_tries_start_anew_when_it_was_over(sessions: Sessions) -> None:
    """A ticket that comes back after weeks has 72 hours again."""
    await want(sessions, 1)
    [lease] = await claim(sessions)
    await finish(sessions, lease)
    await change(sessions, since=func.now() - timedelta(days=9), tries=7)

    await want(sessions, 1)

    [lease] = await claim(sessions)
    assert (lease.tries, lease.age < timedelta(minutes=1)) == (1, True)


async def test_tries_start_anew_for_what_came_during_a_look_that_ended(sessions: Sessions) -> None:
    """What was wanted meanwhile is new work, not another try."""
    await want(sessions, 1)
    [lease] = await claim(sessions)
    await want(sessions, 1)
    await finish(sessions, lease)

    [again] = await claim(sessions)
    assert again.tries == 1


async def test_age_starts_anew_for_what_came_during_a_look_that_ended(sessions: Sessions) -> None:
    """The look that ended settled what was wanted before; the rest is as old as its trigger."""
    await want(sessions, 1)
    await change(sessions, since=func.now() - timedelta(hours=80))
    [lease] = await claim(sessions)
    await want(sessions, 1)
    await finish(sessions, lease)
    [lease] = await claim(sessions)
    assert lease.age < timedelta(minutes=1)


# --- claim ---------------------------------------------------------------------------------------


async def test_no_two_claimers_get_the_same_row(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight workers at once, 200 tickets, three at a time: each ticket goes to one of them."""
    monkeypatch.setattr(work, "RUNNING", 1000)
    await want(sessions, *range(200))

    async def claimer(holder: str) -> list[Lease]:
        taken: list[Lease] = []
        while batch := await claim(sessions, holder, 3):
            assert len(batch) <= 3
            taken += batch
        return taken

    taken = await asyncio.gather(*(claimer(f"worker {n}") for n in range(8)))

    refs = [lease.ref for leases in taken for lease in leases]
    assert sorted(refs) == list(range(200))
    assert sum(bool(leases) for leases in taken) > 1


async def test_no_more_is_claimed_than_can_run_at_once(sessions: Sessions) -> None:
    """Over all processes; what was finished, and what a dead holder left, makes room."""
    await want(sessions, *range(2 * RUNNING))
    first = await claim(sessions, "a")
    assert (len(first), await claim(sessions, "b")) == (RUNNING, [])

    await finish(sessions, first[0])
    await expire(sessions, first[1].ref)

    assert len(await claim(sessions, "b")) == 2


async def test_only_leases_that_hold_and_of_its_kind_take_a_place(sessions: Sessions) -> None:
    """Chores do not keep tickets from being looked at, nor does a lease that ends at the moment."""
    async with sessions() as session, session.begin():
        for ref in range(RUNNING):
            for kind, left in [("chore", LEASE), (TICKET, NOW)]:
                until = func.now() + left
                session.add(Due(kind=kind, ref=ref, priority=1, holder="a", lease_until=until))
        await work.want(session, TICKET, 99, NOW, Priority.LIVE)
        await session.flush()
        assert [one.ref for one in await work.claim(session, TICKET, "b", 1)] == [99]


async def test_a_claim_does_not_wait_for_another_one(sessions: Sessions) -> None:
    """While one worker's claim is not committed, another gets the next ticket at once."""
    await want(sessions, 1, 2)
    async with sessions() as first, first.begin():
        [one] = await work.claim(first, TICKET, "a", 1)
        async with asyncio.timeout(5):
            [two] = await claim(sessions, "b")
    assert {one.ref, two.ref} == {1, 2}


async def test_wants_and_claims_at_once_lose_nothing(sessions: Sessions) -> None:
    """A hundred triggers of five tickets while four workers look: the last look covers all."""

    async def trigger(n: int) -> None:
        await want(sessions, n % 5)

    async def worker(holder: str) -> None:
        while not triggered.done() or not await idle():
            for lease in await claim(sessions, holder, 2):
                await asyncio.sleep(0)
                await finish(sessions, lease)

    async def idle() -> bool:
        async with sessions() as session:
            busy = select(Due.ref).where(Due.due_at.is_not(None) | Due.holder.is_not(None))
            return (await session.execute(busy)).first() is None

    async def triggers() -> None:
        await asyncio.gather(*(trigger(n) for n in range(100)))

    triggered = asyncio.create_task(triggers())
    async with asyncio.timeout(30):
        await asyncio.gather(*(worker(f"worker {n}") for n in range(4)))

    rows = [await row(sessions, ref) for ref in range(5)]
    assert [(due.wanted, due.done) for due in rows] == [(20, 20)] * 5


async def test_most_urgent_first_then_longest_due(sessions: Sessions) -> None:
    """A person who waits goes before callouts, and those in the order they became due."""
    await want(sessions, 1, 2, 3, 4)
    await change(sessions, 3, due_at=func.now() - 2 * SECOND)
    await change(sessions, 1, due_at=func.now() - SECOND)
    await change(sessions, 4, priority=int(Priority.URGENT))
    order = [(await claim(sessions, limit=1))[0].ref for _ in range(4)]
    assert order == [4, 3, 1, 2]


async def test_urgency_ends_with_the_look_that_it_was_for(sessions: Sessions) -> None:
    """The next trigger of the ticket is as urgent as any."""
    await want(sessions, 1, priority=Priority.URGENT)
    [lease] = await claim(sessions)
    await finish(sessions, lease)
    await want(sessions, 1)
    assert (await row(sessions)).priority == Priority.LIVE


@pytest.mark.parametrize(("spent", "tries"), [(True, 3), (False, 1)])
async def test_claims_count_as_tries_and_waits_do_not(
    sessions: Sessions, spent: bool, tries: int
) -> None:
    """A try is counted when it begins, so that a death counts; having to wait takes it back."""
    await want(sessions, 1)
    for _ in range(2):
        [lease] = await claim(sessions)
        await finish(sessions, lease, NOW, spent=spent)
    [lease] = await claim(sessions)
    assert (lease.tries, lease.attempt) == (tries, 3)


# --- what it waits for ---------------------------------------------------------------------------


async def wait_for(sessions: Sessions, cause: WaitsFor | None, again: timedelta | None) -> Due:
    """Claim the ticket, end its look so, and return the row."""
    [lease] = await claim(sessions)
    await finish(sessions, lease, again, waits_for=cause)
    return await row(sessions)


async def test_looks_in_vain_are_counted_and_their_reason_kept(sessions: Sessions) -> None:
    """Since when goes by the reason, how often by the work; what is planned does not count."""
    await want(sessions, 1)
    first = await wait_for(sessions, WaitsFor.MAILBOX, NOW)
    again = await wait_for(sessions, WaitsFor.MAILBOX, NOW)
    assert (first.vain, again.vain, again.waits_for) == (1, 2, "mailbox")
    assert first.waits_since == again.waits_since
    other = await wait_for(sessions, WaitsFor.REQUEST, NOW)
    assert again.waits_since is not None
    assert other.waits_since is not None
    assert (other.vain, other.waits_since > again.waits_since) == (3, True)
    planned = await wait_for(sessions, WaitsFor.LIST, NOW)
    assert (planned.vain, planned.waits_for) == (3, "list")
    done = await wait_for(sessions, None, None)
    assert (done.vain, done.waits_for, done.waits_since) == (0, None, None)


async def test_a_look_that_is_handed_back_waits_as_before(sessions: Sessions) -> None:
    """A restart of its worker is no look in vain, and no end of the waiting."""
    await want(sessions, 1)
    before = await wait_for(sessions, WaitsFor.ENDING, NOW)
    after = await wait_for(sessions, None, NOW)
    assert (after.vain, after.waits_for, after.waits_since) == (1, "ending", before.waits_since)


async def test_a_trigger_makes_a_ticket_that_waits_due_at_once(sessions: Sessions) -> None:
    """However long it would still wait; a callout, an approval, an order to process."""
    await want(sessions, 1)
    await wait_for(sessions, WaitsFor.ANSWER, timedelta(minutes=15))
    assert await claim(sessions) == []
    await want(sessions, 1)
    [lease] = await claim(sessions)
    assert (lease.vain, (await row(sessions)).waits_for) == (1, "answer")


async def test_a_ticket_that_is_wanted_anew_has_not_waited(sessions: Sessions) -> None:
    """Also if a version before this one ended its look."""
    await want(sessions, 1)
    await wait_for(sessions, WaitsFor.BUSY, NOW)
    await change(sessions, due_at=None)
    await want(sessions, 1)
    anew = await row(sessions)
    assert (anew.vain, anew.waits_for) == (0, None)


# --- how late we are -----------------------------------------------------------------------------


async def oldest(sessions: Sessions) -> datetime | None:
    """Ask since when work waits."""
    async with sessions() as session:
        return await backlog.oldest_due(session)


async def test_nothing_is_late_that_is_held_or_not_due(sessions: Sessions) -> None:
    """An idle row, one that is worked on and one of the future do not count."""
    await want(sessions, 1)
    await claim(sessions)
    await want(sessions, 2, delay=timedelta(minutes=1))
    assert await oldest(sessions) is None


async def test_the_longest_waiting_work_is_named(sessions: Sessions) -> None:
    """Both what nobody has taken up, and what was left by somebody who died."""
    await want(sessions, 1, 2)
    await change(sessions, 1, due_at=func.now() - timedelta(minutes=3))
    waiting = (await row(sessions, 1)).due_at
    assert await oldest(sessions) == waiting

    await claim(sessions, limit=1)
    await expire(sessions, 1, ago=timedelta(minutes=2))
    assert await oldest(sessions) == (await row(sessions, 1)).lease_until


async def test_what_is_wanted_again_while_it_is_held_is_not_late(sessions: Sessions) -> None:
    """Somebody is at work on it; only when the lease has run out is anybody missing."""
    await want(sessions, 1)
    await claim(sessions)
    await want(sessions, 1)
    async with sessions() as session:
        assert await backlog.oldest_due(session) is None


async def test_work_is_late_from_the_moment_it_is_due(sessions: Sessions) -> None:
    """The moment itself counts, for what waits and for a lease that runs out."""
    async with sessions() as session, session.begin():
        now = (await session.execute(select(func.now()))).scalar_one()
        await work.want(session, TICKET, 1, NOW, Priority.LIVE)
        waiting = await backlog.oldest_due(session)
        await session.execute(update(Due).values(due_at=None, holder="a", lease_until=func.now()))
        dead = await backlog.oldest_due(session)
    assert waiting == dead == now


# --- workers -------------------------------------------------------------------------------------


async def test_a_worker_is_seen_and_forgotten_when_long_silent(sessions: Sessions) -> None:
    """A sign of life renews its own row and clears away those silent for a hundred leases."""
    ages = {"me": 5 * SECOND, "silent": 100 * LEASE + SECOND, "quiet": 99 * LEASE}
    async with sessions() as session, session.begin():
        for name, age in ages.items():
            session.add(Worker(id=name, seen_at=func.now() - age))

    for name in ("me", "new"):
        async with sessions() as session, session.begin():
            await backlog.sign_of_life(session, name)

    async with sessions() as session:
        now = (await session.execute(select(func.now()))).scalar_one()
        seen = {
            one.id: now - one.seen_at for one in (await session.execute(select(Worker))).scalars()
        }
    assert set(seen) == {"me", "new", "quiet"}
    assert max(seen["me"], seen["new"]) < 4 * SECOND
