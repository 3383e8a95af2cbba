"""The command `watch`: a test mail as it goes through, and then what to look at by eye."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from app.cli.common import LARGEST_ID, configured, opened, printable, run
from app.db import database
from app.db.database import Sessions, db_now
from app.db.states import ON_TICKET, Outcome
from app.due import backlog
from app.ops import watch as ops
from app.ops.checks.all import problems_of_flow
from app.ops.watch import Event
from app.records.history import History
from app.services import Services
from app.settings.settings import Settings


def watch(
    context: typer.Context,
    ticket: Annotated[
        int | None, typer.Option(min=0, max=LARGEST_ID, help="This ticket, not the next one.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.1, max=1440, help="How long at most.")] = 10,
) -> None:
    """Follow one test mail live; nothing is changed.

    It ends with what to look at by eye. Exit code 1: no ticket came, or its look failed.
    """
    with configured(context) as (settings, url):
        raise typer.Exit(run_watch(settings, url, ticket, minutes))


def run_watch(settings: Settings, url: str, ticket: int | None, minutes: float) -> int:
    """Follow a ticket, or the next one, and print what happens; return the exit code.

    0: it ended as it should. 1: it did not, or no ticket came. 130: Ctrl-C.
    """
    command = _watch(settings, url, ticket, minutes * 60)
    return run(command, "Stopped; the service goes on by itself.")


async def _watch(settings: Settings, url: str, ticket: int | None, seconds: float) -> int:
    async with opened(settings, url) as services:
        sessions = services.sessions
        if ticket is None:
            ticket = await _next(sessions, settings, seconds)
        if ticket is None:
            return await _nothing(services, "No ticket came.")
        records: History | None = None
        async for events, latest in ops.watch_ticket(sessions, ticket, seconds):
            records = latest
            for event in events:
                _say(event)
        if records is None:
            unknown = f"Ticket {ticket} is unknown: no callout came, and no comparison found it."
            return await _nothing(services, unknown)
        if not records.over:
            return await _nothing(services, f"Ticket {ticket} is not finished yet.")
        for line in checklist(settings, records):
            typer.echo(line)
        return 0 if ops.went_well(records) else 1


async def _next(sessions: Sessions, settings: Settings, seconds: float) -> int | None:
    now = await database.now(sessions)
    typer.echo(
        "Send the test mail now, from a customer's address to the help desk. Copy one person of "
        "the same customer that Autotask knows, and one that is new. The next ticket is followed, "
        "no matter who sent it; without a callout it is found within "
        f"{settings.reconcile_interval:g} s."
    )
    return await ops.next_ticket(sessions, now, seconds)


def _say(event: Event) -> None:
    at = f"{event.at:%H:%M:%S}" if event.at else ""
    # A sender chooses what a list says.
    typer.echo(f"{at:8}  {printable(event.text)}")


async def _nothing(services: Services, what: str) -> int:
    """Print what keeps tickets from coming or from being finished; return 1."""
    typer.echo(what)
    async with services.sessions() as session:
        now = await db_now(session)
        oldest = await backlog.oldest_due(session)
        problems = await problems_of_flow(session, services, now, oldest)
    for problem in problems:
        typer.echo(f" x  {problem.code}: {printable(problem.detail)}")
        typer.echo(f"      {problem.cure}")
    if not problems:
        typer.echo("No problem is known here. Look at:")
        for line in _elsewhere(services.settings):
            typer.echo(f"  - {line}")
    return 1


def _elsewhere(settings: Settings) -> Iterator[str]:
    yield "Autotask: did the mail become a ticket?"
    if settings.webhook_secrets:
        yield "`autotask-cc webhook status`: does the webhook exist, is it active and ready?"
        yield "the reverse proxy's log: did a callout come, and what was the answer?"
    else:
        yield "WEBHOOK_SECRETS is not set, so tickets are found by comparing with Autotask only."
    yield "`autotask-cc doctor`, and GET /health/work."


def checklist(settings: Settings, records: History) -> Iterator[str]:
    """Yield what only a person can see, in Autotask and in the mailboxes."""
    on = [person for person in records.participants if person.outcome in ON_TICKET]
    new = [person for person in on if person.outcome == Outcome.CREATED_AND_LINKED]
    listed = printable(", ".join(person.key for person in on)) or "none by us"
    yield ""
    yield f"Now look at ticket {records.ticket.number or records.ticket.id} in Autotask:"
    yield f"  [ ] its additional contacts are: {listed}"
    yield "  [ ] the sender of the mail is its contact, and not an additional contact as well"
    if new:
        created = printable(", ".join(person.key for person in new))
        yield f"  [ ] the new contacts have the right name and company: {created}"
    if settings.ticket_note != "off":
        yield "  [ ] its note is there and is not shown in the client portal"
    yield "Then write a note on it as a technician does, notifying the customer, and look at:"
    yield "  [ ] the sender's mailbox: the note came, once"
    yield "  [ ] the mailbox of the copied person that Autotask knew: it came, once"
    yield "  [ ] the mailbox of the new person: it came, once"
    yield "  [ ] the help desk's own: nothing came back, and no second ticket was made"
    yield "If it did not come to the copied people: docs/setup/autotask.md, step 6, Who gets mail."
