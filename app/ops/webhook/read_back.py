"""Read our webhook back from time to time: Autotask may disable it, and people may change it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.errors import Forbidden, Refused
from app.db.states import Chore, Priority
from app.db.tables import Webhook
from app.due import work
from app.due.work import Lease, fenced
from app.mail.addresses import mask
from app.ops.webhook import common
from app.ops.webhook.common import EVERY, WebhookError
from app.ops.webhook.compare import OFF, WebhookReport
from app.ops.webhook.install import read_and_compare, repair
from app.records import webhook
from app.services import Services

log = structlog.get_logger()


_INSTALL = "Run `autotask-cc webhook install`, or set WEBHOOK_REPAIR."
_UNCHANGED = "Autotask still signs with a secret that `webhook rotate` was to replace"
_CURES = {
    "secret": "Run `autotask-cc webhook rotate` again; if that does not help, `autotask-cc webhook "
    "remove` and `install`. Until then both secrets are accepted.",
    "inactive": "Check that Autotask reaches PUBLIC_URL and that the secret is right: 25 failures "
    f"in a row disable a webhook. {_INSTALL}",
    "not_ready": "It needs a subscribed field and time. If it stays so, remove and install it.",
    "unreadable": "Read what Autotask says, and check the security level of the API user.",
    "not_repaired": "Read what Autotask says; docs/setup/autotask.md lists the rights it needs.",
}


@dataclass(frozen=True, slots=True)
class WebhookTrouble:
    """What is wrong with our webhook, since when as far as we know, and the cure."""

    code: str
    detail: str
    since: datetime
    cure: str


async def read_back(services: Services, lease: Lease) -> timedelta:
    """Compare our webhook with what it should be, and repair it if WEBHOOK_REPAIR; the chore."""
    if not services.settings.public_url or not services.settings.webhook_secrets:
        async with fenced(services.sessions, lease) as session:
            await webhook.delete_row(session)
        return EVERY
    calls = await common.calls_of(services, lease)
    failure: tuple[str, str] | None = None
    was: WebhookReport | None = None
    found: WebhookReport | None = None
    try:
        _, _, found = await read_and_compare(services, calls)
        was = found
        if found.wrong and services.settings.webhook_repair:
            found = await repair(services, calls)
            left = {line.code for line in found.wrong}
            if repaired := [line.code for line in was.wrong if line.code not in left]:
                log.warning("webhook_repaired", wrong=repaired)
    except (WebhookError, Forbidden, Refused) as error:
        failure = ("not_repaired" if was else "unreadable", mask(str(error)))
    await _keep(services, lease, was, found, failure)
    return EVERY


async def _keep(
    services: Services,
    lease: Lease,
    was: WebhookReport | None,
    found: WebhookReport | None,
    failure: tuple[str, str] | None,
) -> None:
    """Store the result. If callouts did not come, find the missed tickets at once."""
    async with fenced(services.sessions, lease) as session:
        before = await webhook.code(session)
        if failure:
            await webhook.store_reading(session, None, *failure)
        elif found:
            await webhook.store_reading(session, found.hook, found.code, found.detail)
        off = {line.code for line in was.wrong} if was else set()
        if before in OFF or off & set(OFF):
            for chore in (Chore.RECONCILE, Chore.FOLLOW):
                await work.want(session, work.CHORE, chore, timedelta(0), Priority.LIVE)
    wrong = [failure[0]] if failure else [line.code for line in found.wrong] if found else []
    if wrong:
        log.error("webhook_is_wrong", wrong=wrong)


async def trouble(session: AsyncSession) -> WebhookTrouble | None:
    """Return what was wrong at the last read-back.

    None if nothing was, if there is no webhook, and before the first read-back.
    """
    row = (await session.execute(select(Webhook))).scalar_one_or_none()
    if row is None:
        return None
    if row.code is None:
        since = await webhook.secret_unchanged(session)
        return WebhookTrouble("secret", _UNCHANGED, since, _CURES["secret"]) if since else None
    return WebhookTrouble(
        code=row.code,
        detail=row.detail or "",
        since=row.since or row.checked_at,
        cure=_CURES.get(row.code, _INSTALL),
    )
