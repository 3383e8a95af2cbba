"""How a contact of ours is ended, step by step: what is known in, the next step out. Pure.

The order is what matters: off the tickets, then the address away, then inactive. Autotask matches a
mail's sender to contacts first, and refuses mail of an inactive one: at no moment may a contact be
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
from app.contacts.changes import touched


class Action(StrEnum):
    """What is to be done next. Above the line it is the end of it."""

    GONE = "gone"  # there is no such contact any more
    RETIRED = "retired"  # it is ended
    KEEP = "keep"  # a person has made it their own: it is left alone for ever
    LATER = "later"  # not yet
    # ---
    PUT_BACK = "put_back"  # its address, which we took: it is needed after all
    REACTIVATE = "reactivate"  # it has an address again, and it may be we who deactivated it
    UNLINK = "unlink"
    CLEAR = "clear"  # take its address away
    DEACTIVATE = "deactivate"


@dataclass(frozen=True, slots=True)
class Step:
    """The next step. why: in words. until: when to see again. links: which are to come off.

    open: tickets that it is on and that are not over.
    """

    action: Action
    why: str = ""
    until: datetime | None = None
    links: Sequence[ContactLink] = ()
    open: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Ours:
    """What we know of a contact that we created.

    sent: what we wrote. begun: its ending has begun, so what is missing of it we took. links: the
    ids of our links by ticket, None where an id is not known. grace: from when its last ticket was
    over. over_at: when we saw that. by_person: what a person has done with it in our records.
    udf_defaults: what a new contact has in its user-defined fields. halt: why an ending that has
    begun is not to go on. unsure: a request of ours got no answer.
    """

    account_id: int
    sent: Mapping[str, Any] | None
    begun: bool
    links: Mapping[int, int | None]
    grace: timedelta
    over_at: datetime | None
    by_person: str | None = None
    udf_defaults: Mapping[str, str | None] | None = None
    halt: str | None = None
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class There:
    """What Autotask says, read afresh. states: of the tickets that it is linked to.

    stuck: links that Autotask did not let us take off.
    """

    contact: WholeContact | None
    links: Sequence[ContactLink] = ()
    own_tickets: Collection[int] = ()
    portal: bool = False
    states: Mapping[int, TicketState] = field(default_factory=dict)
    stuck: Collection[int] = ()


def next_step(  # noqa: PLR0911  a step each
    ours: Ours, there: There, complete: Collection[int], now: datetime
) -> Step:
    """Say what is to be done next. complete: the statuses of a ticket that is over."""
    contact = there.contact
    if contact is None:
        return Step(Action.GONE, "it does not exist any more")
    if not contact.active:
        return _inactive(ours, contact)
    cleared = ours.begun and not contact.email
    if why := _a_persons(ours, there, contact, cleared=cleared):
        return Step(Action.PUT_BACK if cleared else Action.KEEP, why)
    if needed := _open(there, complete):
        why = f"it is on ticket {needed[0]}, which is not over"
        return Step(Action.PUT_BACK if cleared else Action.LATER, why, open=needed)
    if ours.halt:
        return Step(Action.PUT_BACK if cleared else Action.LATER, ours.halt)
    due = _due(ours, there)
    if not ours.begun and due and due > now:
        return Step(Action.LATER, "its grace is not over", until=due)
    links = [link for link in there.links if link.id not in there.stuck]
    if links and not cleared:
        return Step(Action.UNLINK, links=links)
    if not cleared:
        return Step(Action.CLEAR)
    return Step(Action.DEACTIVATE)


def _inactive(ours: Ours, contact: WholeContact) -> Step:
    if ours.begun and not contact.emails:
        return Step(Action.RETIRED)
    if ours.begun and ours.unsure:
        return Step(Action.REACTIVATE, "somebody gave it an address again")
    return Step(Action.KEEP, "somebody has deactivated it")


def _a_persons(ours: Ours, there: There, contact: WholeContact, *, cleared: bool) -> str | None:
    """Say what makes a contact a person's rather than ours."""
    why = touched(
        contact, ours.account_id, ours.sent, cleared=cleared, udf_defaults=ours.udf_defaults
    )
    if why:
        return why
    if there.portal:
        return "it can use the client portal"
    if there.own_tickets:
        return f"it is the contact of ticket {min(there.own_tickets)}"
    for link in there.links:
        known = ours.links.get(link.ticket_id, -1)
        if known not in (None, link.id):
            return f"somebody put it on ticket {link.ticket_id}"
    return ours.by_person


def _open(there: There, complete: Collection[int]) -> list[int]:
    """Name the tickets that it is on and that are not over; one that is deleted is."""
    on = {link.ticket_id for link in there.links}
    return sorted(n for n in on if n in there.states and there.states[n].status not in complete)


def _due(ours: Ours, there: There) -> datetime | None:
    """Say when its grace is over: by Autotask's dates, and by when we noticed."""
    dates = [state.completed_at for state in there.states.values()]
    over = max((at for at in (*dates, ours.over_at) if at), default=None)
    return over + ours.grace if over else None
