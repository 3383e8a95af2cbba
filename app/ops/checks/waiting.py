"""Check whether tickets, creates and contacts wait for too long, and say what they wait for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Interval, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import UNSETTLED, LedgerState, Priority, WaitsFor
from app.db.tables import Due, Ledger
from app.decide.waiting import TEN
from app.due.backlog import WAITS_IN_VAIN, WANTED_AT, is_waiting
from app.due.work import TICKET
from app.ops.checks.problem import WorkProblem
from app.outbound import gate
from app.services import Services

_LONG = timedelta(hours=1)
_UNANSWERED = timedelta(minutes=10)  # Autotask works on a request for five at most
_NAMED = 5  # tickets

_SEE = "GET /admin/tickets?result=open lists them, and the note of each says more."
_OTHERS = "The problem beside this one has the cure; the tickets go on by themselves."

REASONS: dict[WaitsFor | None, tuple[str, str]] = {
    None: ("a worker", "Start one more `autotask-cc worker`, and read the workers' log."),
    WaitsFor.LIST: ("their list", _SEE),
    WaitsFor.RETRY: ("people that Autotask refused", f"{_SEE} Cure what Autotask says there."),
    WaitsFor.GATE: ("Autotask, which may not be asked now", _OTHERS),
    WaitsFor.PAUSED: ("the end of the pause", 'PUT /admin/pause with {"paused": false}.'),
    WaitsFor.RIGHT: ("a right of the API user's in their account", _OTHERS),
    WaitsFor.BUDGET: ("calls of the next hour", "Raise BUDGET_SHARE; GET /health/work has calls."),
    WaitsFor.SLOT: (
        "one of the three requests at once that Autotask takes",
        "Run `autotask-cc doctor`: Autotask is slow, or requests hang. Restart the workers.",
    ),
    WaitsFor.MAILBOX: ("the mailbox, which cannot be read", _OTHERS),
    WaitsFor.WINDOW: (
        "mails of their time, which are very many or cannot be read",
        f"{_SEE} Add the people by hand, or let another of CC_SOURCES have the list.",
    ),
    WaitsFor.REQUEST: (
        "a request that got no answer, or another ticket's",
        f"{_SEE} POST /admin/tickets/{{id}}/process looks at once.",
    ),
    WaitsFor.ENDING: (
        "contacts that are being retired",
        "GET /admin/people/{email} shows in `delayed_by` what is in the way.",
    ),
    WaitsFor.ANSWER: (
        "a good answer of Autotask's",
        f"{_SEE} It has Autotask's words; see https://status.kaseya.com.",
    ),
    WaitsFor.BUSY: (
        "Autotask, which turns calls down because of load",
        "Find the tool that makes so many calls: the report of API calls in Autotask names it.",
    ),
    WaitsFor.SHOWN: ("what Autotask does not show", f"{_SEE} It is read again within minutes."),
    WaitsFor.CHANGING: (
        "an end of their changes",
        f"{_SEE} Find what changes them all the time: a workflow rule.",
    ),
    WaitsFor.NOTE: (
        "the note on them, which cannot be written; their people are done",
        "GET /admin/tickets/{id} has the reason in `notes`; TICKET_NOTE=off goes without.",
    ),
    WaitsFor.BUG: (
        "a repair of this service",
        "Report `look_failed` of the log, with its traceback.",
    ),
}
"""What tickets wait for, and the cure."""


async def stuck(session: AsyncSession, services: Services, now: datetime) -> WorkProblem | None:
    """Check whether tickets have waited for an hour, or were looked at ten times in vain."""
    waits_long = WAITS_IN_VAIN & (or_(Due.waits_since < now - _LONG, Due.vain >= TEN))
    # Backlog waits its turn, however long.
    untouched = is_waiting() & (now - _LONG > WANTED_AT) & (Due.priority < int(Priority.CATCH_UP))
    number = func.count()
    grouped = (
        select(Due.waits_for, number, func.min(func.coalesce(Due.waits_since, WANTED_AT)))
        .where(Due.kind == TICKET, or_(waits_long, untouched))
        .group_by(Due.waits_for)
        .order_by(number.desc(), Due.waits_for)
    )
    groups = [(cause, count, since) for cause, count, since in await session.execute(grouped)]
    if not groups:
        return None
    cause, most, _ = groups[0]
    cause = cause or await _why_untouched(session, services)
    # A later version may know reasons that this one does not.
    known = cause is None or cause in REASONS
    reason, cure = REASONS[WaitsFor(cause) if cause else None] if known else (cause, _SEE)
    return WorkProblem(
        code="stuck",
        since=min(since for _, _, since in groups),
        detail=f"Tickets that have waited for an hour, or through {TEN} looks: "
        f"{sum(count for _, count, _ in groups)}. What most of them ({most}) wait for: {reason}.",
        cure=cure,
    )


async def _why_untouched(session: AsyncSession, services: Services) -> WaitsFor | None:
    """Return why no worker takes up what is due; None: none has the time."""
    if (await services.budget.pace(session)).until is None:
        return None
    if await gate.pause_state(session):
        return WaitsFor.PAUSED
    return WaitsFor.GATE if await gate.state(session) else WaitsFor.BUDGET


async def unanswered_creates(
    session: AsyncSession, services: Services, now: datetime
) -> WorkProblem | None:
    """Check whether it is unknown for long if contacts were created."""
    # A request is sent again once the one before it can no longer take effect, not earlier.
    first = Ledger.sent_at - (Ledger.sends - 1) * literal(services.create_settle, Interval)
    waits = select(
        func.count(), func.min(first), func.array_agg(Ledger.ticket_id.distinct())
    ).where(Ledger.state.in_(UNSETTLED), first < now - _UNANSWERED)
    count, since, tickets = (await session.execute(waits)).one()
    if not count:
        return None
    return WorkProblem(
        code="unanswered_creates",
        since=since,
        detail=f"Contacts of which it is unknown for {_UNANSWERED.seconds // 60} minutes whether "
        f"they were created: {count}, for tickets {_named(tickets)}.",
        cure="POST /admin/tickets/{id}/process looks them up; if Autotask cannot be asked, cure "
        "that first. A contact that was created has a note that begins with `autotask-cc`.",
    )


async def endings(session: AsyncSession, now: datetime) -> WorkProblem | None:
    """Check whether contacts that tickets want are being retired for long."""
    waits = select(
        func.count(), func.min(Ledger.needed_at), func.array_agg(Ledger.contact_id.distinct())
    ).where(Ledger.state == LedgerState.RETIRING, Ledger.needed_at < now - _LONG)
    count, since, contacts = (await session.execute(waits)).one()
    if not count:
        return None
    return WorkProblem(
        code="contacts_wanted",
        since=since,
        detail=f"Contacts that tickets want, and whose retirement has not gone on for an hour: "
        f"{count}, contacts {_named(contacts)}.",
        cure="Open them in Autotask: our user must be able to change them. The log's "
        "`contact_not_ended_yet` has Autotask's reason; it is tried again by itself.",
    )


def _named(ids: Sequence[int | None]) -> str:
    shown = ", ".join(str(one) for one in sorted(filter(None, ids), reverse=True)[:_NAMED])
    return f"{shown} and {len(ids) - _NAMED} more" if len(ids) > _NAMED else shown
