"""The command `watch`: a test mail as it goes through, and what to look at by eye at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import typer

from app.autotask.protocol import printable
from app.db import schema
from app.db.database import Sessions, db_now, make_engine, make_sessions
from app.db.states import ON_TICKET, Outcome
from app.ops import watch
from app.ops.checks import flow
from app.ops.watch import Event
from app.ops.webhook import read_back
from app.records.history import History
from app.settings.settings import Settings

INTERRUPTED = 130


def run_watch(settings: Settings, url: str, ticket: int | None, minutes: float) -> int:
    """Follow a ticket, or the next one that comes, and say what happens; gives the exit code.

    0: it came to its end as it should. 1: it did not, or none came. 130: Ctrl-C.
    """
    try:
        return asyncio.run(_watch(settings, url, ticket, minutes * 60))
    except KeyboardInterrupt:
        typer.echo("Stopped; the service goes on by itself.", err=True)
        return INTERRUPTED


async def _watch(settings: Settings, url: str, ticket: int | None, seconds: float) -> int:
    engine = make_engine(url)
    sessions = make_sessions(engine)
    try:
        await schema.require_schema(sessions)
        if ticket is None:
            ticket = await _next(sessions, settings, seconds)
        if ticket is None:
            return await _nothing(settings, sessions, "No ticket came.")
        records: History | None = None
        async for events, latest in watch.follow(sessions, ticket, seconds):
            records = latest
            for event in events:
                _say(event)
        if records is None:
            return await _nothing(settings, sessions, f"Nobody told us of ticket {ticket}.")
        if not records.over:
            return await _nothing(settings, sessions, f"Ticket {ticket} is not finished yet.")
        for line in checklist(settings, records):
            typer.echo(line)
        return 0 if watch.went_well(records) else 1
    finally:
        await engine.dispose()


async def _next(sessions: Sessions, settings: Settings, seconds: float) -> int | None:
    now = await watch.clock(sessions)
    late = f"{settings.reconcile_interval:g} s"
    typer.echo(
        "Send the test mail now: from a customer's address to the help desk, with somebody of the "
        "same customer in Cc whom Autotask knows, and somebody new. The next ticket is followed, "
        f"whoever it is of; without a callout it is found within {late}."
    )
    return await watch.next_ticket(sessions, now, seconds)


def _say(event: Event) -> None:
    at = f"{event.at:%H:%M:%S}" if event.at else ""
    # A sender chooses what stands in a list.
    typer.echo(f"{at:8}  {printable(event.text)}")


async def _nothing(settings: Settings, sessions: Sessions, what: str) -> int:
    """Say what keeps tickets from coming or from being finished; gives 1."""
    typer.echo(what)
    async with sessions() as session:
        now = await db_now(session)
        found = [
            await flow.silent_workers(session, now),
            await flow.unknown_tenant(session),
            await flow.paused(session),
            await flow.refused(session),
            await flow.mailbox_trouble(session),
            await read_back.trouble(session),
        ]
    for problem in found:
        if problem:
            typer.echo(f" x  {problem.code}: {printable(problem.detail)}")
            typer.echo(f"      {problem.cure}")
    if not any(found):
        typer.echo("Nothing is known to be wrong here. Look at:")
        for line in _elsewhere(settings):
            typer.echo(f"  - {line}")
    return 1


def _elsewhere(settings: Settings) -> Iterator[str]:
    yield "Autotask: has the mail become a ticket at all?"
    if settings.webhook_secrets:
        yield "`autotask-cc webhook status`: is the webhook there, active and ready?"
        yield "the reverse proxy's log: did a callout come, and how was it answered?"
    else:
        yield "WEBHOOK_SECRETS is not set, so tickets are found by comparing with Autotask only."
    yield "`autotask-cc doctor`, and GET /health/work."


def checklist(settings: Settings, records: History) -> Iterator[str]:
    """Say what only a person can see, in Autotask and in the mailboxes."""
    on = [one for one in records.participants if one.outcome in ON_TICKET]
    new = [one for one in on if one.outcome == Outcome.CREATED_AND_LINKED]
    named = printable(", ".join(one.key for one in on)) or "nobody by us"
    yield ""
    yield f"Now look at ticket {records.ticket.number or records.ticket.id} in Autotask:"
    yield f"  [ ] its additional contacts are: {named}"
    yield "  [ ] who wrote the mail is its contact, and not an additional one as well"
    if new:
        created = printable(", ".join(one.key for one in new))
        yield f"  [ ] the new contacts have the right name and company: {created}"
    if settings.ticket_note != "off":
        yield "  [ ] its note is there and is not shown in the client portal"
    yield "Then write a note on it as a technician does, notifying the customer, and look at:"
    yield "  [ ] the mailbox of who wrote: the note came, once"
    yield "  [ ] that of the copied person whom Autotask knew: it came, once"
    yield "  [ ] that of the new person: it came, once"
    yield "  [ ] the help desk's own: nothing came back, and no second ticket was made"
    yield "If it did not come to the copied people: docs/setup/autotask.md, step 6, Who gets mail."
