"""Approve or reject participants who are held, one or many, and requeue what that concerns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from app.db.tables import Participant
from app.decide import Reason
from app.records import approvals
from app.records.approvals import Approval, NotHeld
from app.services import Services

ApprovedParticipant: TypeAlias = tuple[Participant, str | None]
"""A participant who was approved or rejected, and the ticket's number."""


async def approve_or_reject(
    services: Services, participant_id: int, approval: Approval
) -> ApprovedParticipant | None:
    """Approve or reject a participant who is held; return None if there is no such participant.

    The ticket is due at once. Raises NotHeld.
    """
    async with services.sessions() as session, session.begin():
        judged = await approvals.approve_or_reject(
            session, participant_id, approval, services.settings.default_policy
        )
    if judged and approval.always:
        row, _ = judged
        entry = approvals.entry_of(row.key, approval)
        # In a transaction of its own: two requests at once would wait for each other's tickets.
        async with services.sessions() as session, session.begin():
            await approvals.requeue_held(session, row.account_id, entry)
    return judged


async def approve_or_reject_many(
    services: Services, participant_ids: Iterable[int], approval: Approval
) -> dict[int, ApprovedParticipant | NotHeld | None]:
    """Approve or reject participants, each for itself; return what became of each, by id."""
    results: dict[int, ApprovedParticipant | NotHeld | None] = {}
    for participant_id in dict.fromkeys(participant_ids):
        try:
            results[participant_id] = await approve_or_reject(services, participant_id, approval)
        except NotHeld as error:
            results[participant_id] = error
    return results


async def held_in(
    services: Services, account_id: int, reason: Reason | None, limit: int, *, approved: bool
) -> list[int]:
    """Return the ids of those who are held in an account. approved: and may be approved."""
    async with services.sessions() as session:
        return await approvals.held_in(session, account_id, reason, limit, approved=approved)
