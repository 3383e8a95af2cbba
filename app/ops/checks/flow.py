"""Whether work flows: workers, the gate, the mailbox, the budget, the webhook, the comparison."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.tables import Tenant, Worker
from app.ops.checks.problem import CURES, WorkProblem
from app.ops.webhook import read_back
from app.outbound import budget, gate, mailbox
from app.records import reconciliation as reconciliation_records
from app.services import Services

LATE = timedelta(minutes=5)
"""A ticket that is due for longer than this is a problem."""

_WORKER_SILENT = timedelta(seconds=60)
_RECONCILED = timedelta(minutes=15)


async def silent_workers(session: AsyncSession, now: datetime) -> WorkProblem | None:
    """Check whether a worker is alive."""
    seen = (await session.execute(select(func.max(Worker.seen_at)))).scalar_one()
    if seen and seen > now - _WORKER_SILENT:
        return None
    return WorkProblem(
        code="worker",
        since=seen,
        detail="No worker is alive: callouts are stored, and no ticket is looked at.",
        cure="Start one with `autotask-cc worker`, or `serve` with RUN_WORKER=true.",
    )


async def unknown_tenant(session: AsyncSession) -> WorkProblem | None:
    """Check whether the tenant is known: before that no ticket is looked at, and no gate shuts."""
    if (await session.execute(select(Tenant.id))).scalar_one_or_none() is not None:
        return None
    return WorkProblem(
        code="tenant",
        since=None,
        detail="The address of this tenant's API is not known yet: no ticket is looked at.",
        cure="Set AUTOTASK_USERNAME to the name of your API user, and check that this machine "
        "reaches webservices.autotask.net; or set AUTOTASK_API_URL.",
    )


async def paused(session: AsyncSession) -> WorkProblem | None:
    """Check whether all writes are paused."""
    pause = await gate.pause_state(session)
    if pause is None:
        return None
    return WorkProblem(
        code="paused",
        since=pause.since,
        detail=f"All writes to Autotask were paused by `{pause.by}`: callouts are stored, and "
        "no ticket is looked at.",
        cure='PUT /admin/pause with {"paused": false}; work resumes where it stopped.',
    )


async def refused(session: AsyncSession) -> WorkProblem | None:
    """Check whether Autotask refuses calls, so that none leaves."""
    shut = await gate.state(session)
    if shut is None:
        return None
    paused = f" Nothing is sent until {shut.until:%H:%M:%S} UTC." if shut.until else ""
    return WorkProblem(
        code=shut.code,
        since=shut.since,
        detail=f"{shut.reason}.{paused}",
        cure=CURES[shut.code],
    )


async def mailbox_trouble(session: AsyncSession) -> WorkProblem | None:
    """Check whether the mailbox can be read."""
    trouble = await mailbox.trouble(session)
    if trouble is None:
        return None
    paused = f" It is asked again at {trouble.until:%H:%M:%S} UTC." if trouble.until else ""
    return WorkProblem(
        code=trouble.code,
        since=trouble.since,
        detail=f"The mailbox cannot be read: {trouble.reason}.{paused} Tickets wait for it.",
        cure=f"{CURES[trouble.code]} docs/setup/m365.md has the steps; work resumes by itself.",
    )


def late(oldest: datetime | None, now: datetime) -> WorkProblem | None:
    """Check whether tickets wait too long for a worker."""
    if oldest is None or oldest > now - LATE:
        return None
    return WorkProblem(
        code="late",
        since=oldest,
        detail="Tickets were wanted more than five minutes ago, and are not done.",
        cure="GET /admin/tickets?result=open lists them, and their notes say why. Where there is "
        "no note, more workers help, but only while calls to Autotask are left.",
    )


async def reconciliation(
    session: AsyncSession, services: Services, now: datetime
) -> WorkProblem | None:
    """Check whether Autotask's tickets are compared with ours, to find those without a callout."""
    known = await reconciliation_records.progress(session)
    if known is None or await gate.pause_state(session) or await gate.state(session):
        return None  # it is about to begin, or another problem is reported already
    patience = max(3 * timedelta(seconds=services.settings.reconcile_interval), _RECONCILED)
    if known.at > now - patience:
        return None
    return WorkProblem(
        code="reconciliation",
        since=known.at,
        detail="Autotask's tickets have not been compared with ours for too long: those whose "
        "callout never came are not found.",
        cure="Read the workers' log for `chore_waits` and `chore_failed`.",
    )


async def webhook_trouble(session: AsyncSession) -> WorkProblem | None:
    """Check whether our webhook is as it should be."""
    trouble = await read_back.trouble(session)
    if trouble is None:
        return None
    return WorkProblem(
        code=f"webhook_{trouble.code}",
        since=trouble.since,
        detail=f"The webhook: {trouble.detail}.",
        cure=trouble.cure,
    )


async def scarce(session: AsyncSession, services: Services) -> WorkProblem | None:
    """Check whether so many calls of the hour are used that work waits."""
    use = await services.budget.use(session)
    if use.tenant is not None and use.of_tenant >= budget.BUSY:
        return WorkProblem(
            code="budget_tenant",
            since=None,
            detail=f"All tools together have made {use.tenant} of the tenant's {use.limit} calls "
            f"an hour, {use.ours} of them by this one: only live tickets go on.",
            cure="Find the tool that makes so many calls, or ask Autotask for a higher threshold.",
        )
    if use.ours < use.share:
        return None
    return WorkProblem(
        code="budget",
        since=None,
        detail=f"Our share of the tenant's calls is spent: {use.share} an hour.",
        cure="It refills by itself. If this happens every day, raise BUDGET_SHARE.",
    )
