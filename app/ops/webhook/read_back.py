"""Read our webhook back from time to time: Autotask may disable it, and people change things."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.errors import Forbidden, Refused
from app.db.states import Priority
from app.db.tables import Webhook
from app.due import work
from app.due.work import Chore, Lease, fenced
from app.mail.addresses import mask
from app.ops.webhook import common
from app.ops.webhook.common import EVERY, WebhookError
from app.ops.webhook.compare import OFF, Report
from app.ops.webhook.install import look, mend
from app.records import webhook
from app.services import Services

log = structlog.get_logger()


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


async def read_back(services: Services, lease: Lease) -> timedelta:
    """Compare our webhook with what it should be, mend it if that is wanted; the chore."""
    if not services.settings.public_url or not services.settings.webhook_secrets:
        async with fenced(services.sessions, lease) as session:
            await webhook.forget(session)
        return EVERY
    calls = await common.calls_of(services, lease)
    failure: tuple[str, str] | None = None
    was: Report | None = None
    found: Report | None = None
    try:
        _, _, found = await look(services, calls)
        was = found
        if found.wrong and services.settings.webhook_repair:
            log.warning("webhook_is_mended", wrong=[line.code for line in found.wrong])
            found = await mend(services, calls)
    except (WebhookError, Forbidden, Refused) as error:
        failure = ("not_mended" if was else "unreadable", mask(str(error)))
    await _keep(services, lease, was, found, failure)
    return EVERY


async def _keep(
    services: Services,
    lease: Lease,
    was: Report | None,
    found: Report | None,
    failure: tuple[str, str] | None,
) -> None:
    """Store what was found; tickets of which nothing was told are looked for at once."""
    async with fenced(services.sessions, lease) as session:
        before = await webhook.code(session)
        if failure:
            await webhook.keep(session, None, *failure)
        elif found:
            await webhook.keep(session, found.hook, found.code, found.detail)
        off = {line.code for line in was.wrong} if was else set()
        if before in OFF or off & set(OFF):
            for chore in (Chore.RECONCILE, Chore.FOLLOW):
                await work.want(session, work.CHORE, chore, timedelta(0), Priority.LIVE)
    wrong = [failure[0]] if failure else [line.code for line in found.wrong] if found else []
    if wrong:
        log.error("webhook_is_wrong", wrong=wrong)


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
