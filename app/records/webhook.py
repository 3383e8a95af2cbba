"""Our webhook as last read, and the digests of its replaced secrets. SQL only."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.webhooks import TicketWebhook
from app.db.database import db_now
from app.db.states import Chore, Priority
from app.db.tables import RetiredSecret, Webhook
from app.due import work


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


_ON_THEIR_WAY = timedelta(minutes=3)  # Autotask repeats a callout for about two


def digest(secret: str) -> str:
    """Return the digest by which a secret is recognised; the secret cannot be read from it."""
    return hmac.new(secret.encode(), b"autotask-cc: retired", hashlib.sha256).hexdigest()


async def refuse_soon(session: AsyncSession, secrets: Collection[str]) -> None:
    """Refuse secrets after a grace period; one that is on record keeps its time.

    None is refused before a callout of a ticket is signed with another one (`saw_signed`): only
    that proves that Autotask has changed it.
    """
    if secrets:
        until, since = func.now() + GRACE, func.now()
        rows = [{"digest": digest(one), "until": until, "since": since} for one in set(secrets)]
        await session.execute(insert(RetiredSecret).values(rows).on_conflict_do_nothing())


async def saw_signed(
    session: AsyncSession, secrets: Sequence[str], signed: Collection[str]
) -> None:
    """Note which secret Autotask has signed a callout of a ticket with.

    secrets: WEBHOOK_SECRETS; the first is the one to sign with. signed: those that fit the callout.
    """
    unproved = RetiredSecret.proved_at.is_(None)
    if secrets[0] in signed:
        until = func.greatest(RetiredSecret.until, func.now() + _ON_THEIR_WAY)
        proved = update(RetiredSecret).where(unproved).values(proved_at=func.now(), until=until)
        await session.execute(proved)
        return
    used = RetiredSecret.digest.in_([digest(secret) for secret in signed])
    await session.execute(
        update(RetiredSecret).where(unproved, used).values(used_at=func.clock_timestamp())
    )


async def secret_unchanged(session: AsyncSession) -> datetime | None:
    """Return since when Autotask signs with a secret that was to be replaced; None: it does not."""
    used = select(func.min(RetiredSecret.since)).where(
        RetiredSecret.proved_at.is_(None),
        RetiredSecret.used_at > RetiredSecret.since + _ON_THEIR_WAY,
    )
    since: datetime | None = (await session.execute(used)).scalar_one()
    return since


async def accept_again(session: AsyncSession, secret: str) -> None:
    """Accept a secret again: it is the one to sign with."""
    await session.execute(delete(RetiredSecret).where(RetiredSecret.digest == digest(secret)))


async def is_refused(session: AsyncSession, secrets: Collection[str]) -> bool:
    """Return whether all of these secrets were replaced and their grace period is over."""
    over = select(func.count()).where(
        RetiredSecret.digest.in_([digest(secret) for secret in secrets]),
        RetiredSecret.until <= func.now(),
        or_(RetiredSecret.proved_at.is_not(None), RetiredSecret.since.is_(None)),
    )
    return (await session.execute(over)).scalar_one() >= len(set(secrets))
