"""Proof under fire, the short version: `python -m bench.chaos` plays more and longer plans."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import psycopg
import pytest

from bench.chaos.plan import Deed, make_plan
from bench.chaos.run import judge
from bench.chaos.waiting import progress
from bench.chaos.world import build
from bench.receiving import post_all
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.acceptance.test_processes import is_live, results
from tests.conftest import SECRET
from tests.support.databases import plain
from tests.support.processes import free_port, process, wait_until

pytestmark = pytest.mark.process


@pytest.mark.parametrize("seed", [4])
def test_whatever_goes_wrong_every_ticket_comes_right(tmp_path: Path, seed: int) -> None:
    """Kills, stops, crashes, outages and faults by a plan; then all is judged."""
    plan = make_plan(seed, tickets=24, seconds=6.0, lossy=True, lives=True)
    ran, violations = judge(plan, tmp_path)
    assert violations == []
    assert ran.struck["callout missing"] > 0
    assert ran.failed_calls > 0


def test_a_plan_is_a_pure_function_of_its_seed() -> None:
    """What went wrong once can be played again; and every kind of trouble comes."""
    plans = [make_plan(7, 100, 20.0, lossy=True) for _ in range(2)]
    worlds = [build(Tenant(), 7, 100) for _ in range(2)]
    assert plans[0] == plans[1]
    assert worlds[0] == worlds[1]
    assert make_plan(8, 100, 20.0, lossy=True).events != plans[0].events
    kinds = {event.what for event in plans[0].events}
    blows = {"ticket", "callout", "kill", "stop", "deaf", "crash", "outage", "fault"}
    assert kinds == blows | set(get_args(Deed))


def test_without_lives_a_plan_is_what_it_was() -> None:
    """What people do comes on top, and changes nothing of the rest."""
    with_lives = make_plan(7, 100, 20.0, lossy=True)
    without = make_plan(7, 100, 20.0, lossy=True, lives=False)
    assert not {event.what for event in without.events} & set(get_args(Deed))
    assert set(map(str, without.events)) < set(map(str, with_lives.events))
    assert {make_plan(n, 4, 1.0, lossy=True).updates for n in range(8)} == {True, False}


def test_every_module_has_the_short_times() -> None:
    """A time that a module has taken over before it was shortened would be the long one."""
    check = (
        "import importlib, pkgutil, app; from bench.chaos import child; child.make_short()\n"
        "for one in pkgutil.walk_packages(app.__path__, 'app.'):\n"
        "    names = vars(importlib.import_module(one.name)) if 'main' not in one.name else {}\n"
        "    print(one.name, names.get('LEAVE_SECONDS'), names.get('LEASE'))"
    )
    said = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    times = {name: (leave, lease) for name, leave, lease in map(str.split, said)}
    del times["app.autotask.webhooks"]  # its own, for what no look does
    assert times["app.outbound.rules"][0] == "2.5"
    assert {leave for leave, _ in times.values()} == {"2.5", "None"}
    assert {lease for _, lease in times.values()} == {"0:00:03", "None"}


def test_a_second_look_is_progress_too(database_url: str) -> None:
    """The first one covers the trigger; a run that is still at second looks has not stopped."""
    with psycopg.connect(plain(database_url), autocommit=True) as books:
        books.execute("INSERT INTO tickets (id) VALUES (1)")
        books.execute(
            "INSERT INTO due (kind, ref, priority, wanted, done) VALUES ('ticket', 1, 0, 1, 1)"
        )
        after_first = progress(books)
        books.execute("UPDATE tickets SET result = 'done'")
        assert progress(books) > after_first


def test_callouts_are_accepted_while_autotask_is_down_and_all_are_done_afterwards(
    environ: dict[str, str], tenant: Tenant, people: Seed, server: SandboxServer
) -> None:
    """The receiver needs no Autotask; nothing is lost, however long the outage."""
    port = free_port()
    outage = Fault("hang_before", times=None, seconds=2.0)
    tenant.faults.add(outage)
    tickets = [tenant.new_ticket(people.alpine, cc="nina@radiology.example") for _ in range(20)]

    with process("serve", environ | {"PORT": str(port)}), process("worker", environ):
        wait_until(lambda: is_live(f"http://127.0.0.1:{port}"))
        began = time.monotonic()
        statuses = post_all(f"http://127.0.0.1:{port}", SECRET, tickets)
        took = time.monotonic() - began
        outage.chance = 0.0
        wait_until(lambda: list(results(environ).values()) == ["done"] * 20)

    assert statuses == [202] * 20
    assert took < 8.0
