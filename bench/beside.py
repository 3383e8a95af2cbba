"""Time other accounts' tickets beside one account that is in trouble, as ratios.

Run: `python -m bench.beside`. For each trouble, tickets of five accounts are timed from their
callout to their last link, first without the trouble, then beside it, in the same processes. A
ratio of the means above 1.5 is flagged, and the exit code is 1.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx

from app.db import schema
from app.db.embedded.server import EmbeddedPostgres
from bench.receiving import environ_of, post_all
from sandbox.graph import HELP_DESK
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.processes import free_port, process, wait_until

SECRET = "a-webhook-secret-of-bench"  # noqa: S105  of a double
ACCOUNTS, TICKETS, MAX_RATIO = 5, 10, 1.5
NOISE = 0.3  # seconds by which a mean differs without a reason
PATIENCE = 60.0
"""A ticket that is not done by then counts with so many seconds."""

_EVERY = 1.0  # seconds between two callouts
_MAILS = 1400
_RIGHT = "The logged in Resource does not have the adequate permissions to create this entity type."


@dataclass(slots=True)
class World:
    """A tenant with accounts that are well, one that is not, and the service that serves it."""

    tenant: Tenant
    url: str
    well: list[int]
    ill: int
    by_mail: bool
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 10_000)))

    def ticket(self, company: int) -> int:
        """Let somebody who is known copy somebody who is known and somebody who is new."""
        n = next(self.numbers)
        sender, known, new = (f"{who}@c{company}.example" for who in ("ana", "bo", f"new{n}"))
        title = f"Printer {n} is offline"
        if self.by_mail:
            return self.tenant.receive_mail(
                company, sender=sender, subject=title, cc=[known, new], callout=False
            )
        [ana] = self.tenant.contacts_with(sender, company)
        cc = f"{known}, {new}"
        return self.tenant.new_ticket(
            company, contact_id=ana["id"], title=title, cc=cc, callout=False
        )

    def flooded_ticket(self) -> int:
        """Let a ticket of three hours ago have 1,400 mails in its window, but not its own."""
        created = datetime.now(UTC) - timedelta(hours=3)
        for n in range(_MAILS):
            at = created - timedelta(seconds=2 * n)
            sender, subject = f"alert{n}@monitor.example", f"Alert {n}"
            self.tenant.mail.deliver(HELP_DESK, sender=sender, subject=subject, received_at=at)
        [ana] = self.tenant.contacts_with(f"ana@c{self.ill}.example", self.ill)
        return self.tenant.new_ticket(
            self.ill,
            contact_id=ana["id"],
            title="Where is it?",
            callout=False,
            createDate=f"{created:%Y-%m-%dT%H:%M:%SZ}",
        )

    def post(self, *tickets: int) -> None:
        """Post callouts of these tickets."""
        statuses = post_all(self.url, SECRET, tickets)
        assert set(statuses) == {202}, f"not all were accepted: {set(statuses)}"


def no_right(world: World) -> None:
    """Refuse creates in one account."""
    path = f"/Companies/{world.ill}/Contacts"
    fault = Fault("error_500_errors", method="POST", path_contains=path, times=None, text=_RIGHT)
    world.tenant.faults.add(fault)
    world.post(*(world.ticket(world.ill) for _ in range(3)))


def many_mails(world: World) -> None:
    """Let one ticket's window hold more mails than can be read in a moment."""
    world.post(world.flooded_ticket())


def firewall(world: World) -> None:
    """Let something in between answer one POST with a page and 403."""
    path = f"/Companies/{world.ill}/Contacts"
    world.tenant.faults.add(Fault("firewall", method="POST", path_contains=path))
    world.post(world.ticket(world.ill))


@dataclass(frozen=True, slots=True)
class Trouble:
    """What one account meets, and how tickets get their lists meanwhile."""

    name: str
    begin: Callable[[World], None]
    by_mail: bool = False


TROUBLES = (
    Trouble("creates refused in one account", no_right),
    Trouble(f"{_MAILS} mails in one ticket's window", many_mails, by_mail=True),
    Trouble("one POST answered 403 by a firewall", firewall),
)


def timed(world: World, tickets: int = TICKETS) -> list[float]:
    """Return how long tickets of the accounts that are well take, posted one after the other."""
    began: dict[int, float] = {}
    took: dict[int, float] = {}
    start = time.monotonic()
    while len(took) < tickets:
        now = time.monotonic()
        if len(began) < tickets and now >= start + len(began) * _EVERY:
            ticket = world.ticket(world.well[len(began) % len(world.well)])
            began[ticket] = time.monotonic()
            world.post(ticket)
        for ticket, at in began.items():
            done = len(world.tenant.linked_contacts(ticket)) == 2
            if ticket not in took and (done or now - at > PATIENCE):
                took[ticket] = now - at if done else PATIENCE
        time.sleep(0.02)
    return list(took.values())


def compared(trouble: Trouble, tickets: int = TICKETS) -> tuple[list[float], list[float]]:
    """Return the times without a trouble, and beside it."""
    with served(by_mail=trouble.by_mail) as world:
        timed(world, len(world.well))  # what is read once an hour or day is read now
        alone = timed(world, tickets)
        trouble.begin(world)
        time.sleep(1.0)
        return alone, timed(world, tickets)


@contextmanager
def served(*, by_mail: bool) -> Iterator[World]:
    """Yield a world that the processes `serve` and `worker` serve."""
    tenant, port = Tenant(), free_port()
    tenant.mail.add_mailbox(HELP_DESK)
    tenant.mail.switches.page_size, tenant.mail.switches.latency = 25, 0.4
    tenant.add_company("Northwind Managed IT", id=0)
    companies = [tenant.add_company(f"Account {n}") for n in range(ACCOUNTS + 1)]
    for company in companies:
        for who in ("ana", "bo"):
            tenant.add_contact(company, f"{who}@c{company}.example")
    url = f"http://127.0.0.1:{port}"
    with EmbeddedPostgres() as database, ExitStack() as stack:
        schema.migrate(database.url)
        server = stack.enter_context(SandboxServer(tenant))
        environ = environ_of(tenant, server, database.url, SECRET, port) | {
            "GRAPH_TENANT_ID": tenant.mail.tenant_id,
            "GRAPH_CLIENT_ID": tenant.mail.client_id,
            "GRAPH_CLIENT_SECRET": tenant.mail.client_secret,
            "GRAPH_MAILBOX": HELP_DESK,
            "GRAPH_URL": server.graph_url,
            "GRAPH_LOGIN_URL": server.login_url,
            "CC_SOURCES": "mailbox" if by_mail else "udf:CC",
            "MAX_NEW_PER_SENDER": "999",
            "MAX_NEW_PER_DAY": "9999",
            "SETTLE_SECONDS": "0",
        }
        stack.enter_context(process("serve", environ, impatient=False))
        stack.enter_context(process("worker", environ, impatient=False))
        wait_until(lambda: _is_live(url))
        yield World(tenant, url, companies[1:], companies[0], by_mail)


def is_slow(alone: list[float], beside: list[float]) -> bool:
    """Return whether the trouble costs others more than chance does."""
    before, after = statistics.mean(alone), statistics.mean(beside)
    return after > MAX_RATIO * before and after - before > NOISE


def main() -> int:
    """Print a line for each trouble; return 1 if one of them slows others."""
    slow = 0
    head = ("trouble", "alone: mean, slowest", "beside it: mean, slowest", "ratio")
    sys.stdout.write(f"| {' | '.join(head)} |\n| --- | ---: | ---: | ---: |\n")
    for trouble in TROUBLES:
        alone, beside = compared(trouble)
        cells = [f"{statistics.mean(one):.2f} s, {max(one):.2f} s" for one in (alone, beside)]
        ratio = statistics.mean(beside) / statistics.mean(alone)
        mark = " SLOW" if is_slow(alone, beside) else ""
        slow += bool(mark)
        sys.stdout.write(f"| {trouble.name} | {cells[0]} | {cells[1]} | {ratio:.2f}{mark} |\n")
        sys.stdout.flush()
    return 1 if slow else 0


def _is_live(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    sys.exit(main())
