"""Secrets that were rotated out: known by a digest, accepted for a while. SQL only."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import RetiredSecret

GRACE = timedelta(minutes=15)
"""For callouts that are on their way: Autotask tries for about two minutes."""


def digest(secret: str) -> str:
    """Give what a secret is known by: nothing that it could be read from."""
    return hmac.new(secret.encode(), b"autotask-cc: retired", hashlib.sha256).hexdigest()


async def retire(session: AsyncSession, secrets: Collection[str]) -> None:
    """Let secrets be refused after a while; one that was retired before stays as it is."""
    if secrets:
        rows = [{"digest": digest(one), "until": func.now() + GRACE} for one in set(secrets)]
        await session.execute(insert(RetiredSecret).values(rows).on_conflict_do_nothing())


async def revive(session: AsyncSession, secret: str) -> None:
    """Let a secret be good again: it is the one to sign with."""
    await session.execute(delete(RetiredSecret).where(RetiredSecret.digest == digest(secret)))


async def is_retired(session: AsyncSession, secrets: Collection[str]) -> bool:
    """Tell whether all of these have been retired and their time is over."""
    over = select(func.count()).where(
        RetiredSecret.digest.in_([digest(one) for one in secrets]),
        RetiredSecret.until <= func.now(),
    )
    return (await session.execute(over)).scalar_one() >= len(set(secrets))
