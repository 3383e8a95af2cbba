"""Response bodies that several routes of the admin API share."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from app.db.tables import Due, LinkRecord, Mapping, Participant
from app.looks.preview import Preview
from app.records.history import History


class View(BaseModel):
    """A response body. The text under a field is its description in the OpenAPI document."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)


class MappingView(View):
    """The contact that an address means in an account."""

    account_id: int
    email: str
    contact_id: int
    origin: Literal["found", "manual", "created"]
    created_at: datetime
    verified_at: datetime
    """When the contact was last seen at Autotask with this address."""

    @classmethod
    def of(cls, row: Mapping, created: bool) -> Self:
        """Return a mapping's view; `created` means that the ledger has its contact."""
        view = cls.model_validate(row)
        return view.model_copy(update={"origin": "created"}) if created else view


class MappingBody(BaseModel):
    """The contact that an address is to mean."""

    model_config = ConfigDict(extra="forbid")
    contact_id: int = Field(ge=1, lt=2**31)


class DeliveryView(View):
    """A stored callout: of a new ticket, or of a change of a known one."""

    id: int
    received_at: datetime
    ticket_id: int = Field(validation_alias="entity_id")
    action: str
    guid: str | None
    sequence_number: int | None
    event_time: str | None
    body_sha256: str


class LookView(View):
    """One pass of a worker over a ticket."""

    attempt: int
    started_at: datetime
    ended_at: datetime
    result: str | None
    """Null if the ticket is looked at again."""
    note: str | None
    source: str | None
    """The Cc source that had the list."""
    again_at: datetime | None


class ParticipantView(View):
    """One address on a ticket: the decision, its reason, and the outcome."""

    id: int
    address: str = Field(validation_alias="key")
    name: str
    decision: str
    reason: str
    outcome: str | None
    """Null until the decision is carried out."""
    contact_id: int | None
    detail: str | None
    """Why the entry of the list is unusable, or what Autotask answered."""
    retry_at: datetime | None
    decided_at: datetime
    acted_at: datetime | None
    muted: bool | None
    """Whether the contact is set to get no mail; null if unknown."""
    approved_by: str | None
    rejected_by: str | None
    judged_at: datetime | None
    first_seen_linked_at: datetime | None = None
    """When the contact was first seen on this ticket."""
    removed_seen_at: datetime | None = None
    """When the contact was seen to be taken off this ticket."""


class DecisionView(View):
    """What a look would decide about one address."""

    address: str = Field(validation_alias="key")
    name: str
    decision: str = Field(validation_alias="verdict")
    reason: str
    contact_id: int | None
    muted: bool | None
    """Whether the contact is set to get no mail; null if unknown."""
    detail: str | None
    """Why the entry of the list is unusable."""


class PreviewView(View):
    """How a look would end."""

    ticket_id: int
    number: str | None
    account_id: int | None
    contact_id: int | None
    result: str | None
    """Null if the ticket would be looked at again; `note` says why."""
    note: str | None
    source: str | None
    """The Cc source that has the list; null if the list is of earlier looks."""
    observed: bool
    """Whether a look would decide and record, and write nothing to Autotask."""
    decisions: list[DecisionView]

    @classmethod
    def of(cls, ticket_id: int, preview: Preview) -> Self:
        """Return a preview's view."""
        ticket = preview.ticket
        return cls(
            ticket_id=ticket_id,
            number=ticket.number if ticket else None,
            account_id=ticket.company_id if ticket else None,
            contact_id=ticket.contact_id if ticket else None,
            result=preview.result,
            note=preview.note,
            source=preview.found.source if preview.found else None,
            observed=bool(preview.gathered and preview.gathered.observes),
            decisions=[DecisionView.model_validate(each) for each in preview.decisions],
        )


class ParticipantDetails(ParticipantView):
    """One address on one ticket, as lists over many tickets show it."""

    ticket_id: int
    ticket_number: str | None = None
    account_id: int

    @classmethod
    def of(cls, row: Participant, number: str | None) -> Self:
        """Return a participant's view with the number of the ticket."""
        return cls.model_validate(row).model_copy(update={"ticket_number": number})


class NoteView(View):
    """A note that the service wrote on a ticket."""

    state: str
    """`created`, `sending`, `unsure` (no answer yet), or `refused`, with `error`."""
    note_id: int | None
    sent_at: datetime
    error: str | None


class TicketView(View):
    """What is known of a ticket."""

    id: int
    number: str | None
    account_id: int | None
    contact_id: int | None
    result: str | None
    """Null while the ticket is due or being looked at."""
    note: str | None
    first_seen_at: datetime
    looked_at: datetime | None
    by_mail: bool | None
    """Whether it counts as a ticket that came by mail."""
    message_id: str | None
    """Message-ID of the mail that the list was read from."""


class DueView(View):
    """When a ticket is looked at next, and whether a worker has it."""

    due_at: datetime | None
    since: datetime
    tries: int
    wanted: int
    done: int
    working: bool


class TicketDetails(TicketView):
    """A ticket with its participants, looks, deliveries and notes."""

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
    """Return when a ticket is looked at next."""
    return DueView(
        due_at=row.due_at,
        since=row.since,
        tries=row.tries,
        wanted=row.wanted,
        done=row.done,
        working=row.holder is not None,
    )


def _participant(row: Participant, links: MappingOf[int, LinkRecord]) -> ParticipantView:
    view = ParticipantView.model_validate(row)
    link = links.get(row.contact_id) if row.contact_id else None
    if link is None:
        return view
    return view.model_copy(
        update={
            "first_seen_linked_at": link.first_seen_linked_at,
            "removed_seen_at": link.removed_seen_at,
        }
    )
