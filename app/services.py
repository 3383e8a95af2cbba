"""The parts that a process creates once and shares: settings, database, HTTP, budget."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import httpx

from app.autotask.client import Autotask, http_client
from app.db.database import Sessions, make_engine, make_sessions
from app.decide import HelpDesk
from app.due.work import Lease
from app.outbound.budget import Budget
from app.outbound.directory import Directory
from app.outbound.mailbox import Mailbox
from app.outbound.tenant import Tenancy
from app.settings.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that a process creates once and shares."""

    settings: Settings
    sessions: Sessions
    http: httpx.AsyncClient
    tenancy: Tenancy
    budget: Budget
    directory: Directory
    mailbox: Mailbox

    @property
    def create_settle(self) -> timedelta:
        """How long a write without an answer may still take effect."""
        return timedelta(seconds=self.settings.create_settle)

    async def autotask(self, lease: Lease | None = None, *, calm: bool = False) -> Autotask:
        """Return a client of Autotask; with a lease it makes calls only while that is held.

        calm: a missing right keeps no other call back.
        """
        api_url = await self.tenancy.api_url()
        throttle = self.budget.throttle(lease, calm=calm)
        return Autotask(self.http, api_url, self.settings.credentials, throttle)

    async def help_desk(self, autotask: Autotask) -> HelpDesk:
        """Return the help desk's own addresses, domains and technicians."""
        technicians = await self.directory.technicians(autotask)
        domains = await self.directory.own_domains(autotask)
        return HelpDesk(
            addresses=self.settings.our_addresses,
            domains=frozenset(self.settings.own_domains) | domains,
            technicians=technicians,
        )


@asynccontextmanager
async def open_services(
    settings: Settings, database_url: str, *, observer: bool = False
) -> AsyncIterator[Services]:
    """Create the parts, and close them at the end. For `observer` see Budget."""
    engine = make_engine(database_url)
    sessions = make_sessions(engine)
    share, window = settings.budget_share, settings.budget_window
    try:
        async with http_client() as http:
            yield Services(
                settings=settings,
                sessions=sessions,
                http=http,
                tenancy=Tenancy(settings, sessions, http),
                budget=Budget(
                    sessions,
                    share=share,
                    window=window,
                    observer=observer,
                    credentials=settings.credentials.digest(),
                ),
                directory=Directory(),
                mailbox=Mailbox(settings, sessions, http),
            )
    finally:
        await engine.dispose()
