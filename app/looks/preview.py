"""What a look at a ticket would come to now, and the reading that it begins with: no changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app import sources
from app.autotask.client import Autotask
from app.autotask.models import Ticket
from app.autotask.protocol import STATUS_COMPLETE
from app.db.database import db_now
from app.db.states import Result
from app.decide import Decision, Reason, decide
from app.decide.policy import PolicyDocument
from app.looks.facts import Seen, gather
from app.looks.reading import Reading
from app.mail.addresses import Address
from app.outbound.rules import NotNow
from app.records import participants
from app.services import Services
from app.settings.settings import Settings
from app.sources import Found, Search

_NO_ADDRESS = (Reason.INVALID, Reason.FORGOTTEN)  # what stands on such a row is none


@dataclass(frozen=True, slots=True)
class Preview:
    """How a look would end. Without a result it would be made again: note says why.

    found, decisions and seen are of tickets that people would be added to. shut: what keeps a
    source from being asked, so that the list may be another one.
    """

    result: Result | None
    note: str | None = None
    ticket: Ticket | None = None
    found: Found | None = None
    decisions: Sequence[Decision] = ()
    seen: Seen | None = None
    shut: NotNow | None = None


async def preview(services: Services, ticket_id: int) -> Preview:
    """Read a ticket and decide about everybody in its list, as a look would now.

    Nothing is changed but slots and counters. Raises what the client and its throttle raise.
    """
    autotask = await services.autotask()
    reading = await read(services, autotask, ticket_id)
    if isinstance(reading, Preview):
        return reading
    return await preview_of(services, autotask, reading)


async def preview_of(
    services: Services, autotask: Autotask, reading: Reading, policy: PolicyDocument | None = None
) -> Preview:
    """Find the list of a ticket that was read, and decide. policy: for the account's own."""
    ticket = reading.ticket
    search = await sources.find_list(services, autotask, ticket)
    found = await with_earlier(services, ticket, search)
    if search.ambiguous or found is None or not found.entries:
        return without_list(ticket, search)
    reading = replace(reading, linked=await linked(autotask, ticket))
    seen = await gather(services, autotask, reading, found, ask=False, policy=policy)
    return Preview(
        None if search.shut else Result.DONE,
        search.shut.reason if search.shut else found.note,
        ticket,
        found,
        decide(found.entries, seen.facts),
        seen,
        search.shut,
    )


async def read(services: Services, autotask: Autotask, ticket_id: int) -> Reading | Preview:
    """Read the ticket; how the look ends where that tells that nobody is to be added.

    Who is on it is read when it is known that somebody may be added.
    """
    read_at = await now(services)
    ticket = await autotask.ticket(ticket_id)
    if ticket is None:
        return Preview(Result.GONE, "Autotask has no such ticket")
    asked_at = autotask.asked_at
    over = nobodys(ticket, services.settings, (STATUS_COMPLETE,))
    if over is None:
        named = services.settings.complete_statuses
        complete = await services.directory.complete_statuses(autotask, named)
        over = nobodys(ticket, services.settings, complete)
    return over or Reading(ticket, frozenset(), asked_at, read_at)


def nobodys(ticket: Ticket, settings: Settings, complete: Collection[int]) -> Preview | None:
    """Tell of a ticket that nobody is added to, whatever its list says.

    complete: the statuses of a ticket that is over.
    """
    if ticket.status in complete:
        return Preview(Result.COMPLETE, "it is complete: nobody is added", ticket)
    if settings.is_parked(ticket.company_id):
        note = "no customer account yet; it is looked at again once it has one"
        return Preview(Result.PARKED, note, ticket)
    return None


def without_list(ticket: Ticket, search: Search) -> Preview:
    """Tell how a look ends that found nobody to add."""
    if search.found:
        note = f"{search.found.source}: nobody was copied"
        return Preview(Result.NOBODY_COPIED, note, ticket, search.found)
    if search.ambiguous:
        note = (
            f"{search.ambiguous}: more than one message could be the ticket's, so nobody is added"
        )
        return Preview(Result.AMBIGUOUS_MESSAGE, note, ticket)
    if search.shut:
        return Preview(None, search.shut.reason, ticket, shut=search.shut)
    note = "; ".join(("no source has a list", *search.remarks))
    return Preview(Result.NO_LIST, note, ticket)


async def linked(autotask: Autotask, ticket: Ticket) -> frozenset[int]:
    """Read who is on a ticket."""
    links = await autotask.additional_contacts(ticket.id)
    return frozenset(link.contact_id for link in links)


async def with_earlier(services: Services, ticket: Ticket, search: Search) -> Found | None:
    """Add those who were in the list before; of an ambiguous one those whose work has begun."""
    async with services.sessions() as session:
        before = await participants.of_ticket(session, ticket.id)
    if search.ambiguous:
        before = [row for row in before if row.outcome is None]
    usable = [row for row in before if row.reason not in _NO_ADDRESS]
    earlier = [Address(row.key, row.name) for row in usable]
    carried = [row.key for row in usable if row.carried_from]
    automatic = any(row.reason == Reason.AUTOMATIC_MAIL for row in before)
    return sources.with_earlier(search.found, earlier, automatic=automatic, carried=carried)


async def now(services: Services) -> datetime:
    """Give the time by the database's clock."""
    async with services.sessions() as session:
        return await db_now(session)
