"""Every check of the work, in the order in which a person reads them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.ops.checks import caps, effects, flow, knowledge, people, refusals, waiting
from app.ops.checks.problem import WorkProblem
from app.services import Services


async def problems_of_work(
    session: AsyncSession,
    services: Services,
    now: datetime,
    oldest: datetime | None,
    lists: tuple[int, int],
) -> list[WorkProblem]:
    """Return what is wrong with the work.

    `oldest` is since when the oldest ticket is wanted; None if none is. `lists` are the mail
    tickets of a day, and how many of them had a list.
    """
    of_flow = await problems_of_flow(session, services, now, oldest)
    of_people = [
        await people.failed_tickets(session),
        await people.failed_people(session, now),
        await people.loops(session, now),
        await caps.over_daily_limit(session, now),
        await people.contacts_not_ended(session, services, now),
        await effects.without_effect(session),
        await people.wrong_note_setting(session)
        if services.settings.ticket_note != "off"
        else None,
        people.without_lists(*lists),
    ]
    return of_flow + [problem for problem in of_people if problem]


async def problems_of_flow(
    session: AsyncSession, services: Services, now: datetime, oldest: datetime | None
) -> list[WorkProblem]:
    """Return what keeps tickets from coming or from being finished."""
    problems = [
        await flow.silent_workers(session, now),
        await flow.unknown_tenant(session),
        await flow.paused(session),
        await flow.refused(session),
        await refusals.intercepted(session),
        await flow.mailbox_trouble(session) if services.mailbox.configured else None,
        flow.late(oldest, now),
        await waiting.stuck(session, services, now),
        await waiting.unanswered_creates(session, services, now),
        await waiting.endings(session, now),
        await flow.reconciliation(session, services, now),
        await flow.webhook_trouble(session),
        await flow.scarce(session, services),
        await knowledge.facts_not_read(session, services, now),
    ]
    of_rights = await refusals.missing_rights(session)
    return [problem for problem in problems if problem] + of_rights
