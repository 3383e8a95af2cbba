"""The product as processes: several at once, killed, frozen, restarted. Nothing lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import ExitStack

import httpx
import psycopg
import pytest

from app.autotask.protocol import THREADS_PER_ENTITY
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.conftest import SECRET
from tests.support.databases import plain
from tests.support.processes import free_port, kill, process, wait_until

pytestmark = pytest.mark.process

NINA = "nina@radiology.example"
CREATE = {"method": "POST", "entity": "Contacts", "path_contains": "/Companies/"}
LINK = {"method": "POST", "path_contains": "AdditionalContacts"}


def want(environ: dict[str, str], *ticket_ids: int) -> None:
    """Make tickets due, as an accepted callout leaves them."""
    with psycopg.connect(plain(environ["DATABASE_URL"]), autocommit=True) as connection:
        for ticket_id in ticket_ids:
            connection.execute("INSERT INTO tickets (id) VALUES (%s)", [ticket_id])
            connection.execute(
                "INSERT INTO due (kind, ref, due_at, priority, wanted)"
                " VALUES ('ticket', %s, now(), 10, 1)",
                [ticket_id],
            )


def results(environ: dict[str, str]) -> dict[int, str | None]:
    """Return every ticket's result."""
    with psycopg.connect(plain(environ["DATABASE_URL"])) as connection:
        return dict(connection.execute("SELECT id, result FROM tickets").fetchall())


def all_done(environ: dict[str, str]) -> bool:
    """Return whether every ticket is done."""
    return set(results(environ).values()) == {"done"}


def test_twenty_tickets_with_one_new_address_make_one_contact(
    environ: dict[str, str], tenant: Tenant, people: Seed
) -> None:
    """Three processes race for it at random latency: one contact, twenty links."""
    tickets = [tenant.new_ticket(people.alpine, cc=NINA) for _ in range(20)]
    tenant.faults.latency = (0.0, 0.3)
    want(environ, *tickets)

    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(process("worker", environ, impatient=False))
        wait_until(lambda: all_done(environ))

    [nina] = tenant.contacts_with(NINA)
    assert [tenant.linked_contacts(ticket) for ticket in tickets] == [[nina["id"]]] * 20
    assert max(tenant.peak.values()) <= THREADS_PER_ENTITY
    assert tenant.thread_refusals == 0


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"kind": "hang_before", **LINK}, id="between create and link"),
        pytest.param({"kind": "hang_after", **CREATE}, id="create took effect, answer lost"),
        pytest.param({"kind": "hang_before", **CREATE}, id="create never took effect"),
        pytest.param({"kind": "hang_after", **LINK}, id="between link and record"),
        pytest.param({"kind": "late_commit", **CREATE}, id="create takes effect later"),
        pytest.param({"kind": "late_commit", **LINK}, id="link takes effect later"),
    ],
)
def test_killed_in_the_middle_the_ticket_comes_right(
    environ: dict[str, str], tenant: Tenant, people: Seed, fault: dict[str, str]
) -> None:
    """kill -9 while a write is on its way: after a restart one contact and one link."""
    seconds = 2.0 if fault["kind"] == "late_commit" else 30.0
    tenant.faults.add(Fault(seconds=seconds, **fault))  # type: ignore[arg-type]
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, cc=NINA)
    want(environ, ticket)

    with process("worker", environ) as first:
        wait_until(lambda: not tenant.faults.pending())
        kill(first)
    with process("worker", environ):
        wait_until(lambda: all_done(environ))

    [nina] = tenant.contacts_with(NINA)
    assert tenant.linked_contacts(ticket) == [nina["id"]]
    assert tenant.tickets[ticket]["contactID"] == people.ana


def test_the_ticket_of_a_killed_worker_is_taken_up_within_thirty_seconds(
    environ: dict[str, str], tenant: Tenant, people: Seed
) -> None:
    """The lease as it is in production."""
    tenant.faults.add(Fault("hang_before", method="GET", entity="Tickets", seconds=60))
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    want(environ, ticket)

    with process("worker", environ, impatient=False) as first:
        wait_until(lambda: not tenant.faults.pending())
        kill(first)
    killed_at = time.monotonic()
    with process("worker", environ, impatient=False):
        wait_until(lambda: all_done(environ))

    assert time.monotonic() - killed_at < 30 + 5  # the start of a process included


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_frozen_worker_that_wakes_does_no_harm(
    environ: dict[str, str], tenant: Tenant, people: Seed, seed: int
) -> None:
    """SIGSTOP past the lease, at a random moment; another finishes; then the first wakes."""
    tenant.faults.latency = (0.05, 0.25)
    emails = [f"new{n}@elsewhere.example" for n in range(5)]
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, cc=", ".join(emails))
    want(environ, ticket)

    with process("worker", environ) as first:
        wait_until(lambda: tenant.calls)
        time.sleep(random.Random(seed).uniform(0.0, 1.2))
        os.kill(first.pid, signal.SIGSTOP)
        with process("worker", environ):
            wait_until(lambda: all_done(environ))
            os.kill(first.pid, signal.SIGCONT)
            time.sleep(2.0)  # what it could do wrong, it would do now

    contacts = [tenant.contacts_with(email) for email in emails]
    assert [len(found) for found in contacts] == [1] * 5
    assert sorted(tenant.linked_contacts(ticket)) == sorted(found[0]["id"] for found in contacts)


def test_callouts_that_were_accepted_survive_kill_nine(
    environ: dict[str, str], tenant: Tenant, people: Seed, server: SandboxServer
) -> None:
    """I1: Autotask posts, the service is killed again and again, every ticket is done once."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    serving = environ | {"PORT": str(port), "RUN_WORKER": "true", "MAX_NEW_PER_SENDER": "99"}
    server.callouts.retry_after = 0.5
    server.callouts.max_attempts = 100
    hook = f"{url}/webhooks/autotask"
    tenant.subscribe(hook, f"{hook}/deactivated", SECRET, actions=["Create"])
    tickets = [tenant.new_ticket(people.alpine, cc=f"{n}@new.example") for n in range(30)]

    for pause in (0.05, 0.2, 0.5):
        with process("serve", serving) as one:
            wait_until(lambda: is_live(url))
            time.sleep(pause)
            kill(one)
    with process("serve", serving):
        server.callouts.wait_idle(60)
        wait_until(lambda: len(results(environ)) == 30 and all_done(environ))
        assert httpx.get(f"{url}/health/work").json()["problems"] == []

    assert sorted(results(environ)) == tickets
    for n, ticket in enumerate(tickets):
        [contact] = tenant.contacts_with(f"{n}@new.example")
        assert tenant.linked_contacts(ticket) == [contact["id"]]


def is_live(url: str) -> bool:
    """Return whether the service answers."""
    try:
        return httpx.get(f"{url}/health/live").status_code == 200
    except httpx.TransportError:
        return False
