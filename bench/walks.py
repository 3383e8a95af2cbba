"""Counts the trips through the code: files, functions, packages, and changes between them.

Run: `python -m bench.walks`. Each trip is carried out for real, against the sandbox and an
embedded PostgreSQL, under a profile hook that notes each function of app/ as it is entered.

A room is a package of app/, or a module that stands directly in it. Domain rooms leave out what
every trip passes: vendors, PostgreSQL, the queue, settings, and what each call out passes.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import httpx

import app
from app.contacts.retire_chore import retire_due
from app.db import schema
from app.db.embedded.server import EmbeddedPostgres
from app.db.states import Chore, Priority
from app.due import work
from app.looks.look import look
from app.ops.reconcile import reconcile
from app.services import Services, open_services
from app.settings import log
from app.settings.environment import load_settings
from app.web.app import create_app
from sandbox.callouts import SIGNATURE_HEADER, encode_callout, sign
from sandbox.model import COMPLETE
from sandbox.seed import Seed, seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant

APP = Path(app.__file__).parent
SECRET, KEY = "a-webhook-secret-of-bench", "w" * 32
BELOW = {"autotask", "graph", "db", "due", "settings", "outbound", "services", "log", "mail"}
_FIRST = 8  # a coroutine that goes on begins later in its code than one that is entered


@dataclass(slots=True)
class Walk:
    """Functions of app/ in the order in which they were entered, as (file, function)."""

    steps: list[tuple[str, str]] = field(default_factory=list)

    def note(self, frame: FrameType, event: str, _: Any) -> None:
        """Note a function that is entered, not a coroutine that goes on."""
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(str(APP)) and frame.f_lasti <= _FIRST:
            name = frame.f_code.co_qualname
            if "<" not in name.rpartition(".")[2]:  # a comprehension is part of its function
                self.steps.append((path[len(str(APP)) + 1 :], name))

    def row(self) -> list[int]:
        """Return the counts in the order of the table: of all files, then of the domain."""
        files = [path for path, _ in self.steps]
        domain = [path for path in files if _room(path) not in BELOW]
        rooms = [_room(path) for path in files]
        domain_rooms = [room for room in rooms if room not in BELOW]
        return [
            len(set(files)),
            len(set(self.steps)),
            len(set(rooms)),
            _changes(rooms),
            len(set(domain)),
            _changes(domain),
            len(set(domain_rooms)),
            _changes(domain_rooms),
        ]


def _room(path: str) -> str:
    return path.split("/")[0].removesuffix(".py")


def _changes(places: list[str]) -> int:
    return sum(one != other for one, other in pairwise(places))


async def walked(trip: Callable[[], Awaitable[Any]]) -> Walk:
    """Carry out a trip and return the way that it took."""
    walk = Walk()
    sys.setprofile(walk.note)
    try:
        await trip()
    finally:
        sys.setprofile(None)
    return walk


@dataclass(slots=True)
class Trips:
    """The six trips, each of which leaves what the next one needs."""

    services: Services
    tenant: Tenant
    people: Seed
    web: httpx.AsyncClient

    async def all(self) -> dict[str, Walk]:
        """Carry all of them out."""
        ticket = self.tenant.new_ticket(
            self.people.alpine,
            contact_id=self.people.ana,
            cc="carla.mendes@alpine-dental.example, nina@radiology.example, no-reply@x.example",
        )
        await self._lives()
        return {
            "callout to 202": await walked(lambda: self._callout(ticket)),
            "one look, three addresses": await walked(await self._look(ticket)),
            "approval to commit": await walked(await self._approval()),
            "a contact ended": await walked(await self._ending(ticket)),
            "a callout that never came": await walked(await self._missed()),
        }

    async def _lives(self) -> None:
        body = {"lifetime": {"inside": "ticket", "outside": "ticket"}, "grace_days": 0}
        answer = await self.web.put(f"/admin/accounts/{self.people.alpine}/policy", json=body)
        answer.raise_for_status()

    async def _callout(self, ticket: int) -> None:
        body = encode_callout(
            {"Action": "Create", "Guid": "g", "EntityType": "Ticket", "Id": ticket}
        )
        headers = {SIGNATURE_HEADER: sign(SECRET, body)}
        answer = await self.web.post("/webhooks/autotask", content=body, headers=headers)
        assert answer.status_code == 202

    async def _look(self, ticket: int) -> Callable[[], Awaitable[Any]]:
        async with self.services.sessions() as session, session.begin():
            leases = await work.claim(session, work.TICKET, "walks", 10)
        [lease] = [lease for lease in leases if lease.ref == ticket]
        return lambda: look(self.services, lease)

    async def _approval(self) -> Callable[[], Awaitable[Any]]:
        harbour = f"/admin/accounts/{self.people.harbour}/policy"
        (await self.web.put(harbour, json={"outside": "hold"})).raise_for_status()
        ticket = self.tenant.new_ticket(self.people.harbour, cc="omar@elsewhere.example")
        await self._callout(ticket)
        await (await self._look(ticket))()
        held = (await self.web.get("/admin/participants?outcome=held")).json()["items"]
        path = f"/admin/participants/{held[0]['id']}/approve"
        return lambda: self.web.post(path)

    async def _ending(self, ticket: int) -> Callable[[], Awaitable[Any]]:
        self.tenant.update_ticket(ticket, callout=False, status=COMPLETE)
        (await self.web.post(f"/admin/tickets/{ticket}/process")).raise_for_status()
        await (await self._look(ticket))()
        lease = await self._chore(Chore.RETIRE)
        return lambda: retire_due(self.services, lease)

    async def _missed(self) -> Callable[[], Awaitable[Any]]:
        lease = await self._chore(Chore.RECONCILE)
        await reconcile(self.services, lease)  # the first one begins with the newest ticket
        self.tenant.new_ticket(self.people.alpine, cc="nina@radiology.example")
        return lambda: reconcile(self.services, lease)

    async def _chore(self, chore: Chore) -> work.Lease:
        async with self.services.sessions() as session, session.begin():
            await work.want(session, work.CHORE, chore, timedelta(0), Priority.LIVE)
            [lease] = await work.claim(session, work.CHORE, f"walks {chore}", 1)
        return lease


def say(line: str) -> None:
    """Write a line of the table."""
    sys.stdout.write(f"{line}\n")


async def main() -> None:
    """Print a row per trip."""
    log.configure("console", quiet=True)
    tenant = Tenant()
    people = seed(tenant)
    with EmbeddedPostgres() as database, SandboxServer(tenant) as server:
        schema.migrate(database.url)
        environ = {
            "DATABASE_URL": database.url,
            "AUTOTASK_API_URL": server.api_url,
            "AUTOTASK_USERNAME": tenant.username,
            "AUTOTASK_SECRET": tenant.secret,
            "AUTOTASK_INTEGRATION_CODE": tenant.integration_code,
            "WEBHOOK_SECRETS": SECRET,
            "API_KEYS": f"walks:write:{KEY}",
            "OWN_ADDRESSES": "help@northwind-msp.example",
            "SETTLE_SECONDS": "0",
            "RUN_WORKER": "false",
        }
        async with AsyncExitStack() as stack:
            services = await stack.enter_async_context(
                open_services(load_settings(environ), database.url)
            )
            web = await stack.enter_async_context(
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(create_app(services)),
                    base_url="http://service",
                    headers={"Authorization": f"Bearer {KEY}"},
                )
            )
            walks = await Trips(services, tenant, people, web).all()
    heads = ("files", "functions", "rooms", "changes", "files", "changes", "rooms", "changes")
    say(f"{'':28}{'all files':>44}{'of the domain':>44}")
    say(f"{'trip':28}" + "".join(f"{head:>11}" for head in heads))
    for name, walk in walks.items():
        say(f"{name:28}" + "".join(f"{count:>11}" for count in walk.row()))


if __name__ == "__main__":
    asyncio.run(main())
