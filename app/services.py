"""The parts that a process creates once and shares: settings, database, HTTP, budget."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import httpx

from app.autotask.client import Autotask, http_client
from app.autotask.protocol import OWN_ORGANISATION
from app.db.database import Sessions, make_engine, make_sessions
from app.decide import HelpDesk, without_providers
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

        calm: neither a missing right nor a missing answer keeps other calls back.
        """
        api_url = await self.tenancy.api_url()
        throttle = self.budget.throttle(lease, calm=calm)
        return Autotask(self.http, api_url, self.settings.credentials, throttle)

    async def help_desk(self, autotask: Autotask) -> HelpDesk:
        """Return the help desk's own addresses, domains and technicians."""
        technicians = await self.directory.technicians(autotask)
        domains = await self.account_domains(autotask, OWN_ORGANISATION)
        return HelpDesk(
            addresses=self.settings.our_addresses,
            domains=frozenset(self.settings.own_domains) | domains,
            technicians=technicians,
        )

    async def account_domains(self, autotask: Autotask, account_id: int) -> frozenset[str]:
        """Return an account's own domain, by its web address, unless that is a provider's."""
        domains = await self.directory.company_domains(autotask, account_id)
        return without_providers(domains, self.settings.free_mail_domains)

    async def other_clients(
        self, autotask: Autotask, account_id: int, domains: Iterable[str]
    ) -> frozenset[str]:
        """Return those of these domains, and of their parents, that only other customers have."""
        clients = await self.directory.clients(autotask)
        customers = await self.directory.customer_types(autotask)
        others = clients.others(account_id, domains, customers)
        return without_providers(others, self.settings.free_mail_domains)


@asynccontextmanager
async def open_services(
    settings: Settings, database_url: str, *, observer: bool = False
) -> AsyncIterator[Services]:
    """Create the parts, and close them at the end. For `observer` see Budget."""
    engine = make_engine(database_url)
    sessions = make_sessions(engine)
    share, window = settings.budget_share, settings.budget_window
    mine = settings.credentials.digest()
    budget = Budget(sessions, share=share, window=window, observer=observer, credentials=mine)
    try:
        async with http_client() as http:
            tenancy = Tenancy(settings, sessions, http)

            async def calm() -> Autotask:
                throttle = budget.throttle(calm=True)
                return Autotask(http, await tenancy.api_url(), settings.credentials, throttle)

            yield Services(
                settings=settings,
                sessions=sessions,
                http=http,
                tenancy=tenancy,
                budget=budget,
                directory=Directory(sessions, calm),
                mailbox=Mailbox(settings, sessions, http),
            )
    finally:
        await engine.dispose()
