"""The command `watch`: the checklist at the end, and the problems when no ticket comes."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, update

from app.cli.watch import checklist, run_watch
from app.db.states import Result
from app.db.tables import MailboxGate, TicketRecord, Worker
from app.records import webhook
from app.records.history import History
from app.services import Services
from app.settings.settings import Settings
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.ops.test_watch import callout, look_now
from tests.web.test_health import run, store

NINA = "nina@radiology.example"
CARLA = "carla.mendes@alpine-dental.example"


async def test_the_command_ends_with_what_to_look_at(
    services: Services,
    settings: Settings,
    tenant: Tenant,
    people: Seed,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """0 for a mail that went well, and a list to tick off."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, cc=f"{CARLA}, {NINA}")
    await callout(services, ticket)
    assert await look_now(services) == Result.DONE
    assert settings.database_url
    assert await asyncio.to_thread(run_watch, settings, settings.database_url, ticket, 0.1) == 0
    out = capsys.readouterr().out
    assert f"[ ] its additional contacts are: {CARLA}, {NINA}" in out
    assert f"right name and company: {NINA}" in out
    assert out.count("[ ]") == 7


@pytest.mark.parametrize("ticket", [None, 404])
async def test_without_a_ticket_it_says_what_to_check(
    services: Services, settings: Settings, capsys: pytest.CaptureFixture[str], ticket: int | None
) -> None:
    """1, and what is known to be wrong: here nobody works."""
    assert settings.database_url
    assert await asyncio.to_thread(run_watch, settings, settings.database_url, ticket, 0) == 1
    out = capsys.readouterr().out
    assert ("No ticket came." if ticket is None else "Ticket 404 is unknown: no") in out
    assert " x  worker: No worker is alive" in out
    assert "autotask-cc worker" in out


async def test_where_nothing_is_known_to_be_wrong_it_says_where_to_look(
    services: Services, settings: Settings, tenant: Tenant, capsys: pytest.CaptureFixture[str]
) -> None:
    """The webhook, the proxy, the doctor."""
    await store(services, Worker(id="one"))
    await services.tenancy.api_url()
    assert settings.database_url
    assert await asyncio.to_thread(run_watch, settings, settings.database_url, None, 0) == 1
    assert "`autotask-cc webhook status`" in capsys.readouterr().out


async def test_the_problems_are_those_of_health(
    services: Services, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the same codes; trouble with a mailbox that is not configured is none."""
    async with services.sessions() as session, session.begin():
        await webhook.store_reading(session, None, "inactive", "active: no")
    shut = {"code": "throttled", "reason": "wait", "since": func.now()}
    await run(services, update(MailboxGate).values(shut))
    assert settings.database_url
    assert await asyncio.to_thread(run_watch, settings, settings.database_url, None, 0) == 1
    codes = re.findall(r"^ x  (\w+): ", capsys.readouterr().out, re.MULTILINE)
    assert codes == ["worker", "tenant", "webhook_inactive"]


def test_what_is_to_be_looked_at_depends(settings: Settings) -> None:
    """On who is on the ticket, and whether a note was written."""
    records = History(TicketRecord(id=7, result="nobody_copied"), None)
    lines = list(checklist(settings.model_copy(update={"ticket_note": "internal"}), records))
    assert "  [ ] its additional contacts are: none by us" in lines
    assert any("client portal" in line for line in lines)
    assert not any("new contacts" in line for line in lines)


@pytest.mark.process
def test_ctrl_c_ends_it_without_a_traceback(environ: dict[str, str]) -> None:
    """130, as for any command."""
    code = (
        "import sys; from app.settings.environment import load_settings;"
        "from app.cli.watch import run_watch;"
        "s = load_settings(); sys.exit(run_watch(s, s.database_url, None, 1))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert "Send the test mail now" in child.stdout.readline()
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=20)
    finally:
        child.kill()
        child.wait()
    assert (child.returncode, errors.strip()) == (130, "Stopped; the service goes on by itself.")
