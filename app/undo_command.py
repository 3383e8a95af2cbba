"""The command `undo`: which tickets, and what is said of each step."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta

import typer

from app import audit, db, traces
from app.autotask.protocol import printable
from app.desk import open_desk
from app.settings import Settings
from app.undo import Step, Undo

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def read_since(text: str) -> timedelta | datetime:
    """Read how long ago, or a moment (UTC unless it says otherwise); ValueError if it is none."""
    ago = re.fullmatch(r"(\d{1,6})([mhd])", text.strip())
    if ago:
        return timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is neither like 2h nor like 2026-11-23T10:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def run_undo(
    settings: Settings,
    url: str,
    since: timedelta | datetime | None,
    ticket: int | None,
    *,
    dry_run: bool,
) -> int:
    """Undo and say each step; gives the exit code, 1 if something is to be tried again."""
    steps = asyncio.run(_undo(settings, url, since, ticket, dry_run=dry_run))
    for one in steps:
        whom = " ".join(str(part) for part in (one.contact_id, one.address) if part)
        typer.echo(printable(f"{one.ticket_id} {one.action} {whom}: {one.detail}"))
    done, again = sum(s.done for s in steps), sum(s.again for s in steps)
    what = "Would be undone" if dry_run else "Undone"
    typer.echo(f"{what}: {done} of {len(steps)}; to be tried again: {again}.")
    return 1 if again else 0


async def _undo(
    settings: Settings,
    url: str,
    since: timedelta | datetime | None,
    ticket: int | None,
    *,
    dry_run: bool,
) -> list[Step]:
    async with open_desk(settings, url) as desk:
        await db.require_schema(desk.sessions)
        if since is None:
            ids = [] if ticket is None else [ticket]
        else:
            async with desk.sessions() as session:
                ids = await traces.tickets_since(session, since)
            ids = [one for one in ids if ticket in (None, one)]
        return await Undo(desk, audit.CLI, dry_run).tickets(ids)
