"""Our webhook as last read, and the digests of its replaced secrets. SQL only."""

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
    """Return the code of what was wrong with the webhook when it was last read; None: nothing."""
    return (await session.execute(select(Webhook.code))).scalar_one_or_none()


async def delete_row(session: AsyncSession) -> None:
    """Delete the row: there is no webhook to care for."""
    await session.execute(delete(Webhook))


async def store_reading(
    session: AsyncSession, hook: TicketWebhook | None, code: str | None, detail: str | None
) -> None:
    """Store what was read: the webhook, if it could be read, and what is wrong with it."""
    wrong = {"code": code, "detail": detail[:1000] if detail else None}
    # Our webhook stays known by its id while it cannot be found by its address.
    known = {"webhook_id": hook.id, "guid": hook.guid} if hook else {}
    row = insert(Webhook).values(
        id=1, checked_at=func.now(), since=func.now() if code else None, **wrong, **known
    )
    since = func.coalesce(Webhook.since, func.now()) if code else None
    changed = {"checked_at": func.now(), "since": since, **wrong, **known}
    await session.execute(row.on_conflict_do_update(index_elements=[Webhook.id], set_=changed))


_SELDOM = timedelta(minutes=10)  # between two read-backs that any sender can ask for


async def look_soon(session: AsyncSession) -> None:
    """Bring the read-back forward, to ten minutes after the last one at the earliest.

    Any sender can ask for it. Before the first read-back there is nothing to bring forward.
    """
    checked = (await session.execute(select(Webhook.checked_at))).scalar_one_or_none()
    if checked is not None:
        delay = max(timedelta(0), checked + _SELDOM - await db_now(session))
        await work.want(session, work.CHORE, Chore.WEBHOOK, delay, Priority.CATCH_UP)


GRACE = timedelta(minutes=15)
"""For callouts that are on their way: Autotask retries for about two minutes."""


def digest(secret: str) -> str:
    """Return the digest by which a secret is recognised; the secret cannot be read from it."""
    return hmac.new(secret.encode(), b"autotask-cc: retired", hashlib.sha256).hexdigest()


async def refuse_soon(session: AsyncSession, secrets: Collection[str]) -> None:
    """Refuse secrets after a grace period; one that is on record keeps its time."""
    if secrets:
        rows = [{"digest": digest(secret), "until": func.now() + GRACE} for secret in set(secrets)]
        await session.execute(insert(RetiredSecret).values(rows).on_conflict_do_nothing())


async def accept_again(session: AsyncSession, secret: str) -> None:
    """Accept a secret again: it is the one to sign with."""
    await session.execute(delete(RetiredSecret).where(RetiredSecret.digest == digest(secret)))


async def is_refused(session: AsyncSession, secrets: Collection[str]) -> bool:
    """Return whether all of these secrets were replaced and their grace period is over."""
    over = select(func.count()).where(
        RetiredSecret.digest.in_([digest(secret) for secret in secrets]),
        RetiredSecret.until <= func.now(),
    )
    return (await session.execute(over)).scalar_one() >= len(set(secrets))
