"""Carried out of app.policies."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.tables import Forgotten

_STORING = 7_301_001  # advisory lock: any number may store addresses, or one waits for them all


async def forgotten(session: AsyncSession, keys: Collection[str]) -> frozenset[str]:
    """Tell which of these addresses were forgotten on request.

    Until this transaction ends, whoever forgets one waits to see what it has stored.
    """
    await session.execute(select(func.pg_advisory_xact_lock_shared(_STORING)))
    by_digest = {_digest(key): key for key in keys}
    found = await session.execute(
        select(Forgotten.digest).where(Forgotten.digest.in_(list(by_digest)))
    )
    return frozenset(by_digest[digest] for digest in found.scalars())


async def forgotten_at(session: AsyncSession, key: str) -> datetime | None:
    """Give when an address was forgotten, None if it was not."""
    found = await session.execute(select(Forgotten.at).where(Forgotten.digest == _digest(key)))
    return found.scalar_one_or_none()


async def forget(session: AsyncSession, key: str) -> None:
    """Remember that an address is forgotten, for good."""
    row = insert(Forgotten).values(digest=_digest(key))
    await session.execute(row.on_conflict_do_nothing())


async def stored_by_others(session: AsyncSession) -> None:
    """Wait for all who asked what is forgotten before it was, and may be storing an address.

    In a transaction of its own, as they hold locks of other kinds.
    """
    await session.execute(select(func.pg_advisory_xact_lock(_STORING)))


def alias(key: str) -> str:
    """Give what stands in the place of a forgotten address; it is no address."""
    return f"forgotten {_digest(key)[:16]}"


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
