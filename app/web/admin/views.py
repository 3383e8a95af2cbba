"""What the admin API shows of our records."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from app.db.tables import Due, LinkRecord, Mapping, Participant
from app.looks.preview import Preview
from app.records.history import History


class _View(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class MappingView(_View):
    """Which contact an address means in an account. verified_at: last seen to hold at Autotask."""

    account_id: int
    email: str
    contact_id: int
    origin: Literal["found", "manual", "created"]
    created_at: datetime
    verified_at: datetime

    @classmethod
    def of(cls, row: Mapping, created: bool) -> Self:
        """Show a mapping; created: its contact stands in the ledger."""
        shown = cls.model_validate(row)
        return shown.model_copy(update={"origin": "created"}) if created else shown


class MappingBody(BaseModel):
    """The contact that an address shall mean."""

    model_config = ConfigDict(extra="forbid")
    contact_id: int = Field(ge=1, lt=2**31)


class DeliveryView(_View):
    """A callout that was stored: of a new ticket, or of a change of one that we know."""

    id: int
    received_at: datetime
    ticket_id: int = Field(validation_alias="entity_id")
    action: str
    guid: str | None
    sequence_number: int | None
    event_time: str | None
    body_sha256: str


class LookView(_View):
    """One pass of a worker over a ticket. result null: it was to be looked at again.

    source: where its list was found.
    """

    attempt: int
    started_at: datetime
    ended_at: datetime
    result: str | None
    note: str | None
    source: str | None
    again_at: datetime | None


class ParticipantView(_View):
    """One address on a ticket: what was decided and why, and what came of it.

    outcome null: not finished. detail: what is wrong with what stood in the list, or what Autotask
    said. muted: the contact is set to get no mail; null: not known. The last two are facts about
    the contact on this ticket: when it was first seen linked, and seen to have been taken off.
    """

    id: int
    address: str = Field(validation_alias="key")
    name: str
    decision: str
    reason: str
    outcome: str | None
    contact_id: int | None
    detail: str | None
    retry_at: datetime | None
    decided_at: datetime
    acted_at: datetime | None
    muted: bool | None
    approved_by: str | None
    rejected_by: str | None
    judged_at: datetime | None
    first_seen_linked_at: datetime | None = None
    removed_seen_at: datetime | None = None


class DecisionView(_View):
    """What a look would decide about one address. muted: the contact gets no mail; null: unknown.

    detail: what is wrong with what stood in the list.
    """

    address: str = Field(validation_alias="key")
    name: str
    decision: str = Field(validation_alias="verdict")
    reason: str
    contact_id: int | None
    muted: bool | None
    detail: str | None


class PreviewView(BaseModel):
    """How a look would end. result null: it would be made again, and note says why.

    source: where the list was found; null: it is of earlier looks. observed: a look would decide
    and record, and write nothing to Autotask.
    """

    ticket_id: int
    number: str | None
    account_id: int | None
    contact_id: int | None
    result: str | None
    note: str | None
    source: str | None
    observed: bool
    decisions: list[DecisionView]

    @classmethod
    def of(cls, ticket_id: int, one: Preview) -> Self:
        """Show a preview."""
        ticket = one.ticket
        return cls(
            ticket_id=ticket_id,
            number=ticket.number if ticket else None,
            account_id=ticket.company_id if ticket else None,
            contact_id=ticket.contact_id if ticket else None,
            result=one.result,
            note=one.note,
            source=one.found.source if one.found else None,
            observed=bool(one.gathered and one.gathered.observes),
            decisions=[DecisionView.model_validate(each) for each in one.decisions],
        )


class ParticipantDetails(ParticipantView):
    """One address on one ticket, as lists of people over many tickets show it."""

    ticket_id: int
    ticket_number: str | None = None
    account_id: int

    @classmethod
    def of(cls, row: Participant, number: str | None) -> Self:
        """Show a participant; number: the ticket's."""
        return cls.model_validate(row).model_copy(update={"ticket_number": number})


class NoteView(_View):
    """A note that we wrote on a ticket. state: created; sending or unsure; refused, with error."""

    state: str
    note_id: int | None
    sent_at: datetime
    error: str | None


class TicketView(_View):
    """What we know of a ticket. result null: it is due, or being looked at.

    by_mail: whether it counts as a mail ticket. message_id: of the mail its list was read from.
    """

    id: int
    number: str | None
    account_id: int | None
    contact_id: int | None
    result: str | None
    note: str | None
    first_seen_at: datetime
    looked_at: datetime | None
    by_mail: bool | None
    message_id: str | None


class DueView(_View):
    """Whether a ticket is to be looked at: when, how often tried, and whether a worker has it."""

    due_at: datetime | None
    since: datetime
    tries: int
    wanted: int
    done: int
    working: bool


class TicketDetails(TicketView):
    """A ticket with all that happened to it."""

    due: DueView | None
    participants: list[ParticipantView]
    looks: list[LookView]
    deliveries: list[DeliveryView]
    notes: list[NoteView]


def ticket_details(known: History) -> TicketDetails:
    """Show what our records say about a ticket; looks and deliveries begin with the latest."""
    return TicketDetails(
        **TicketView.model_validate(known.ticket).model_dump(),
        due=known.due and due_view(known.due),
        participants=[_participant(row, known.links) for row in known.participants],
        looks=[LookView.model_validate(row) for row in reversed(known.looks)],
        deliveries=[DeliveryView.model_validate(row) for row in reversed(known.deliveries)],
        notes=[NoteView.model_validate(row) for row in known.notes],
    )


def due_view(row: Due) -> DueView:
    """Show whether a ticket is to be looked at."""
    return DueView(
        due_at=row.due_at,
        since=row.since,
        tries=row.tries,
        wanted=row.wanted,
        done=row.done,
        working=row.holder is not None,
    )


def _participant(row: Participant, links: MappingOf[int, LinkRecord]) -> ParticipantView:
    shown = ParticipantView.model_validate(row)
    link = links.get(row.contact_id) if row.contact_id else None
    if link is None:
        return shown
    return shown.model_copy(
        update={
            "first_seen_linked_at": link.first_seen_linked_at,
            "removed_seen_at": link.removed_seen_at,
        }
    )
