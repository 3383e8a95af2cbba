"""Our webhook as it was read last, and the digests of its replaced secrets. SQL only."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.webhooks import TicketWebhook
from app.db.database import db_now
from app.db.states import Priority
from app.db.tables import RetiredSecret, Webhook
from app.due import work
from app.due.work import Chore


async def code(session: AsyncSession) -> str | None:
    """Give what was wrong last."""
    return (await session.execute(select(Webhook.code))).scalar_one_or_none()


async def forget(session: AsyncSession) -> None:
    """Remove the row: there is nothing to be cared for."""
    await session.execute(delete(Webhook))


async def keep(
    session: AsyncSession, hook: TicketWebhook | None, code: str | None, detail: str | None
) -> None:
    """Store what was read back: the webhook, where it could be read, and what is wrong with it."""
    wrong = {"code": code, "detail": detail[:1000] if detail else None}
    # Ours stays known by its id while it cannot be found by its address.
    known = {"webhook_id": hook.id, "guid": hook.guid} if hook else {}
    row = insert(Webhook).values(
        id=1, checked_at=func.now(), since=func.now() if code else None, **wrong, **known
    )
    since = func.coalesce(Webhook.since, func.now()) if code else None
    changed = {"checked_at": func.now(), "since": since, **wrong, **known}
    await session.execute(row.on_conflict_do_update(index_elements=[Webhook.id], set_=changed))


_SELDOM = timedelta(minutes=10)  # between two read-backs that anybody can ask for


async def look_soon(session: AsyncSession) -> None:
    """Bring the read-back forward, to ten minutes after the latest at the earliest.

    Anybody may ask for it. Before the first one there is nothing to bring forward.
    """
    checked = (await session.execute(select(Webhook.checked_at))).scalar_one_or_none()
    if checked is not None:
        delay = max(timedelta(0), checked + _SELDOM - await db_now(session))
        await work.want(session, work.CHORE, Chore.WEBHOOK, delay, Priority.CATCH_UP)


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
