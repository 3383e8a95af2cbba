"""Follow one ticket through our own records as things happen; no call is made, nothing changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from app.db.database import Sessions
from app.db.states import FAILURES, LedgerState, Priority, Result
from app.db.tables import Delivery, Ledger, Look, Participant, TicketRecord
from app.decide import Reason
from app.decide.words import why
from app.records import history
from app.records.history import History

POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    at: datetime | None
    """By the database's clock; None for a fact without a time."""

    text: str


@dataclass
class Shown:
    """What has been shown of a ticket, so that nothing is shown twice."""

    facts: set[tuple[object, ...]] = field(default_factory=set)

    def first(self, *fact: object) -> bool:
        """Return whether a fact is new, and remember it."""
        new = fact not in self.facts
        self.facts.add(fact)
        return new


async def next_ticket(sessions: Sessions, since: datetime, seconds: float) -> int | None:
    """Wait for the first ticket that we see after a time; return None if none comes."""
    deadline = asyncio.get_running_loop().time() + seconds
    first = (
        select(TicketRecord.id)
        .where(TicketRecord.first_seen_at > since)
        .order_by(TicketRecord.first_seen_at, TicketRecord.id)
        .limit(1)
    )
    while True:
        async with sessions() as session:
            ticket_id: int | None = await session.scalar(first)
        if ticket_id is not None or asyncio.get_running_loop().time() > deadline:
            return ticket_id
        await asyncio.sleep(POLL_SECONDS)


async def watch_ticket(
    sessions: Sessions, ticket_id: int, seconds: float
) -> AsyncIterator[tuple[list[Event], History | None]]:
    """Yield new events of a ticket, with its records, until it is over or `seconds` have passed.

    The last records show which of the two it was. They are None while the ticket is unknown.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    shown = Shown()
    while True:
        async with sessions() as session:
            records = await history.of_ticket(session, ticket_id)
        events = list(news(records, shown)) if records else []
        ended = (records and records.over) or asyncio.get_running_loop().time() > deadline
        if events or ended:
            yield events, records
        if ended:
            return
        await asyncio.sleep(POLL_SECONDS)


def news(records: History, shown: Shown) -> Iterator[Event]:
    """Yield what has not been shown yet, in the order in which it happens."""
    yield from _arrival(records, shown)
    looks = [look for look in records.looks if shown.first("look", look.id)]
    decided = [
        person
        for person in records.participants
        if shown.first("decision", person.key, person.decision, person.reason, person.approved_by)
    ]
    for look in looks:
        yield _search(look, records.ticket)
    for person in decided:
        yield Event(person.decided_at, f"{person.key}: {person.decision}, because {_why(person)}")
    yield from _writes(records, shown)
    for person in records.participants:
        if person.outcome and shown.first("outcome", person.key, person.outcome, person.detail):
            yield Event(person.acted_at, _outcome(person))
        elif person.retry_at and shown.first("retry", person.key, person.retry_at):
            again = f"tried again at {person.retry_at:%H:%M:%S}"
            yield Event(person.acted_at, f"{person.key}: not done: {person.detail}; {again}")
    for look in looks:
        yield _end(look)


def _arrival(records: History, shown: Shown) -> Iterator[Event]:
    ticket, due = records.ticket, records.due
    for delivery in records.deliveries:
        if shown.first("delivery", delivery.id):
            yield Event(delivery.received_at, _callout(delivery))
    if not records.deliveries and shown.first("without a callout"):
        found = due is not None and due.priority == Priority.CATCH_UP
        how = (
            "found by comparing with Autotask (reconciliation)" if found else "processed on request"
        )
        yield Event(ticket.first_seen_at, f"ticket {ticket.id}: {how}; no callout has come")
    if ticket.number and shown.first("number", ticket.number):
        yield Event(None, f"it is ticket {ticket.number} of account {ticket.account_id}")


def _callout(delivery: Delivery) -> str:
    """Describe a callout, and how late it came."""
    created = delivery.action.lower() == "create"
    of = "ticket" if created else "a change of ticket"
    delay = _delay(delivery, f"the ticket was {'created' if created else 'changed'}")
    return f"callout of {of} {delivery.entity_id}{delay}"


def _delay(delivery: Delivery, what: str) -> str:
    """Describe how long a callout took; Autotask reports the second of the event, in UTC."""
    try:
        at = datetime.fromisoformat(delivery.event_time or "")
    except ValueError:
        return ""
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    seconds = (delivery.received_at - at) / timedelta(seconds=1)
    return f", {max(seconds, 0.0):.0f} s after {what}"


def _search(look: Look, ticket: TicketRecord) -> Event:
    """Describe where a look found its list."""
    if look.source is None:
        return Event(look.started_at, "looked: no list found")
    message = f" (message {ticket.message_id})" if ticket.message_id else ""
    return Event(look.started_at, f"looked: the list is in {look.source}{message}")


def _end(look: Look) -> Event:
    note = f": {look.note}" if look.note else ""
    if look.result:
        return Event(look.ended_at, f"result {look.result}{note}")
    again = f"; looked at again at {look.again_at:%H:%M:%S}" if look.again_at else ""
    return Event(look.ended_at, f"not finished{note}{again}")


def _writes(records: History, shown: Shown) -> Iterator[Event]:
    """Yield events for contacts, links and notes, pending ones too."""
    for row in records.created:
        if shown.first("ledger", row.id, row.state):
            what = _LEDGER[LedgerState(row.state)]
            yield Event(row.settled_at or row.sent_at, f"{row.email}: {what}{_id(row)}")
    for _, link in sorted(records.links.items()):
        if link.ours and link.first_seen_linked_at and shown.first("link", link.contact_id):
            yield Event(link.first_seen_linked_at, f"contact {link.contact_id} is on the ticket")
        elif link.sent_at and not link.ours and shown.first("sent", link.contact_id, link.sent_at):
            yield Event(link.sent_at, f"contact {link.contact_id} is being put on the ticket")
    for note in records.notes:
        if shown.first("note", note.id, note.state):
            error = f": {note.error}" if note.error else ""
            yield Event(note.sent_at, f"the note on the ticket: {note.state}{error}")


_LEDGER = {
    LedgerState.SENDING: "a contact is being created",
    LedgerState.UNSURE: "no answer to the create; whether it took effect is looked up",
    LedgerState.CREATED: "contact created",
    LedgerState.REFUSED: "Autotask refused to create a contact",
    LedgerState.GONE: "the contact that we created is gone",
    LedgerState.RETIRED: "the contact that we created was retired",
    LedgerState.RETIRING: "the contact that we created is being retired",
    LedgerState.RESTORING: "the contact that we created is being brought back",
}


def _id(row: Ledger) -> str:
    said = f": {row.error}" if row.error else ""
    return f" ({row.contact_id})" if row.contact_id else said


def _why(person: Participant) -> str:
    """Describe the reason of a decision."""
    approved = f"; approved by {person.approved_by}" if person.approved_by else ""
    detail = f" ({person.detail})" if person.reason == Reason.INVALID and person.detail else ""
    return f"{why(person.reason)}{detail}{approved}"


def _outcome(person: Participant) -> str:
    said = f": {person.detail}" if person.detail and person.reason != Reason.INVALID else ""
    muted = "; this contact is set to get no mail" if person.muted else ""
    return f"{person.key}: {person.outcome}{said}{muted}"


def went_well(records: History) -> bool:
    """Return whether the test mail was processed without failures."""
    return records.ticket.result in (Result.DONE, Result.NOBODY_COPIED) and not any(
        person.outcome in FAILURES for person in records.participants
    )
