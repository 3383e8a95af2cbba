"""Retire a contact step by step: what is known in, the next step out. Pure.

The order matters: off the tickets, then the address away, then inactive. Autotask matches a mail's
sender to contacts first, and refuses the mail of an inactive one: at no moment may a contact be
inactive and carry the person's address.
https://www.autotask.net/help/Content/4_Admin/1FoundationalFeatures/IncomingEmailProcessing/What_Sender.htm
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from app.autotask.models import ContactLink, TicketState, WholeContact
from app.contacts.changes import changed_by_person
from app.db.states import EndedBy
from app.records.absences import NOTHING, Missed


class Action(StrEnum):
    """The next step. After the first five there is no other."""

    GONE = "gone"  # the contact does not exist any more
    RETIRED = "retired"  # it is ended
    KEEP = "keep"  # a person has made it their own: it is left alone for ever
    LATER = "later"  # not yet
    NOT_SHOWN = "not_shown"  # a reading does not show it; whether it exists is not certain yet
    # ---
    PUT_BACK = "put_back"  # set its address, which we cleared, again: it is needed after all
    REACTIVATE = "reactivate"  # it has an address again, and we may have deactivated it
    UNLINK = "unlink"
    CLEAR = "clear"  # clear its address
    DEACTIVATE = "deactivate"


@dataclass(frozen=True, slots=True)
class Step:
    """The next step, and why."""

    action: Action
    why: str = ""
    until: datetime | None = None
    """When to look again."""
    links: Sequence[ContactLink] = ()
    """The links to take off."""
    needed_on: Sequence[int] = ()
    """The tickets that need the contact."""


@dataclass(frozen=True, slots=True)
class RetireResult:
    """How far the retirement got: one of the actions after which there is no other, and why."""

    action: Action
    why: str = ""
    needed: bool = False
    """A ticket needs the contact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OurRecord:
    """What we know of a contact that we created."""

    account_id: int
    why: EndedBy
    sent: Mapping[str, Any] | None
    """The contact as we wrote it."""
    begun: bool
    """Its ending has begun: we cleared or deactivated what is cleared or inactive."""
    links: Mapping[int, int | None]
    """The ids of our links by ticket; None where an id is not known."""
    grace: timedelta
    """Begins when its last ticket is over."""
    over_at: datetime | None
    """When we saw that its last ticket was over."""
    by_person: str | None = None
    """What a person has done with it in our records."""
    udf_defaults: Mapping[str, str | None] | None = None
    """What a new contact has in its user-defined fields."""
    halt: str | None = None
    """Why an ending that has begun is not to go on."""
    unsure: bool = False
    """A request of its ending got no answer, or left its address."""


@dataclass(frozen=True, slots=True)
class AtAutotask:
    """A contact as Autotask shows it, read afresh."""

    contact: WholeContact | None
    links: Sequence[ContactLink] = ()
    own_tickets: Collection[int] = ()
    portal: bool = False
    states: Mapping[int, TicketState] = field(default_factory=dict)
    """The states of the tickets that it is linked to, by ticket."""
    stuck: Collection[int] = ()
    """Links, by their ids, that Autotask does not let us take off."""
    missed: Missed = NOTHING
    """The contact, if it was not shown."""
    missed_tickets: Missed = NOTHING
    """Tickets that it is on and that were not shown."""

    @property
    def is_active_with_address(self) -> bool:
        """Whether it is as it was before it was retired."""
        return self.contact is not None and self.contact.active and bool(self.contact.email)


def next_step(  # noqa: PLR0911  a step each
    record: OurRecord, actual: AtAutotask, complete: Collection[int], now: datetime
) -> Step:
    """Return the next step. complete: the statuses of a ticket that is over."""
    contact = actual.contact
    if contact is None and actual.missed.unsure:
        return Step(Action.NOT_SHOWN, "Autotask does not show it now", until=actual.missed.again_at)
    if contact is None:
        return Step(Action.GONE, "it does not exist any more")
    if not contact.active:
        return _inactive(record, contact)
    cleared = record.begun and not contact.email
    if why := _made_their_own(record, actual, contact, cleared=cleared):
        return Step(Action.PUT_BACK if cleared else Action.KEEP, why)
    if needed := _needed_on(record, actual, complete):
        over = "" if record.why is EndedBy.UNDO else ", which is not over"
        why = f"it is on ticket {needed[0]}{over}"
        return Step(Action.PUT_BACK if cleared else Action.LATER, why, needed_on=needed)
    if record.halt:
        return Step(Action.PUT_BACK if cleared else Action.LATER, record.halt)
    due = _due(record, actual, now)
    if not record.begun and due and due > now:
        return Step(Action.LATER, "its grace is not over", until=due)
    links = [link for link in actual.links if link.id not in actual.stuck]
    if links and not cleared:
        return Step(Action.UNLINK, links=links)
    if not cleared:
        return Step(Action.CLEAR)
    return Step(Action.DEACTIVATE)


def _inactive(record: OurRecord, contact: WholeContact) -> Step:
    if record.begun and not contact.emails:
        return Step(Action.RETIRED)
    if record.begun and record.unsure:
        return Step(Action.REACTIVATE, "a person gave it an address again")
    return Step(Action.KEEP, "a person deactivated it")


def _made_their_own(
    record: OurRecord, actual: AtAutotask, contact: WholeContact, *, cleared: bool
) -> str | None:
    """Return how a person has made the contact their own; None if no one has."""
    why = changed_by_person(
        contact, record.account_id, record.sent, cleared=cleared, udf_defaults=record.udf_defaults
    )
    if why:
        return why
    if actual.portal:
        return "it can use the client portal"
    if actual.own_tickets:
        return f"it is the contact of ticket {min(actual.own_tickets)}"
    for link in actual.links:
        known = record.links.get(link.ticket_id, -1)
        if known not in (None, link.id):
            return f"a person put it on ticket {link.ticket_id}"
    return record.by_person


def _needed_on(record: OurRecord, actual: AtAutotask, complete: Collection[int]) -> list[int]:
    """Return the tickets that the contact is on and has to stay on; not those that are gone.

    An undo takes links off its own tickets only. No ticket keeps a forgotten person.
    """
    if record.why is EndedBy.FORGOTTEN:
        return []
    states, unsure = actual.states, actual.missed_tickets.unsure
    on = sorted({link.ticket_id for link in actual.links} & {*states, *unsure})
    if record.why is EndedBy.UNDO:
        return on
    return [ticket for ticket in on if ticket in unsure or states[ticket].status not in complete]


def _due(record: OurRecord, actual: AtAutotask, now: datetime) -> datetime | None:
    """Return when its grace is over, by Autotask's dates and by when we noticed.

    A date that lies ahead is not believed: the contact would be kept until then.
    """
    dates = [state.completed_at for state in actual.states.values() if state.completed_at]
    passed = [at for at in (*dates, record.over_at) if at and at <= now]
    over = max(passed, default=now if dates else None)
    return over + record.grace if over else None
