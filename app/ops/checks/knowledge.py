"""Check whether all can be read that is only good to know: tickets go on without it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.protocol import OWN_ORGANISATION
from app.db.tables import KnownFact
from app.ops.checks.problem import WorkProblem
from app.outbound.facts import FACTS, STATUSES, WEB_DOMAIN, Fact
from app.records import known
from app.services import Services
from app.settings.settings import Settings

_QUIET = timedelta(minutes=15)
"""A reading may fail for so long, unless people are decided about without any value."""

_NAMED = 5  # records


async def facts_not_read(
    session: AsyncSession, services: Services, now: datetime
) -> WorkProblem | None:
    """Check whether the facts are known, and not older than they should be."""
    rows = [row for row in await known.failing(session) if row.name in FACTS]
    shown = [row for row in rows if _is_worth_it(row, services.settings, now)]
    if not shown:
        return None
    named = dict.fromkeys(row.name for row in shown)
    told = [_told(FACTS[name], [row for row in shown if row.name == name]) for name in named]
    return WorkProblem(
        code="facts_not_read",
        since=shown[0].failing_since,
        detail=" ".join(told),
        cure="Run `autotask-cc doctor`. If a right is missing, give it to the API user's security "
        "level; else see https://status.kaseya.com. Tickets go on meanwhile, and it is asked again "
        "by itself, after half an hour at most.",
    )


def _is_worth_it(row: KnownFact, settings: Settings, now: datetime) -> bool:
    fact = FACTS[row.name]
    if fact is WEB_DOMAIN and row.ref == OWN_ORGANISATION and settings.own_domains:
        return False  # the settings name it
    decides = fact.decides and (fact is not STATUSES or bool(settings.complete_statuses))
    lasts = row.failing_since is not None and row.failing_since < now - _QUIET
    return lasts or (decides and row.read_at is None)


def _told(fact: Fact[object], rows: Sequence[KnownFact]) -> str:
    """Return a sentence about a fact, and one about what is done meanwhile."""
    of = ""
    if fact.of_records:
        named = ", ".join(str(row.ref) for row in rows[:_NAMED])
        more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
        of = f" ({fact.of_records} {named}{more})"
    since = f"{rows[0].failing_since:%Y-%m-%d %H:%M} UTC"
    said = f"{fact.title}{of} cannot be read since {since}: {rows[0].error}."
    read = [row.read_at for row in rows if row.read_at]
    old = f" What was read at {min(read):%Y-%m-%d %H:%M} UTC counts." if read else ""
    without = "" if len(read) == len(rows) else f" Meanwhile {fact.without}."
    return f"{said[0].upper()}{said[1:]}{old}{without}"
