"""Take our link off a ticket: store the intent, send the request, read back, store what is so.

The request names the link's own id. So it may be repeated, and does no harm if it takes effect
late. After a lost answer the links are read again, and the request is sent again.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from app.autotask.client import Autotask
from app.autotask.errors import AutotaskError, Refusal, Refused, Unanswered
from app.db.database import persist_with
from app.db.tables import LinkRecord
from app.outbound.rules import NotNow, leave_by
from app.records import links
from app.services import Services

UNDER_WAY = "a request got no answer and may still take effect: run it again later"

NO_EFFECT = "Autotask answered three times that the link was deleted, and shows it: run it again"

_TRIES = 3


@dataclass(frozen=True, slots=True)
class Unlinked:
    """Whether a link is off the ticket."""

    done: bool
    detail: str
    again: bool = False
    """It is to be tried again."""
    refused: bool = False
    """Autotask does not allow it."""


async def links_by_contact(
    autotask: Autotask, ticket_id: int, *, missing_ok: bool = False
) -> dict[int, list[int]]:
    """Return the ids of a ticket's links at Autotask by contact.

    missing_ok: a deleted ticket has none.
    """
    ids: dict[int, list[int]] = {}
    try:
        for link in await autotask.additional_contacts(ticket_id):
            ids.setdefault(link.contact_id, []).append(link.id)
    except Refused as refused:
        if not missing_ok or refused.kind is not Refusal.MISSING:
            raise
    return ids


async def take_off(
    services: Services,
    autotask: Autotask,
    link: LinkRecord,
    ids: Collection[int],
    *,
    rejected_by: str | None = None,
    moved: bool = False,
) -> Unlinked:
    """Delete a contact's links, by their ids at Autotask, from a ticket.

    rejected_by: who does not want the person on the ticket. moved: the ticket has moved.
    """
    sessions = services.sessions
    await persist_with(sessions, links.intend_unlink, link, rejected_by)
    may_be_off = False
    try:
        left = list(ids)
        for _ in range(_TRIES):
            await _delete(autotask, link, left)
            may_be_off = True
            now = (await links_by_contact(autotask, link.ticket_id)).get(link.contact_id, [])
            left = [link_id for link_id in now if link_id in ids]
            if not left:
                if moved:
                    await persist_with(sessions, links.moved_away, link)
                else:
                    await persist_with(sessions, links.unlinked, link, rejected_by)
                return Unlinked(True, "taken off the ticket")
    except Unanswered as error:
        return Unlinked(False, f"{UNDER_WAY} ({error})", again=True)
    except (AutotaskError, NotNow) as error:
        if may_be_off:  # the next look must not take it for a person's doing
            return Unlinked(False, f"{UNDER_WAY} ({error})", again=True)
        await persist_with(sessions, links.keep, link, rejected_by)
        return Unlinked(False, str(error), again=True, refused=isinstance(error, Refused))
    return Unlinked(False, NO_EFFECT, again=True)


async def _delete(autotask: Autotask, link: LinkRecord, ids: Collection[int]) -> None:
    """Delete links; the next reading shows the effect, also where an answer was lost."""
    for link_id in ids:
        try:
            with suppress(Unanswered):
                await autotask.unlink(link.ticket_id, link_id, leave_by(), link.account_id)
        except Refused as refused:
            if refused.kind is not Refusal.MISSING:
                raise
