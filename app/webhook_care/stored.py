"""What was read back last: the row of the table `webhook`. SQL only."""

from __future__ import annotations

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.webhooks import TicketWebhook
from app.models import Webhook
from app.webhook_care.compare import Line, Report


async def keep(session: AsyncSession, found: Report) -> None:
    """Store what was read: the webhook, and the gravest of what is wrong with it."""
    wrong = found.wrong
    text = "; ".join(f"{line.what}: {line.there}" for line in wrong)
    await _put(session, found.hook, Line("", text, wrong[0].code) if wrong else None)


async def keep_failure(session: AsyncSession, code: str, detail: str) -> None:
    """Store that it could not be read or mended."""
    await _put(session, None, Line("", detail, code))


async def code(session: AsyncSession) -> str | None:
    """Give what was wrong last."""
    return (await session.execute(select(Webhook.code))).scalar_one_or_none()


async def forget(session: AsyncSession) -> None:
    """Remove the row: there is nothing to be cared for."""
    await session.execute(delete(Webhook))


async def _put(session: AsyncSession, hook: TicketWebhook | None, wrong: Line | None) -> None:
    told = {"code": wrong.code if wrong else None, "detail": wrong.there[:1000] if wrong else None}
    # Ours stays known by its id while it cannot be found by its address.
    known = {"webhook_id": hook.id, "guid": hook.guid} if hook else {}
    row = insert(Webhook).values(
        id=1, checked_at=func.now(), since=func.now() if wrong else None, **told, **known
    )
    since = func.coalesce(Webhook.since, func.now()) if wrong else None
    changed = {"checked_at": func.now(), "since": since, **told, **known}
    await session.execute(row.on_conflict_do_update(index_elements=[Webhook.id], set_=changed))
