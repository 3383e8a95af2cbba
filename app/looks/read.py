"""The ticket as it is now, and whether people are added to it: how look and dry run begin."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from app import sources
from app.autotask.client import Autotask
from app.autotask.models import Ticket
from app.autotask.protocol import STATUS_COMPLETE
from app.db import database
from app.db.states import Result
from app.decide import NO_ADDRESS, Reason
from app.mail.addresses import Address
from app.outbound.rules import NotNow
from app.records import absences, deliveries, participants
from app.services import Services
from app.settings.settings import Settings
from app.sources import Found, Search


@dataclass(frozen=True, slots=True)
class Reading:
    """A ticket as it was read."""

    ticket: Ticket
    asked_at: float
    """time.monotonic() when the request left that read it."""
    read_at: datetime
    """The database's clock before that request."""


@dataclass(frozen=True, slots=True)
class NobodyToAdd:
    """How a look ends that adds nobody, and why. Without a result the look is made again."""

    result: Result | None
    note: str
    ticket: Ticket | None = None
    found: Found | None = None
    shut: NotNow | None = None
    """What keeps a source from being asked, so that the list may be another one."""
    missing: MissingTicket | None = None
    """Autotask did not show the ticket."""


@dataclass(frozen=True, slots=True)
class MissingTicket:
    """A reading that did not show the ticket."""

    read_at: datetime
    """The database's clock before that request."""
    again_at: datetime | None
    """When to read again; None: the ticket is believed to be gone."""


async def read_ticket(
    services: Services, autotask: Autotask, ticket_id: int
) -> Reading | NobodyToAdd:
    """Read a ticket. Its additional contacts are read once people may be added."""
    read_at = await database.now(services.sessions)
    ticket = await autotask.ticket(ticket_id)
    if ticket is None:
        return await _not_shown(services, ticket_id, read_at)
    asked_at = autotask.asked_at
    nobody = why_nobody(ticket, services.settings, (STATUS_COMPLETE,))
    if nobody is None:
        named = services.settings.complete_statuses
        complete = await services.directory.complete_statuses(autotask, named)
        nobody = why_nobody(ticket, services.settings, complete)
    return nobody or Reading(ticket, asked_at, read_at)


async def _not_shown(services: Services, ticket_id: int, read_at: datetime) -> NobodyToAdd:
    """Return how a look ends that Autotask did not show the ticket.

    One reading proves nothing, unless Autotask has called out as well that the ticket was deleted.
    """
    async with services.sessions() as session:
        missed = await absences.judge(session, absences.Kind.TICKET, [ticket_id], read_at)
        deleted = await deliveries.says_deleted(session, ticket_id)
    if missed.gone or deleted:
        missing = MissingTicket(read_at, None)
        return NobodyToAdd(Result.GONE, "Autotask has no such ticket", missing=missing)
    note = "Autotask does not show the ticket; it is read again before it counts as gone"
    return NobodyToAdd(None, note, missing=MissingTicket(read_at, missed.again_at))


def why_nobody(ticket: Ticket, settings: Settings, complete: Collection[int]) -> NobodyToAdd | None:
    """Return why no one is added to a ticket, whatever its list says; None if people may be.

    complete: the statuses of a ticket that is over.
    """
    if ticket.status in complete:
        return NobodyToAdd(Result.COMPLETE, "it is complete: no one is added", ticket)
    if settings.is_parked(ticket.company_id):
        note = "no customer account yet; it is looked at again once it has one"
        return NobodyToAdd(Result.PARKED, note, ticket)
    return None


def without_list(ticket: Ticket, search: Search) -> NobodyToAdd:
    """Return how a look ends whose search found nobody to add."""
    if search.found:
        note = f"{search.found.source}: nobody was copied"
        return NobodyToAdd(Result.NOBODY_COPIED, note, ticket, search.found)
    if search.ambiguous:
        note = (
            f"{search.ambiguous}: more than one message could be the ticket's, so no one is added"
        )
        return NobodyToAdd(Result.AMBIGUOUS_MESSAGE, note, ticket)
    if search.shut:
        return NobodyToAdd(None, search.shut.reason, ticket, shut=search.shut)
    note = "; ".join(("no source has a list", *search.remarks))
    return NobodyToAdd(Result.NO_LIST, note, ticket)


async def linked(autotask: Autotask, ticket: Ticket) -> frozenset[int]:
    """Read a ticket's additional contacts; return their ids."""
    links = await autotask.additional_contacts(ticket.id)
    return frozenset(link.contact_id for link in links)


async def with_earlier(services: Services, ticket: Ticket, search: Search) -> Found | None:
    """Return the list with the people of earlier looks added.

    Where the message is ambiguous, only those are added whose work has begun.
    """
    async with services.sessions() as session:
        before = await participants.of_ticket(session, ticket.id)
    if search.ambiguous:
        before = [row for row in before if row.outcome is None]
    usable = [row for row in before if row.reason not in NO_ADDRESS]
    earlier = [Address(row.key, row.name) for row in usable]
    carried = [row.key for row in usable if row.carried_from]
    reasons = {row.reason for row in before}
    return sources.with_earlier(
        search.found,
        earlier,
        automatic=Reason.AUTOMATIC_MAIL in reasons,
        unknown_sender=Reason.UNKNOWN_SENDER in reasons,
        carried=carried,
    )
