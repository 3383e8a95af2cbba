"""Several processes' budgets on one database: their calls, and what these left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, text

from app.db.database import Sessions
from app.due.work import Lease
from app.outbound import gate
from app.outbound.budget import Budget

MakeBudget = Callable[..., Budget]


async def call(one: Budget, entity: str = "Tickets", lease: Lease | None = None) -> None:
    """Make a call that succeeds."""
    async with one.throttle(lease)(entity, write=False):
        pass


async def fail(one: Budget, error: BaseException) -> None:
    """Make a call that ends so."""
    with pytest.raises(type(error)):
        async with one.throttle()("Tickets", write=False):
            raise error


async def all_of(sessions: Sessions, model: Any) -> list[Any]:
    async with sessions() as session:
        return list((await session.execute(select(model))).scalars())


async def run(sessions: Sessions, statement: str) -> None:
    async with sessions() as session, session.begin():
        await session.execute(text(statement))


async def state(sessions: Sessions) -> gate.Shut | None:
    async with sessions() as session:
        return await gate.state(session)
