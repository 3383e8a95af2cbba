"""Addresses that were forgotten on request, known by their SHA-256 only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from app.db.tables import Forgotten

_ALIAS = re.compile(r"forgotten [0-9a-f]{16}")
_STORING = 7_301_001  # advisory lock: shared by all who may store addresses


async def forgotten(session: AsyncSession, keys: Collection[str]) -> frozenset[str]:
    """Return which of these addresses were forgotten on request.

    Until this transaction ends, `wait_for_writers` waits for what it stores.
    """
    await session.execute(select(func.pg_advisory_xact_lock_shared(_STORING)))
    by_digest = {_digest(key): key for key in keys}
    digests = await session.execute(
        select(Forgotten.digest).where(Forgotten.digest.in_(list(by_digest)))
    )
    return frozenset(by_digest[digest] for digest in digests.scalars())


async def forgotten_at(session: AsyncSession, key: str) -> datetime | None:
    """Return when an address was forgotten; None if it was not."""
    at = await session.execute(select(Forgotten.at).where(Forgotten.digest == _digest(key)))
    return at.scalar_one_or_none()


async def remember(session: AsyncSession, key: str) -> None:
    """Store that an address is forgotten, for good."""
    row = insert(Forgotten).values(digest=_digest(key))
    await session.execute(row.on_conflict_do_nothing())


async def wait_for_writers(session: AsyncSession) -> None:
    """Wait until each transaction ends that asked for forgotten addresses before this one.

    Call it in a transaction of its own, as the others hold locks of other kinds.
    """
    await session.execute(select(func.pg_advisory_xact_lock(_STORING)))


def alias(key: str) -> str:
    """Return the text that takes the place of a forgotten address; it is no address."""
    return f"forgotten {_digest(key)[:16]}"


def as_typed(text: str) -> str:
    """Return a text of a list as it is stored: never as an alias, whatever was typed."""
    return f'"{text}"' if _ALIAS.fullmatch(text) else text


def is_forgotten(column: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """Return the condition that the address in a column was forgotten."""
    return _digest_of(column).in_(select(Forgotten.digest))


def alias_of(column: InstrumentedAttribute[str]) -> ColumnElement[str]:
    """Return the alias of the address in a column."""
    return literal("forgotten ") + func.left(_digest_of(column), 16)


def _digest_of(column: InstrumentedAttribute[str]) -> ColumnElement[str]:
    return func.encode(func.sha256(func.convert_to(column, "UTF8")), "hex")


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
