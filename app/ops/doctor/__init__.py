"""The doctor: examine a deployment from all sides, change nothing, and name the cures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import structlog

from app.autotask.errors import AutotaskError
from app.db.database import is_outage
from app.ops.doctor import access, companies, database, fields, mailbox, people, rights, webhook
from app.ops.doctor.deployment import Deployment, open_deployment
from app.ops.doctor.findings import Finding, Skip, State, ok, problem, skipped
from app.outbound.rules import NotNow
from app.settings.settings import Settings

__all__ = ["Finding", "State", "examine"]

log = structlog.get_logger()

CHECK_SECONDS = 60.0
"""A check is given up after this time; a call to Autotask alone may take 45 seconds."""

Check = Callable[[Deployment], Awaitable[Sequence[Finding]]]

# In this order: earlier checks find out what later ones may ask.
CHECKS: tuple[tuple[str, Check], ...] = (
    ("database", database.database),
    ("schema", database.schema),
    ("pooler", database.pooler),
    ("zone", access.zone),
    ("credentials", access.credentials),
    ("clock", access.clock),
    ("gate", access.gate),
    ("budget", access.budget),
    ("read", rights.reading),
    ("lifetimes", rights.lifetimes),
    ("write_links", rights.linking),
    ("create", rights.creating),
    ("webhook", webhook.webhook),
    ("public", webhook.public),
    ("sources", fields.sources),
    ("statuses", fields.statuses),
    ("ticket_sources", fields.ticket_sources),
    ("mailbox", mailbox.mailbox),
    ("contact_fields", fields.contacts),
    ("note", fields.note),
    ("own_addresses", people.own_addresses),
    ("web_addresses", companies.web_addresses),
    ("mail", people.mail),
)


async def examine(settings: Settings, database_url: str) -> AsyncIterator[Finding]:
    """Run every check, even after one fails. Nothing is written to Autotask."""
    yield ok("settings", "The settings can be read, and nothing in them contradicts itself.")
    async with open_deployment(settings, database_url) as deployment:
        for code, check in CHECKS:
            for finding in await _made(code, check, deployment):
                yield finding


async def _made(  # noqa: PLR0911  a case each
    code: str, check: Check, deployment: Deployment
) -> Sequence[Finding]:
    """Make a check. An error is a finding, too."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check(deployment)
    except Skip as reason:
        return [skipped(code, f"Not checked: {reason}.")]
    except NotNow as wait:
        why = f"Not checked: {wait.reason}."
        return [skipped(code, why, f"Again after {wait.until:%H:%M:%S} UTC.")]
    except AutotaskError as error:
        return [problem(code, f"Autotask gave no answer to use: {error}.", "Run the doctor again.")]
    except TimeoutError:
        found = f"There was no answer within {CHECK_SECONDS:.0f} s."
        return [problem(code, found, "Check the network, and run the doctor again.")]
    except Exception as error:
        if is_outage(error):
            return [problem(code, "The database went away.", "Start it, and run the doctor again.")]
        log.exception("check_failed", check=code)
        found = f"The check itself failed: {type(error).__name__}."
        return [problem(code, found, "This is a defect of the product: report it with the log.")]
