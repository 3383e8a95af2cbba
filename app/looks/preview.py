"""A dry run: what a look at a ticket would come to now. Nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app import sources
from app.autotask.client import Autotask
from app.autotask.models import Ticket
from app.db.states import Result
from app.decide import Decision, decide
from app.decide.policy import PolicyDocument
from app.looks.facts import gather
from app.looks.on_record import Gathered
from app.looks.read import NobodyToAdd, Reading, read_ticket, with_earlier, without_list
from app.outbound.rules import NotNow
from app.services import Services
from app.sources import Found


@dataclass(frozen=True, slots=True)
class Preview:
    """How a look would end. Without a result it would be made again, and note says why."""

    result: Result | None
    note: str | None = None
    ticket: Ticket | None = None
    found: Found | None = None
    decisions: Sequence[Decision] = ()
    gathered: Gathered | None = None
    """What the decisions are made on; None: nobody would be added."""
    shut: NotNow | None = None
    """What keeps a source from being asked, so that the list may be another one."""


async def preview(services: Services, ticket_id: int) -> Preview:
    """Read a ticket and decide about everybody in its list, as a look would now.

    Nothing is changed but slots and counters. Raises what the client and its throttle raise.
    """
    autotask = await services.autotask()
    reading = await read_ticket(services, autotask, ticket_id)
    if isinstance(reading, NobodyToAdd):
        return preview_without(reading)
    return await preview_of(services, autotask, reading)


async def preview_of(
    services: Services, autotask: Autotask, reading: Reading, policy: PolicyDocument | None = None
) -> Preview:
    """Find the list of a ticket that was read, and decide.

    policy: in place of the account's own.
    """
    ticket = reading.ticket
    search = await sources.find_list(services, autotask, ticket, at_once=True)
    found = await with_earlier(services, ticket, search)
    if search.ambiguous or found is None or not found.entries:
        return preview_without(without_list(ticket, search))
    gathered = await gather(services, autotask, reading, found, ask=False, policy=policy)
    found = found.without(services.directory.lacks(autotask))
    return Preview(
        None if search.shut else Result.DONE,
        search.shut.reason if search.shut else found.note,
        ticket,
        found,
        decide(found.entries, gathered),
        gathered,
        search.shut,
    )


def preview_without(nobody: NobodyToAdd) -> Preview:
    """Return the preview of a look that would add nobody."""
    return Preview(nobody.result, nobody.note, nobody.ticket, nobody.found, shut=nobody.shut)
