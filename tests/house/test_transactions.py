"""No transaction is open around a call to Autotask: the watch over the whole suite notices one."""

from __future__ import annotations

import asyncio
import contextlib

from app.db.database import db_now
from app.services import Services


async def test_a_call_within_a_transaction_is_noticed(
    services: Services, calls_in_transactions: list[str]
) -> None:
    """Reading suffices to open a transaction, and it stays open as long as its session."""
    autotask = await services.autotask()
    async with services.sessions() as session:
        await db_now(session)
        await autotask.ticket(1)
    noticed = [*calls_in_transactions]
    calls_in_transactions.clear()
    assert noticed == ["GET /ATServicesRest/v1.0/Tickets/1"]


async def test_a_transaction_that_has_ended_is_no_trouble(
    services: Services, calls_in_transactions: list[str]
) -> None:
    """However it ended: broken off with a savepoint in it, rolled back, or with its session."""
    autotask = await services.autotask()
    with contextlib.suppress(KeyError):
        async with services.sessions() as session, session.begin(), session.begin_nested():
            await db_now(session)
            raise KeyError
    async with services.sessions() as session:
        await db_now(session)
        await session.rollback()
        await autotask.ticket(1)
    async with services.sessions() as session:
        await db_now(session)
    await autotask.ticket(1)
    assert calls_in_transactions == []


async def test_another_tasks_transaction_is_no_trouble(
    services: Services, calls_in_transactions: list[str]
) -> None:
    """Looks run side by side: one stores while another waits for Autotask."""
    autotask = await services.autotask()
    async with services.sessions() as session:
        await db_now(session)
        await asyncio.create_task(autotask.ticket(1))
    assert calls_in_transactions == []
