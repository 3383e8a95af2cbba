"""Read our webhook back from time to time: Autotask may disable it, and people change things."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app import work
from app.addresses import mask
from app.autotask.errors import Forbidden, Refused
from app.db import db_now
from app.desk import Desk
from app.models import Webhook
from app.states import Priority
from app.webhook_care import parts, stored
from app.webhook_care.compare import OFF, Report
from app.webhook_care.install import look, mend
from app.webhook_care.parts import EVERY, WebhookError
from app.work import Chore, Lease, fenced

log = structlog.get_logger()

_SELDOM = timedelta(minutes=10)  # between two read-backs that anybody can ask for

_INSTALL = "Run `autotask-cc webhook install`, or set WEBHOOK_REPAIR."
_CURES = {
    "inactive": "See that Autotask reaches PUBLIC_URL and that the secret is right: 25 failures in "
    f"a row disable a webhook. {_INSTALL}",
    "not_ready": "It needs a subscribed field, and some time. If it lasts, remove and install it.",
    "unreadable": "See what Autotask says, and the security level of the API user.",
    "not_mended": "See what Autotask says; docs/setup/autotask.md has the rights that are needed.",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with our webhook, since when as far as we know, and the cure."""

    code: str
    detail: str
    since: datetime
    checked_at: datetime
    cure: str


async def read_back(desk: Desk, lease: Lease) -> timedelta:
    """Compare our webhook with what it should be, mend it if that is wanted; the chore."""
    if not desk.settings.public_url or not desk.settings.webhook_secrets:
        async with fenced(desk.sessions, lease) as session:
            await stored.forget(session)
        return EVERY
    calls = await parts.calls_of(desk, lease)
    failure: tuple[str, str] | None = None
    was: Report | None = None
    found: Report | None = None
    try:
        _, _, found = await look(desk, calls)
        was = found
        if found.wrong and desk.settings.webhook_repair:
            log.warning("webhook_is_mended", wrong=[line.code for line in found.wrong])
            found = await mend(desk, calls)
    except (WebhookError, Forbidden, Refused) as error:
        failure = ("not_mended" if was else "unreadable", mask(str(error)))
    await _keep(desk, lease, was, found, failure)
    return EVERY


async def _keep(
    desk: Desk,
    lease: Lease,
    was: Report | None,
    found: Report | None,
    failure: tuple[str, str] | None,
) -> None:
    """Store what was found; tickets of which nothing was told are looked for at once."""
    async with fenced(desk.sessions, lease) as session:
        before = await stored.code(session)
        if failure:
            await stored.keep_failure(session, *failure)
        elif found:
            await stored.keep(session, found)
        off = {line.code for line in was.wrong} if was else set()
        if before in OFF or off & set(OFF):
            now = timedelta(0)
            await work.want(session, work.CHORE, Chore.RECONCILE, now, Priority.LIVE)
    wrong = [failure[0]] if failure else [line.code for line in found.wrong] if found else []
    if wrong:
        log.error("webhook_is_wrong", wrong=wrong)


async def look_soon(session: AsyncSession) -> None:
    """Bring the read-back forward, to ten minutes after the latest at the earliest.

    Anybody may ask for it. Before the first one there is nothing to bring forward.
    """
    checked = (await session.execute(select(Webhook.checked_at))).scalar_one_or_none()
    if checked is not None:
        delay = max(timedelta(0), checked + _SELDOM - await db_now(session))
        await work.want(session, work.CHORE, Chore.WEBHOOK, delay, Priority.CATCH_UP)


async def trouble(session: AsyncSession) -> Trouble | None:
    """Say what was wrong with our webhook when it was read last; None: nothing, or there is none.

    Nothing is known, and nothing said, before the first read-back.
    """
    row = (await session.execute(select(Webhook))).scalar_one_or_none()
    if row is None or row.code is None:
        return None
    return Trouble(
        code=row.code,
        detail=row.detail or "",
        since=row.since or row.checked_at,
        checked_at=row.checked_at,
        cure=_CURES.get(row.code, _INSTALL),
    )
