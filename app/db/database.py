"""Engine, sessions, and what to do while the database is away.

A transaction is a visible block in the code that needs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Concatenate, ParamSpec, TypeVar

import psycopg
import structlog
from sqlalchemy import MetaData, event, func, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase

log = structlog.get_logger()
T = TypeVar("T")
P = ParamSpec("P")
Sessions = async_sessionmaker[AsyncSession]

_LOCK_TROUBLE = (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable)


class Base(DeclarativeBase):
    """Base of the tables; names every constraint, so that a migration can drop it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


# A process that is frozen, or whose machine is gone, must not keep its locks: the server ends its
# transaction after a while, and the other processes go on.
_SESSION = """
SET idle_in_transaction_session_timeout = '10s';
SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3
"""


def make_engine(url: str) -> AsyncEngine:
    """Return a process's engine. Errors hide SQL parameters, which contain addresses."""
    engine = create_async_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=10,
        max_overflow=10,
        pool_timeout=5,
        connect_args={
            "application_name": "autotask-cc",
            "connect_timeout": 5,
            # Notice a server that vanished silently within seconds, not hours.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
            # A transaction pooler in between would lose prepared statements.
            "prepare_threshold": None,
        },
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(_SESSION)
        cursor.close()
        connection.commit()

    return engine


def make_sessions(engine: AsyncEngine) -> Sessions:
    """Return the factory of sessions."""
    return async_sessionmaker(engine, expire_on_commit=False)


async def db_now(session: AsyncSession) -> datetime:
    """Return the time by the database's clock, which all processes share."""
    now: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    return now


async def now(sessions: Sessions) -> datetime:
    """Return the same time, read in a transaction of its own."""
    async with sessions() as session:
        return await db_now(session)


def in_batches(items: Iterable[T], size: int = 500) -> Iterator[list[T]]:
    """Yield lists of up to `size` items, which one statement or one Autotask query can take."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def is_outage(error: BaseException) -> bool:
    """Return True if an error means that the database is away, not that our code is wrong."""
    if isinstance(error, DBAPIError) and isinstance(error.orig, _LOCK_TROUBLE):
        return False
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(
        error, OperationalError | InterfaceError | PoolTimeoutError | OSError | TimeoutError
    )


def refusal(error: DBAPIError) -> str | None:
    """Return why PostgreSQL refuses us, on one line; None if the error is a defect of our code."""
    no_rights = isinstance(error.orig, psycopg.errors.InsufficientPrivilege)
    if not no_rights and not isinstance(error, OperationalError):
        return None
    return str(error.orig).strip().splitlines()[0]


async def persist(write: Callable[[], Awaitable[T]], seconds: float = 30.0) -> T:
    """Run a transaction that records what has happened; retry while the database is away.

    After `seconds` raise the last error; the record is then missing, and its readers must ask
    Autotask again.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            return await write()
        except Exception as error:
            again = is_outage(error) or isinstance(getattr(error, "orig", None), _LOCK_TROUBLE)
            if not again or asyncio.get_running_loop().time() > deadline:
                raise
            log.warning("not_recorded_yet", error=type(error).__name__)
            await asyncio.sleep(0.5)


async def persist_with(
    sessions: Sessions,
    write: Callable[Concatenate[AsyncSession, P], Awaitable[None]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> None:
    """Persist what `write` records, in a transaction of its own.

    Use it for what a request did: that is true with or without a lease on the ticket.
    """

    async def transaction() -> None:
        async with sessions() as session, session.begin():
            await write(session, *args, **kwargs)

    await persist(transaction)
