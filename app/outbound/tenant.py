"""Which Autotask tenant this deployment serves: the first start stores it, others are refused."""

from __future__ import annotations

import asyncio
import time

import httpx
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.autotask.errors import AutotaskError
from app.autotask.zone import discover_zone
from app.db.database import Sessions
from app.db.tables import Tenant
from app.settings.settings import Settings

_KNOWN_SECONDS = 30.0


class WrongTenant(Exception):
    """The database belongs to another Autotask tenant than the settings name."""


class Tenancy:
    """Find the address of the tenant's API, once."""

    def __init__(self, settings: Settings, sessions: Sessions, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._sessions = sessions
        self._http = http
        self._lock = asyncio.Lock()
        self._api_url: str | None = None
        self._read_at = 0.0

    @property
    def known(self) -> str | None:
        """The address; None before it is found."""
        return self._api_url

    async def api_url(self) -> str:
        """Return the address of the tenant's API, without the version.

        Raises WrongTenant, and an AutotaskError while the zone is not known and cannot be asked.
        """
        async with self._lock:
            if self._api_url is None:
                self._api_url = await self._bind()
                self._read_at = time.monotonic()
            elif not self._settings.autotask_api_url:
                await self._read_anew(self._api_url)
            return self._api_url

    async def ask_again(self) -> bool:
        """Ask in which zone the tenant is now. Return whether it has moved.

        Autotask moves tenants between zones; from then on the old zone refuses the user, or is
        silent. Raises WrongTenant, or an AutotaskError.
        """
        if self._settings.autotask_api_url:
            return False
        zone = await discover_zone(self._http, self._settings.autotask_username)
        api_url = await self._agree(zone.url.rstrip("/"), zone.web_url or None)
        async with self._lock:
            moved = api_url != self._api_url
            self._api_url = api_url
        return moved

    async def _read_anew(self, api_url: str) -> None:
        """Read the address that another process may have stored after a move."""
        if time.monotonic() - self._read_at > _KNOWN_SECONDS:
            stored = await self._stored()
            self._api_url = stored.api_url if stored else api_url
            self._read_at = time.monotonic()

    async def _bind(self) -> str:
        if self._settings.autotask_api_url:
            return await self._agree(self._settings.autotask_api_url, None)
        try:
            zone = await discover_zone(self._http, self._settings.autotask_username)
        except AutotaskError:
            stored = await self._stored()
            if stored is None:
                raise
            return stored.api_url
        return await self._agree(zone.url.rstrip("/"), zone.web_url or None)

    async def _agree(self, api_url: str, web_url: str | None) -> str:
        """Store the tenant, or check that it is the stored one. Raise WrongTenant if it is not."""
        # Autotask's answer for a user names the tenant; a setting names an address only.
        asked = self._settings.autotask_api_url is None
        username = self._settings.autotask_username.casefold() if asked else None
        async with self._sessions() as session, session.begin():
            row = insert(Tenant).values(id=1, api_url=api_url, web_url=web_url, username=username)
            await session.execute(row.on_conflict_do_nothing())
            stored = (await session.execute(select(Tenant).with_for_update())).scalar_one()
            # A setting names no web address, so only two that are known can differ.
            other_web = stored.web_url and web_url and stored.web_url != web_url
            if stored.api_url != api_url or other_web:
                if username is None or stored.username != username:
                    raise _wrong(stored.api_url, api_url)
                stored.api_url, stored.web_url = api_url, web_url
            elif username and stored.username is None:
                stored.username = username
        return api_url

    async def _stored(self) -> Tenant | None:
        async with self._sessions() as session:
            return (await session.execute(select(Tenant))).scalar_one_or_none()


def _wrong(stored: str, found: str) -> WrongTenant:
    return WrongTenant(
        f"This database belongs to the Autotask tenant at {stored}, and the settings lead to "
        f"{found}. One deployment serves one tenant: give the other one a database of its own. If "
        "Autotask moved your tenant to another zone, update the row of the table `tenant`."
    )
