"""What the checks work with, and what earlier ones found out for later ones."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.autotask.calls import Calls
from app.autotask.client import REQUEST_SECONDS, Autotask, Throttle, http_client
from app.autotask.entity_info import EntityInfo
from app.autotask.models import Threshold
from app.db.database import Sessions, db_now, make_engine, make_sessions
from app.db.tables import Gate, Slot
from app.due.work import Lease
from app.ops.doctor.findings import Skip
from app.outbound.budget import Budget
from app.outbound.directory import Directory
from app.outbound.mailbox import Mailbox
from app.outbound.tenant import Tenancy
from app.services import Services
from app.settings.settings import Settings

_SLOT_LIFE = timedelta(seconds=REQUEST_SECONDS + 15)


@dataclass
class Deployment:
    """A deployment as it is examined.

    database_up, schema_fits: whether there are tables to read. api_url: where the tenant's API is.
    user_known: whether Autotask knows the user name; None: it did not say. let_in: whether it
    takes the credentials. ahead: how far Autotask's clock is ahead of ours.
    """

    settings: Settings
    engine: AsyncEngine
    sessions: Sessions
    http: httpx.AsyncClient
    database_up: bool = False
    schema_fits: bool = False
    api_url: str | None = None
    user_known: bool | None = None
    let_in: bool = False
    ahead: timedelta | None = None
    threshold: Threshold | None = field(default=None, repr=False)

    def throttle(self) -> Throttle:
        """Ask the budget before each call, where there is one.

        Without a database nobody else of us calls, and nothing can be counted.
        """
        return self._budget().throttle() if self.schema_fits else unthrottled

    def autotask(self) -> Autotask:
        """Speak to Autotask, once it is known that it lets us in."""
        return Autotask(self.http, self._door(), self.settings.credentials, self.throttle())

    def entity_info(self) -> EntityInfo:
        """Ask Autotask about its entities, once it is known that it lets us in."""
        return EntityInfo(self.calls())

    def calls(self) -> Calls:
        """Make calls to Autotask, once it is known that it lets us in."""
        return Calls(self.http, self._door(), self.settings.credentials, self.throttle())

    def services(self) -> Services:
        """Give the parts as the service has them, for what is handed a client of its own."""
        return Services(
            settings=self.settings,
            sessions=self.sessions,
            http=self.http,
            tenancy=Tenancy(self.settings, self.sessions, self.http),
            budget=self._budget(),
            directory=Directory(),
            mailbox=Mailbox(self.settings, self.sessions, self.http),
        )

    @asynccontextmanager
    async def records(self) -> AsyncIterator[AsyncSession]:
        """Read our own records, where there are any."""
        if not self.schema_fits:
            raise Skip("our own records cannot be read: see `database` and `schema`")
        async with self.sessions() as session:
            yield session

    async def note_clock(self, response: httpx.Response) -> None:
        """Take note of an answer's Date; a hook of the connections."""
        try:
            date = parsedate_to_datetime(response.headers["date"])
        except (KeyError, ValueError, TypeError):
            return
        if self.api_url and str(response.url).startswith(self.api_url):
            date = date if date.tzinfo else date.replace(tzinfo=UTC)
            self.ahead = date - datetime.now(UTC)

    def _budget(self) -> Budget:
        share, window = self.settings.budget_share, self.settings.budget_window
        return _Beside(self.sessions, share=share, window=window)

    def _door(self) -> str:
        if not self.let_in or self.api_url is None:
            raise Skip("Autotask does not let us in: see `zone` and `credentials`")
        return self.api_url


@asynccontextmanager
async def open_patient(settings: Settings, database_url: str) -> AsyncIterator[Deployment]:
    """Make the parts, and close them at the end; nothing is asked yet."""
    engine = make_engine(database_url)
    try:
        async with http_client() as http:
            deployment = Deployment(settings, engine, make_sessions(engine), http)
            http.event_hooks = {"response": [deployment.note_clock]}
            yield deployment
    finally:
        await engine.dispose()


@asynccontextmanager
async def unthrottled(entity: str, *, write: bool) -> AsyncIterator[None]:
    """Let a call through, unless it writes."""
    assert not write, f"The doctor writes nothing: {entity}."
    yield


class _Beside(Budget):
    """The budget for who looks around: slots and counts as ever, and no word to the gate.

    It passes a shut gate, as whoever mends what shut it wants to know whether that worked; and
    what is refused here says nothing of what the service may do: the settings may be others.
    """

    @asynccontextmanager
    async def _permit(
        self, entity: str, lease: Lease | None, *, write: bool, calm: bool
    ) -> AsyncIterator[None]:
        assert lease is None
        assert not calm
        assert not write, "The doctor writes nothing."
        holder = uuid.uuid4().hex
        await self._wait_for_slot(entity, holder, None, write=False)
        try:
            yield
        finally:
            await asyncio.shield(self._release(entity, holder, None, False))

    async def _take(
        self, session: AsyncSession, entity: str, holder: str, lease: Lease | None, *, write: bool
    ) -> tuple[bool, bool] | None:
        assert lease is None
        row = (await session.execute(select(Gate).with_for_update())).scalar_one()
        now = await db_now(session)
        free = await self._free_slot(session, entity, now)
        if free is None:
            return None
        await self._count(session, row, now)
        held = {"holder": holder, "expires_at": now + _SLOT_LIFE, "writes": write}
        slot = insert(Slot).values(entity=entity, n=free, **held)
        await session.execute(
            slot.on_conflict_do_update(index_elements=[Slot.entity, Slot.n], set_=held)
        )
        return False, False
