"""A pause ends with its reason: other credentials at a start, and what Autotask asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from app.autotask.client import Credentials
from app.autotask.errors import Forbidden, Overloaded, Unanswered, Unauthorized
from app.db.database import Sessions, make_engine, make_sessions
from app.db.tables import Gate, RefusedCall
from app.outbound.budget import Budget
from app.outbound.rules import NotNow, RightMissing
from tests.support.budgets import all_of, call, fail, state
from tests.support.clock import Clock

ONE = Credentials("api@msp.example", "secret-one", "CODE1")
Start = Callable[[Credentials], Awaitable[Budget]]


@pytest.fixture
async def start(database_url: str) -> AsyncIterator[Start]:
    """Start a worker with these credentials."""
    async with AsyncExitStack() as stack:

        async def begin(credentials: Credentials) -> Budget:
            engine = make_engine(database_url)
            stack.push_async_callback(engine.dispose)
            sessions, digest = make_sessions(engine), credentials.digest()
            budget = Budget(sessions, share=1.0, window=3600.0, credentials=digest)
            await budget.start()
            return budget

        yield begin


@pytest.mark.parametrize(
    "other",
    [
        Credentials("other@msp.example", "secret-one", "CODE1"),
        Credentials("api@msp.example", "secret-two", "CODE1"),
        Credentials("api@msp.example", "secret-one", "CODE2"),
    ],
)
@pytest.mark.parametrize("error", [Unauthorized("401"), Forbidden("403"), Overloaded("x", 900.0)])
async def test_other_credentials_try_at_once(
    start: Start, sessions: Sessions, other: Credentials, error: Exception
) -> None:
    """Whatever the pause of before: an operator has mended the setting and restarted."""
    for _ in range(3):
        await fail(await start(ONE), error)
        async with sessions() as session, session.begin():
            [row] = await all_of(sessions, Gate)
            (await session.get_one(Gate, row.id)).shut_until = None
    await fail(await start(ONE), error)
    with pytest.raises(NotNow):
        await call(await start(ONE))  # the same ones wait, also after a start

    await call(await start(other))
    assert await state(sessions) is None
    [row] = await all_of(sessions, Gate)
    assert (row.times, row.shut_until) == (0, None)


async def test_rights_that_another_user_lacked_are_forgotten(
    start: Start, sessions: Sessions
) -> None:
    """They were given to that user's level."""
    about = {"verb": "create", "about": "account 174"}
    with pytest.raises(RightMissing):
        async with (await start(ONE)).throttle()("Contacts", write=True, **about):
            raise Forbidden("no")
    other = await start(Credentials("other@msp.example", "s", "c"))
    async with other.throttle()("Contacts", write=True, **about):
        pass
    assert await all_of(sessions, RefusedCall) == []


async def test_a_process_with_the_old_credentials_shuts_nothing(
    start: Start, sessions: Sessions
) -> None:
    """It is restarted last; those that are mended go on meanwhile."""
    old = await start(ONE)
    await call(old)
    new = await start(Credentials("api@msp.example", "secret-two", "CODE1"))
    await call(new)
    await fail(old, Unauthorized("401"))
    assert await state(sessions) is None
    await fail(new, Unauthorized("401"))
    assert await state(sessions) is not None


async def test_only_a_keyed_hash_is_stored(start: Start, sessions: Sessions) -> None:
    """The secret is its key."""
    await call(await start(ONE))
    [row] = await all_of(sessions, Gate)
    assert len(row.credentials) == 64
    assert not any(part in row.credentials for part in ("secret", "CODE1", "api"))
    assert Credentials("API@msp.example", "secret-one", "CODE1").digest() == row.credentials


@pytest.mark.parametrize("asked", [1.0, 2.0, 90.0, 3600.0])
async def test_a_429_is_obeyed_as_it_asks(
    clock: Clock, start: Start, sessions: Sessions, asked: float
) -> None:
    """No longer, also the third time in a row."""
    budget = await start(ONE)
    for _ in range(3):
        await fail(budget, Overloaded("429", asked))
        clock.advance(seconds=asked - 0.9)
        with pytest.raises(NotNow, match="used up"):
            await call(budget)
        clock.advance(seconds=1)
    await call(budget)
    assert await state(sessions) is None


@pytest.mark.parametrize("error", [Overloaded("x"), Unauthorized("x"), Unanswered("x")])
async def test_the_pause_of_before_is_forgotten_once_a_call_succeeds(
    clock: Clock, start: Start, sessions: Sessions, error: Exception
) -> None:
    """The next one is as short as the first."""
    budget = await start(ONE)
    times = 5 if isinstance(error, Unanswered) else 1
    for _ in range(times):
        await fail(budget, error)
    first = await state(sessions)
    for _ in range(3):
        clock.advance(minutes=20)
        await fail(budget, error)
    clock.advance(minutes=20)
    await call(budget, "Contacts")
    for _ in range(times):
        await fail(budget, error)
    again = await state(sessions)
    assert first
    assert again
    assert first.until
    assert again.until
    assert abs((again.until - again.since) - (first.until - first.since)) < timedelta(seconds=1)
