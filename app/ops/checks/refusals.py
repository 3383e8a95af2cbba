"""Check which calls wait for a right, and whether something in between answers for Autotask."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby

from sqlalchemy.ext.asyncio import AsyncSession

from app.ops.checks.problem import WorkProblem
from app.outbound import refusals
from app.outbound.refusals import KnownRefusal, Why

_RECENT = timedelta(hours=1)  # a right that is waited for is tried again within that
_NAMED = 10

RIGHT_CURE = (
    "Give the API user's security level the right: CRM > Organization & Contact Access for the "
    "account's type of organization, and Object Permissions (docs/setup/autotask.md, step 1). It "
    "is tried again by itself, within 15 minutes; other accounts go on meanwhile."
)
_PATH_CURE = (
    "Let the firewall or proxy between this machine and Autotask pass the API's requests and "
    "answers unchanged, without content inspection: docs/setup/network.md. Then "
    "POST /admin/tickets/{id}/process for people that failed (GET /admin/tickets?outcome=failed)."
)


async def missing_rights(session: AsyncSession) -> list[WorkProblem]:
    """Check which rights the API user lacks, for some accounts or for all."""
    known = await refusals.latest(session, Why.RIGHT, _RECENT)
    return [_missing(call, list(group)) for call, group in groupby(known, lambda one: one.call)]


def _missing(call: str, known: Sequence[KnownRefusal]) -> WorkProblem:
    places = [one.about for one in known if one.about]
    where = f" of {_named(places)}" if places else ""
    again = min((one.until for one in known if one.until), default=None)
    tried = f" It is tried again at {again:%H:%M:%S} UTC." if again else ""
    return WorkProblem(
        code="right_missing",
        since=min(one.since for one in known),
        detail=f"Autotask does not allow the API user this call: {call}{where}. What needs it "
        f"waits.{tried}",
        cure=RIGHT_CURE,
    )


async def intercepted(session: AsyncSession) -> WorkProblem | None:
    """Check whether requests were answered by something in between within an hour."""
    known = await refusals.latest(session, Why.INTERCEPTED, _RECENT)
    if not known:
        return None
    calls = _named([f"{one.call} of {one.about}" if one.about else one.call for one in known])
    return WorkProblem(
        code="intercepted",
        since=min(one.since for one in known),
        detail=f"Within an hour requests were not answered by Autotask: {calls}. The last: "
        f"{known[-1].reason}.",
        cure=_PATH_CURE,
    )


def _named(places: Sequence[str]) -> str:
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    return f"{', '.join(places[:_NAMED])}{more}"
