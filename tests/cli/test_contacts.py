"""The command `contacts stale`: who is unused, retiring them, and bringing them back."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from app.cli.contacts import Order, contacts, run_stale, run_undo_file
from app.db.states import LedgerState, Result
from app.services import Services
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.support.clock import Clock
from tests.support.helpers import changes, look_at
from tests.support.lifetimes import NINA, complete, contact, end, ledger_of, stands

OLE = "=ole@radiology.example"  # what a spreadsheet would execute


@pytest.fixture
async def unused(clock: Clock, services: Services, tenant: Tenant, people: Seed) -> dict[str, int]:
    """Two contacts that we created for good, on a ticket that is over for 200 days; a fresh one."""
    ticket = tenant.new_ticket(people.alpine, cc=f"{NINA}, {OLE}")
    assert await look_at(services, ticket) == Result.DONE
    await complete(services, tenant, ticket)
    clock.advance(days=200)
    await look_at(services, tenant.new_ticket(people.alpine, cc="fresh@radiology.example"))
    return {key: int(tenant.contacts_with(key)[0]["id"]) for key in (NINA, OLE)}


async def stale(services: Services, **asked: Any) -> int:
    """Run the command."""
    assert services.settings.database_url
    order = Order(
        **{
            "days": 180,
            "account_id": None,
            "retire": False,
            "dry_run": False,
            "yes": False,
            "file": None,
        }
        | asked
    )
    return await asyncio.to_thread(
        run_stale, services.settings, services.settings.database_url, order
    )


async def undo(services: Services, file: Path) -> int:
    """Run the command with --undo."""
    assert services.settings.database_url
    return await asyncio.to_thread(
        run_undo_file, services.settings, services.settings.database_url, file
    )


async def test_it_lists_and_changes_nothing(
    services: Services,
    server: SandboxServer,
    unused: dict[str, int],
    clock: Clock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By our records alone: no call at all."""
    server.tenant.forget_calls()
    assert await stale(services) == 0
    said = capsys.readouterr().out
    assert "2 contacts that we created were not used for 180 days." in said
    assert all(f"174 {one} {key} " in said for key, one in unused.items())
    assert "fresh@" not in said
    assert server.tenant.calls == []
    assert await stale(services, days=300) == 0
    assert "0 contacts that we created" in capsys.readouterr().out
    assert await stale(services, account_id=175) == 0
    assert "0 contacts that we created" in capsys.readouterr().out


async def test_a_dry_run_comes_first(
    services: Services,
    server: SandboxServer,
    unused: dict[str, int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It says what would be done; without a yes that is all, and no file is written."""
    server.tenant.change_contact(unused[OLE], phone="555-0100")
    before = len(changes(server))
    file = tmp_path / "retired.csv"
    assert await stale(services, retire=True, dry_run=True, file=file) == 0
    said = capsys.readouterr().out
    assert f"174 {unused[NINA]} {NINA}: would be retired" in said
    assert f"174 {unused[OLE]} {OLE}: kept: a person changed phone" in said
    assert await stale(services, retire=True, file=file) == 1  # nobody is there to be asked
    assert "--yes" in capsys.readouterr().err
    assert len(changes(server)) == before
    assert not file.exists()


async def test_they_are_retired_and_brought_back_from_the_file(
    services: Services,
    tenant: Tenant,
    unused: dict[str, int],
    clock: Clock,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Back as they were, and a person's from then on: nobody retires them by itself."""
    file = tmp_path / "retired.csv"
    assert await stale(services, retire=True, yes=True, file=file) == 0
    assert [stands(contact(tenant, one)) for one in unused.values()] == [(0, None)] * 2
    assert tenant.insane_contacts() == []
    assert "2 of 2 retired" in capsys.readouterr().out
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "account_id,contact_id,email"
    assert f"174,{unused[OLE]},'{OLE}" in lines

    assert await undo(services, file) == 0
    assert "2 are back; 0 were not retired." in capsys.readouterr().out
    assert {key: stands(contact(tenant, one)) for key, one in unused.items()} == {
        key: (1, key) for key in unused
    }
    assert await undo(services, file) == 0
    assert "0 are back; 2 were not retired." in capsys.readouterr().out
    clock.advance(days=1000)
    await end(services)
    row = await ledger_of(services, unused[NINA])
    assert (row.state, row.kept) == (LedgerState.CREATED, "it was brought back by hand")


async def test_who_is_copied_again_is_back_by_itself(
    services: Services, tenant: Tenant, people: Seed, unused: dict[str, int], tmp_path: Path
) -> None:
    """As with any contact that was retired by us."""
    assert await stale(services, retire=True, yes=True, file=tmp_path / "x.csv") == 0
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, ticket) == Result.DONE
    assert tenant.linked_contacts(ticket) == [unused[NINA]]
    assert stands(contact(tenant, unused[NINA])) == (1, NINA)


async def test_who_is_on_an_open_ticket_is_in_use(
    services: Services,
    tenant: Tenant,
    people: Seed,
    unused: dict[str, int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Put there by hand, which only Autotask knows."""
    tenant.link(tenant.new_ticket(people.alpine, callout=False), unused[NINA])
    assert await stale(services, retire=True, yes=True, file=tmp_path / "x.csv") == 0
    assert f"{NINA}: kept: a person put it on ticket" in capsys.readouterr().out
    assert stands(contact(tenant, unused[NINA])) == (1, NINA)


async def test_a_file_that_is_there_is_not_written_over(
    services: Services, tenant: Tenant, unused: dict[str, int], tmp_path: Path
) -> None:
    """The one of an earlier run is the only way back; nobody is retired without one."""
    file = tmp_path / "retired.csv"
    file.write_text("precious", encoding="utf-8")
    with pytest.raises(FileExistsError):
        await stale(services, retire=True, yes=True, file=file)
    assert file.read_text(encoding="utf-8") == "precious"
    assert stands(contact(tenant, unused[NINA])) == (1, NINA)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no contact"),
        ("account_id,contact_id,email\n", "names no contact"),
        ("a,b\n1,2\n", "line 2 names no account_id and contact_id"),
        ("account_id,contact_id,email\nx,2,a@x.example\n", "line 2 names no"),
        ("account_id,contact_id,email\n1,-2,a@x.example\n", "line 2 names no"),
        ("account_id,contact_id,email\n1\n", "line 2 names no"),
    ],
)
async def test_a_file_of_another_kind_is_refused(
    services: Services, tmp_path: Path, text: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its line, and nothing is asked."""
    file = tmp_path / "retired.csv"
    file.write_text(text, encoding="utf-8")
    assert await undo(services, file) == 1
    assert says in capsys.readouterr().err


async def test_somebody_who_is_needed_after_all_is_to_be_tried_again(
    services: Services,
    tenant: Tenant,
    unused: dict[str, int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The ticket was opened again, and nobody told us: our own link is on it."""
    [ticket] = {
        row["ticketID"] for row in tenant.links.values() if row["contactID"] in unused.values()
    }
    tenant.update_ticket(ticket, callout=False, status=1)
    assert await stale(services, retire=True, dry_run=True) == 1
    said = capsys.readouterr().out
    assert f"{NINA}: not now: it is on ticket {ticket}, which is not over" in said
    assert "0 of 2 would be retired; kept: 0; to be tried again: 2." in said


async def test_who_was_forgotten_is_not_brought_back(
    services: Services,
    tenant: Tenant,
    unused: dict[str, int],
    tmp_path: Path,
    api: httpx.AsyncClient,
    writer: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever a file says."""
    file = tmp_path / "retired.csv"
    assert await stale(services, retire=True, yes=True, file=file) == 0
    assert (await api.delete(f"/admin/people/{NINA}", headers=writer)).status_code == 200
    assert await undo(services, file) == 0
    assert "1 are back; 1 were not retired." in capsys.readouterr().out
    assert stands(contact(tenant, unused[NINA])) == (0, None)


@pytest.mark.parametrize(
    "words",
    [
        ["--dry-run"],
        ["--yes"],
        ["--file", "x.csv"],
        ["--undo", "missing.csv"],
        ["--undo", __file__, "--retire"],
        ["--undo", __file__, "--account", "174"],
        ["--retire", "--file", __file__],
        ["--days", "0"],
    ],
)
def test_words_that_do_not_go_together_are_refused(words: list[str]) -> None:
    """Before anything is asked or opened."""
    assert CliRunner().invoke(contacts, ["stale", *words]).exit_code == 2


def test_the_command_hands_over_what_was_asked(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, people: Seed
) -> None:
    """A dry run stays one."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    asked: list[Order] = []

    def run(_settings: Any, _url: str, order: Order) -> int:
        asked.append(order)
        return 0

    monkeypatch.setattr(sys.modules["app.cli.contacts"], "run_stale", run)
    words = ["stale", "--days", "9", "--account", "174", "--retire", "--dry-run", "--file", "n.csv"]
    assert CliRunner().invoke(contacts, words).exit_code == 0
    assert asked == [Order(9, 174, retire=True, dry_run=True, yes=False, file=Path("n.csv"))]
