"""Check whether people are served: failures, lists, loops, contacts to be retired, notes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import CLOSED, FAILURES, RETIRABLE, LedgerError, Result
from app.db.tables import Ledger, Participant, TicketRecord
from app.ops.checks.problem import WorkProblem
from app.records import loops as loop_records
from app.records import notes
from app.services import Services

_RECENT = timedelta(hours=24)
_LISTS_EXPECTED = 0.8  # of the mail tickets
_ENOUGH = 5  # mail tickets; of fewer a share means nothing
_TRIED = timedelta(hours=1)  # a missing right is tried again within that
_NAMED = 10  # accounts


async def lists_found(session: AsyncSession, now: datetime) -> tuple[int, int]:
    """Count the mail tickets that were finished within a day, and those with a list."""
    found = TicketRecord.result.in_((Result.DONE, Result.NOBODY_COPIED))
    missing = TicketRecord.result.in_((Result.NO_LIST, Result.AMBIGUOUS_MESSAGE))
    counted = select(func.count(), func.count().filter(found)).where(
        TicketRecord.by_mail.is_(True), found | missing, TicketRecord.looked_at > now - _RECENT
    )
    tickets, lists = (await session.execute(counted)).one()
    return tickets, lists


def without_lists(tickets: int, lists: int) -> WorkProblem | None:
    """Check whether enough of the mail tickets have a list."""
    if tickets < _ENOUGH or lists >= _LISTS_EXPECTED * tickets:
        return None
    return WorkProblem(
        code="lists_missing",
        since=None,
        detail=f"Of {tickets} tickets that came by mail within a day, {lists} had a Cc list, or "
        "proof that nobody was copied.",
        cure="GET /admin/tickets?result=no_list and the looks of each ticket show what was asked. "
        "See docs/setup/ for your CC_SOURCES, and name in MAIL_TICKET_SOURCES the ticket sources "
        "that mean mail.",
    )


async def failed_tickets(session: AsyncSession) -> WorkProblem | None:
    """Check whether tickets were given up."""
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
    """Check whether Autotask refused contacts or links for good."""
    tickets = func.array_agg(Participant.ticket_id.distinct())
    failed = (
        select(func.count(), func.min(Participant.acted_at), tickets)
        .join(TicketRecord, TicketRecord.id == Participant.ticket_id)
        .where(
            Participant.outcome.in_(FAILURES),
            Participant.acted_at > now - _RECENT,
            # No one was refused there.
            func.coalesce(TicketRecord.result, "").not_in(CLOSED),
        )
    )
    count, since, ids = (await session.execute(failed)).one()
    if not count:
        return None
    named = ", ".join(str(ticket_id) for ticket_id in sorted(ids, reverse=True)[:5])
    return WorkProblem(
        code="failed_people",
        since=since,
        detail=f"People that Autotask refused within a day: {count}, on tickets {named}.",
        cure="GET /admin/tickets/{id} shows Autotask's reason (all: /admin/tickets?outcome=failed);"
        " a field that the tenant requires belongs in CONTACT_DEFAULTS."
        " Then POST /admin/tickets/{id}/process.",
    )


async def wrong_note_setting(session: AsyncSession) -> WorkProblem | None:
    """Check whether the latest note could not be written because of the settings."""
    note = await notes.wrong_setting(session)
    if note is None:
        return None
    return WorkProblem(
        code="note_publish",
        since=note.sent_at,
        detail=f"No notes are written on tickets: {note.error}.",
        cure="Set TICKET_NOTE_PUBLISH to the choice for internal people only and restart; the next "
        "note that is written ends this.",
    )


async def loops(session: AsyncSession, now: datetime) -> WorkProblem | None:
    """Check whether mail loops were broken."""
    count, first, accounts = await loop_records.latest(session, now - _RECENT)
    if not count:
        return None
    return WorkProblem(
        code="loop",
        since=first,
        detail=f"Mail loops that were broken within a day: {count}, in {_named(accounts)}. The "
        "people in them are denied for the account and taken off their tickets.",
        cure="GET /admin/audit?what=loop_broken names the contact and the ticket. Stop the cause, "
        "usually an automatic reply; then take the address off `denied` of the account's policy.",
    )


def _named(accounts: Sequence[int]) -> str:
    shown = ", ".join(str(account) for account in accounts[:_NAMED])
    more = f" and {len(accounts) - _NAMED} more" if len(accounts) > _NAMED else ""
    return f"account{'s' if len(accounts) > 1 else ''} {shown}{more}"


async def contacts_not_ended(
    session: AsyncSession, services: Services, now: datetime
) -> WorkProblem | None:
    """Check whether our user lacks a right to retire contacts that wait for it."""
    patience = max(3 * timedelta(seconds=services.settings.reconcile_interval), _TRIED)
    waits = select(func.count()).where(
        Ledger.state.in_(RETIRABLE),
        Ledger.kept.is_(None),
        Ledger.error_code == LedgerError.FORBIDDEN,
        Ledger.end_at > now - patience,  # tried of late, so they are still to be ended
    )
    count = (await session.execute(waits)).scalar_one()
    if not count:
        return None
    return WorkProblem(
        code="contacts_not_ended",
        since=None,
        detail=f"Contacts whose tickets are over and that cannot be retired, as our user lacks a "
        f"right: {count}.",
        cure="Give the API user's security level the right to query ClientPortalUsers and to "
        "change contacts; it is tried again every ten minutes.",
    )
