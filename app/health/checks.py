"""What can be wrong with the work: each check says since when, and the cure."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import budget, gate, mailbox, note_ledger, watermark, webhook_care
from app.desk import Desk
from app.graph.errors import Trouble
from app.models import Participant, Tenant, TicketRecord, Worker
from app.states import Outcome, Result

LATE = timedelta(minutes=5)
"""Work that should have been taken up so long ago is a problem."""

_WORKER_SILENT = timedelta(seconds=60)
_RECENT = timedelta(hours=24)
_RECONCILED = timedelta(minutes=15)
_LISTS_EXPECTED = 0.8  # of the mail tickets
# Nobody was refused there: the ticket was over, or not a customer's, when its turn came.
_OVER = (Result.COMPLETE, Result.GONE, Result.PARKED)
_ENOUGH = 5  # mail tickets, from which on a share says something

CURES = {
    "unauthorized": "Check AUTOTASK_USERNAME, AUTOTASK_SECRET and AUTOTASK_INTEGRATION_CODE, and "
    "whether the API user is active or locked; work resumes by itself.",
    "forbidden": "Give the API user's security level the right that the call needs; work resumes "
    "by itself.",
    "overloaded": "Find the tool that uses up the tenant's API calls, or lower BUDGET_SHARE if it "
    "is this one; work resumes by itself.",
    "away": "See https://status.kaseya.com and that this machine reaches Autotask; callouts are "
    "stored meanwhile, and work resumes by itself.",
    Trouble.THROTTLED: "Microsoft asks to wait; if it lasts, see what else reads this mailbox.",
    Trouble.SECRET_EXPIRED: "Make a new secret for the app, set GRAPH_CLIENT_SECRET, restart.",
    Trouble.CREDENTIALS: "Check GRAPH_CLIENT_ID and GRAPH_CLIENT_SECRET (its value, not its id).",
    Trouble.TENANT: "Check GRAPH_TENANT_ID: the directory in which the app is registered.",
    Trouble.OUT_OF_SCOPE: "Assign the app the role Application Mail.ReadBasic (or Mail.Read), "
    "with a scope that this mailbox is in.",
    Trouble.MISSING: "Check GRAPH_MAILBOX: a mailbox in Exchange Online, not a group or an alias.",
    Trouble.AWAY: "See that this machine reaches GRAPH_URL and GRAPH_LOGIN_URL.",
}


class WorkProblem(BaseModel):
    """Something that a person should see to. since: UTC."""

    code: str
    since: datetime | None
    detail: str
    cure: str


async def silent_workers(session: AsyncSession, now: datetime) -> WorkProblem | None:
    """Nobody looks at tickets."""
    seen = (await session.execute(select(func.max(Worker.seen_at)))).scalar_one()
    if seen and seen > now - _WORKER_SILENT:
        return None
    return WorkProblem(
        code="worker",
        since=seen,
        detail="No worker is alive: callouts are stored, and nobody looks at the tickets.",
        cure="Start one with `autotask-cc worker`, or `serve` with RUN_WORKER=true.",
    )


async def unknown_tenant(session: AsyncSession) -> WorkProblem | None:
    """Until the first answer of Autotask nobody looks at a ticket, and no call shuts the gate."""
    if (await session.execute(select(Tenant.id))).scalar_one_or_none() is not None:
        return None
    return WorkProblem(
        code="tenant",
        since=None,
        detail="Autotask has not told yet where this tenant's API is: nobody looks at tickets.",
        cure="Set AUTOTASK_USERNAME to your API user's, and see that this machine reaches "
        "webservices.autotask.net; or set AUTOTASK_API_URL.",
    )


async def paused(session: AsyncSession) -> WorkProblem | None:
    """Somebody has paused all writes."""
    pause = await gate.pause_state(session)
    if pause is None:
        return None
    return WorkProblem(
        code="paused",
        since=pause.since,
        detail=f"All writes to Autotask were paused by `{pause.by}`: callouts are stored, and "
        "nobody looks at the tickets.",
        cure='PUT /admin/pause with {"paused": false}; work resumes where it stopped.',
    )


async def refused(session: AsyncSession) -> WorkProblem | None:
    """Autotask refuses us, so no call leaves."""
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
    """The mailbox cannot be read."""
    found = await mailbox.trouble(session)
    if found is None:
        return None
    paused = f" It is asked again at {found.until:%H:%M:%S} UTC." if found.until else ""
    return WorkProblem(
        code=found.code,
        since=found.since,
        detail=f"The mailbox cannot be read: {found.reason}.{paused} Tickets wait for it.",
        cure=f"{CURES[found.code]} docs/setup/m365.md has the steps; work resumes by itself.",
    )


async def lists_found(session: AsyncSession, now: datetime) -> tuple[int, int]:
    """Count the mail tickets that were finished within a day, and those whose list was found."""
    found = TicketRecord.result.in_((Result.DONE, Result.NOBODY_COPIED))
    missing = TicketRecord.result.in_((Result.NO_LIST, Result.AMBIGUOUS_MESSAGE))
    counted = select(func.count(), func.count().filter(found)).where(
        TicketRecord.by_mail.is_(True), found | missing, TicketRecord.looked_at > now - _RECENT
    )
    tickets, lists = (await session.execute(counted)).one()
    return tickets, lists


def without_lists(tickets: int, lists: int) -> WorkProblem | None:
    """Too few of the tickets that come by mail have a list."""
    if tickets < _ENOUGH or lists >= _LISTS_EXPECTED * tickets:
        return None
    return WorkProblem(
        code="lists_missing",
        since=None,
        detail=f"Of {tickets} tickets that came by mail within a day, {lists} had a Cc list, or "
        "proof that nobody was copied.",
        cure="GET /admin/tickets?result=no_list, and each ticket's looks, say what was asked. See "
        "docs/setup/ for your CC_SOURCES, and name in MAIL_TICKET_SOURCES which tickets come by "
        "mail.",
    )


def late(oldest: datetime | None, now: datetime) -> WorkProblem | None:
    """Tickets wait for a worker."""
    if oldest is None or oldest > now - LATE:
        return None
    return WorkProblem(
        code="late",
        since=oldest,
        detail="Tickets wait longer than they should.",
        cure="See the workers' log; more workers help only while calls to Autotask are left.",
    )


async def reconciliation(session: AsyncSession, desk: Desk, now: datetime) -> WorkProblem | None:
    """Nobody compares Autotask's tickets with ours, so what no callout told of is not found."""
    known = await watermark.known(session)
    if known is None or await gate.pause_state(session) or await gate.state(session):
        return None  # it is about to begin, or something else is said already
    patience = max(3 * timedelta(seconds=desk.settings.reconcile_interval), _RECONCILED)
    if known.at > now - patience:
        return None
    return WorkProblem(
        code="reconciliation",
        since=known.at,
        detail="Autotask's tickets have not been compared with ours for long: those whose callout "
        "never came are not found.",
        cure="See the workers' log for `chore_waits` and `chore_failed`.",
    )


async def webhook_trouble(session: AsyncSession) -> WorkProblem | None:
    """Our webhook is not as it should be."""
    found = await webhook_care.trouble(session)
    if found is None:
        return None
    return WorkProblem(
        code=f"webhook_{found.code}",
        since=found.since,
        detail=f"The webhook: {found.detail}.",
        cure=found.cure,
    )


async def scarce(session: AsyncSession, desk: Desk) -> WorkProblem | None:
    """The calls of the hour are so far used up that work waits."""
    use = await desk.budget.use(session)
    if use.tenant is not None and use.of_tenant >= budget.BUSY:
        return WorkProblem(
            code="budget_tenant",
            since=None,
            detail=f"All tools together have made {use.tenant} of the tenant's {use.limit} calls "
            f"an hour, {use.ours} of them by this one: what nobody waits for is put off.",
            cure="Find the tool that makes so many, or ask Autotask for a higher threshold.",
        )
    if use.ours < use.share:
        return None
    return WorkProblem(
        code="budget",
        since=None,
        detail=f"Our share of the tenant's calls is spent: {use.share} an hour.",
        cure="It refills by itself. If it is like that every day, raise BUDGET_SHARE.",
    )


async def failed_tickets(session: AsyncSession) -> WorkProblem | None:
    """Tickets were given up."""
    failed = select(func.count(), func.min(TicketRecord.looked_at)).where(
        TicketRecord.result == Result.FAILED
    )
    count, since = (await session.execute(failed)).one()
    if not count:
        return None
    return WorkProblem(
        code="failed_tickets",
        since=since,
        detail=f"Tickets that were given up: {count}.",
        cure="See GET /admin/tickets?result=failed, then POST /admin/tickets/{id}/process.",
    )


async def failed_people(session: AsyncSession, now: datetime) -> WorkProblem | None:
    """Autotask refused contacts or links for good."""
    tickets = func.array_agg(Participant.ticket_id.distinct())
    failed = (
        select(func.count(), func.min(Participant.acted_at), tickets)
        .join(TicketRecord, TicketRecord.id == Participant.ticket_id)
        .where(
            Participant.outcome.in_((Outcome.FAILED, Outcome.CREATED_NOT_LINKED)),
            Participant.acted_at > now - _RECENT,
            func.coalesce(TicketRecord.result, "").not_in(_OVER),
        )
    )
    count, since, ids = (await session.execute(failed)).one()
    if not count:
        return None
    some = ", ".join(str(ticket_id) for ticket_id in sorted(ids, reverse=True)[:5])
    return WorkProblem(
        code="failed_people",
        since=since,
        detail=f"People whom Autotask refused within a day: {count}, on tickets {some}.",
        cure="GET /admin/tickets/{id} shows Autotask's reason (all: /admin/tickets?outcome=failed);"
        " a field that the tenant requires belongs into CONTACT_DEFAULTS."
        " Then POST /admin/tickets/{id}/process.",
    )


async def wrong_note_setting(session: AsyncSession) -> WorkProblem | None:
    """Notes are wanted, and the latest could not be written because of the settings."""
    note = await note_ledger.wrong_setting(session)
    if note is None:
        return None
    return WorkProblem(
        code="note_publish",
        since=note.sent_at,
        detail=f"No notes are written on tickets: {note.error}.",
        cure="Set TICKET_NOTE_PUBLISH to the choice for people inside only and restart; the next "
        "note that is written ends this.",
    )
