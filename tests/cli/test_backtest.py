"""The command `backtest`: the policy, the summary, the CSV file, and errors as sentences."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from app.autotask.models import Ticket
from app.cli.backtest import COLUMNS, PolicyFileError, Report, read_policy
from app.db.states import Result
from app.decide import Decision, Reason, Verdict
from app.decide.policy import PolicyDocument
from app.looks.backtest import Tried
from app.looks.preview import Preview
from app.services import Services
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.looks.test_backtest import old_ticket
from tests.support.helpers import changes, everything
from tests.support.processes import ROOT, wait_until

CARLA = "carla.mendes@alpine-dental.example"
INSIDE = "new@alpine-dental.example"
NINA = "nina@radiology.example"


def command(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "app", "backtest", *words],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.process
async def test_the_command_shows_a_screen_and_writes_a_csv(
    environ: dict[str, str],
    services: Services,
    tenant: Tenant,
    people: Seed,
    server: SandboxServer,
    tmp_path: Path,
) -> None:
    """By reason and account; a line for each address, none of which a spreadsheet executes."""
    await services.tenancy.api_url()
    before = await everything(services)
    formula = "=cmd@evil.example"
    split = '"a;=cmd(0);b"@evil.example'  # by a spreadsheet where numbers have commas
    ticket = old_ticket(tenant, people.alpine, cc=f"{CARLA}, {NINA}, {formula}, {split}, =1+1(")
    old_ticket(tenant, people.bakery)
    policy, file = tmp_path / "policy.json", tmp_path / "found.csv"
    policy.write_text(json.dumps({"outside": "hold"}))

    shown = command("--days", "7", "--policy", str(policy), "--csv", str(file), **environ)

    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert lines[0] == "The last 7 days: 4 tickets, 5 addresses"
    assert "no_list 3" in lines[1]
    assert "done 1" in lines[1]
    assert len(lines) <= 24
    assert max(map(len, lines[:-1])) <= 80
    assert any(line.split()[:3] == ["hold", "outside", "2"] for line in lines)
    assert f"{people.alpine}" in shown.stdout
    with file.open(encoding="utf-8-sig", newline="") as opened:
        head, *rows = csv.reader(opened)
    assert tuple(head) == COLUMNS
    number = tenant.tickets[ticket]["ticketNumber"]
    of_ticket = [str(ticket), number, str(people.alpine)]
    assert rows[0] == [*of_ticket, CARLA, "link", "known", str(people.carla), "udf:CC"]
    assert rows[2][3] == f"'{formula}"
    parts = [part for row in rows for cell in row for part in cell.split(";")]
    assert not any(part.startswith(("=", "+", "-", "@")) for part in parts)
    assert any("=cmd(0)" in part for part in parts)
    assert (await everything(services), changes(server)) == (before, [])


@pytest.mark.process
def test_a_bad_policy_file_is_a_sentence(environ: dict[str, str], tmp_path: Path) -> None:
    """And exit code 1, before Autotask is asked."""
    file = tmp_path / "policy.json"
    file.write_text('{"outside": "maybe"}')
    shown = command("--policy", str(file), **environ)
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.count("\n") == 1
    assert "outside" in shown.stderr


@pytest.mark.process
def test_a_csv_that_cannot_be_written_is_a_sentence(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """Before any work is done."""
    shown = command("--csv", str(tmp_path / "none" / "x.csv"), **environ)
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "cannot be written" in shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.process
def test_a_refused_user_is_a_sentence(environ: dict[str, str], people: Seed) -> None:
    """With exit code 1."""
    shown = command(**environ | {"AUTOTASK_SECRET": "wrong"})
    assert shown.returncode == 1
    assert "Autotask cannot be asked" in shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.process
def test_ctrl_c_shows_what_was_found_so_far(
    environ: dict[str, str], tenant: Tenant, people: Seed, tmp_path: Path
) -> None:
    """With the exit code of an interrupted command, and the CSV as far as it went."""
    for _ in range(200):
        old_ticket(tenant, people.alpine, cc=NINA)
    tenant.faults.latency = (0.05, 0.05)
    file = tmp_path / "found.csv"
    with subprocess.Popen(
        [sys.executable, "-m", "app", "backtest", "--csv", str(file)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            wait_until(lambda: tenant.count(path_contains="AdditionalContacts") > 5)
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=30)
        finally:
            running.kill()
    assert (running.returncode, err) == (130, "")
    assert out.startswith("The last 30 days, ended early: ")
    assert 1 < len(file.read_text("utf-8-sig").splitlines()) < 201


def test_the_summary_of_much_fits_a_screen() -> None:
    """However many reasons, accounts and errors there are."""
    report = Report()
    for account in range(40):
        ticket = Ticket(id=account, companyID=2**31 - 1 - account)
        many = [Decision(f"{r}@x.example", "", v, r) for r in Reason for v in Verdict]
        report.add(Tried(ticket, 0.5, Preview(Result.DONE, decisions=many)))
        report.add(Tried(ticket, 0.5, error="[red]no such\nmarkup " * 20))
    counters: list[Counter[Any]] = [report.reasons, *report.accounts.values()]
    for counted in counters:
        counted.update(dict.fromkeys(counted, 12_345))
    report.results.update(dict.fromkeys(Result, 12_345))
    out = io.StringIO()
    console = Console(width=80, file=out)
    for line in report.lines("The last 365 days, ended early"):
        console.print(line)
    lines = out.getvalue().splitlines()
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    [error] = [line for line in lines if "[red]" in line]
    assert [line for line in lines if "…" in line] == [error]
    assert "+ 80" in lines[-1]
    assert "+ 28" in lines[-1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file or directory. The presets are open, guarded, "),
        ("{", "is not JSON"),
        ("[]", "dictionary"),
        ('{"allowed": "a@x.example"}', "allowed: Input should be a list"),
        ('{"insdie": "hold"}', "insdie: "),
        ('{"outside": "maybe"}', "outside: "),
        ('{"allowed": ["a b"]}', "allowed.0: is neither"),
        ('{"own_domains": ["x.example"]}', "--account"),
        ("\udcff", "no UTF-8"),
    ],
)
def test_what_is_no_policy_is_said(tmp_path: Path, text: str | None, said: str) -> None:
    """In one sentence, that names the file and the field."""
    file = tmp_path / "policy.json"
    if text is not None:
        file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(PolicyFileError) as wrong:
        read_policy(str(file), of_account=False)
    assert said in str(wrong.value)
    assert str(wrong.value).startswith(str(file))
    assert "\n" not in str(wrong.value)


def test_a_policy_is_a_presets_name_or_a_file(tmp_path: Path) -> None:
    """An account's own has domains, too; Windows' mark in front of UTF-8 does no harm."""
    assert read_policy("guarded", of_account=False) == PolicyDocument(preset="guarded")
    file = tmp_path / "policy.json"
    file.write_text('\ufeff{"preset": "guarded", "own_domains": ["x.example"]}', "utf-8")
    policy = read_policy(str(file), of_account=True)
    assert (policy.preset, policy.own_domains) == ("guarded", ("x.example",))
