"""What the checks work with, and what earlier checks find out for later ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.calls import Calls
from app.autotask.client import Autotask, Credentials, Throttle
from app.autotask.entity_info import EntityInfo
from app.autotask.models import Threshold
from app.ops.doctor.findings import Skip
from app.services import Services, open_services
from app.settings.settings import Settings


@dataclass
class Deployment:
    """A deployment as it is examined."""

    services: Services
    database_up: bool = False
    schema_fits: bool = False
    """Whether our own tables can be read."""

    api_url: str | None = None
    """Where the tenant's API is."""

    user_known: bool | None = None
    """Whether Autotask knows the user name; None while it has not answered."""

    accepted: bool = False
    """Whether Autotask accepts the credentials."""

    ahead: timedelta | None = None
    """How far Autotask's clock is ahead of this machine's."""

    threshold: Threshold | None = field(default=None, repr=False)

    @property
    def settings(self) -> Settings:
        """The settings of the deployment."""
        return self.services.settings

    def throttle(self) -> Throttle:
        """Return the budget's throttle; without our tables nothing can be counted."""
        return self.services.budget.throttle() if self.schema_fits else unthrottled

    def autotask(self) -> Autotask:
        """Return a client of Autotask. Raise Skip unless Autotask accepts the credentials."""
        return Autotask(self.services.http, *self._access())

    def entity_info(self) -> EntityInfo:
        """Return a client for questions about entities. Raise Skip as `autotask` does."""
        return EntityInfo(self.calls())

    def calls(self) -> Calls:
        """Return what makes single calls. Raise Skip as `autotask` does."""
        return Calls(self.services.http, *self._access())

    @asynccontextmanager
    async def records(self) -> AsyncIterator[AsyncSession]:
        """Open a session on our own tables. Raise Skip where they cannot be read."""
        if not self.schema_fits:
            raise Skip("our own records cannot be read: see `database` and `schema`")
        async with self.services.sessions() as session:
            yield session

    async def note_clock(self, response: httpx.Response) -> None:
        """Compare an answer's Date with our clock; a hook of the connections."""
        try:
            date = parsedate_to_datetime(response.headers["date"])
        except (KeyError, ValueError, TypeError):
            return
        if self.api_url and str(response.url).startswith(self.api_url):
            date = date if date.tzinfo else date.replace(tzinfo=UTC)
            self.ahead = date - datetime.now(UTC)

    def _access(self) -> tuple[str, Credentials, Throttle]:
        if not self.accepted or self.api_url is None:
            raise Skip("Autotask does not accept our credentials: see `zone` and `credentials`")
        return self.api_url, self.settings.credentials, self.throttle()


@asynccontextmanager
async def open_deployment(settings: Settings, database_url: str) -> AsyncIterator[Deployment]:
    """Make the parts, and close them at the end; nothing is called yet."""
    async with open_services(settings, database_url, observer=True) as services:
        deployment = Deployment(services)
        services.http.event_hooks = {"response": [deployment.note_clock]}
        yield deployment


@asynccontextmanager
async def unthrottled(entity: str, *, write: bool, **_about: str) -> AsyncIterator[None]:
    """Permit a call without counting it; a write is refused."""
    assert not write, f"The doctor writes nothing: {entity}."
    yield
