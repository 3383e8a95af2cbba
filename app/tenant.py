"""Which Autotask tenant this deployment serves: stored by the first start, others are refused."""

from __future__ import annotations

import asyncio

import httpx
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.autotask.client import discover_zone
from app.autotask.errors import AutotaskError
from app.db import Sessions
from app.models import Tenant
from app.settings import Settings


class WrongTenant(Exception):
    """The database belongs to another Autotask tenant than the settings name."""


class Tenancy:
    """Finds the address of the tenant's API, once."""

    def __init__(self, settings: Settings, sessions: Sessions, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._sessions = sessions
        self._http = http
        self._lock = asyncio.Lock()
        self._api_url: str | None = None

    @property
    def known(self) -> str | None:
        """The address, once it has been found."""
        return self._api_url

    async def api_url(self) -> str:
        """Give the address of the tenant's API, without the version.

        Raises WrongTenant; an AutotaskError when the zone is not known yet and cannot be asked.
        """
        async with self._lock:
            if self._api_url is None:
                self._api_url = await self._bind()
            return self._api_url

    async def _bind(self) -> str:
        stored = await self._stored()
        if self._settings.autotask_api_url:
            api_url, web_url = self._settings.autotask_api_url, None
        else:
            try:
                zone = await discover_zone(self._http, self._settings.autotask_username)
                api_url, web_url = zone.url.rstrip("/"), zone.web_url or None
            except AutotaskError:
                if stored is None:
                    raise
                return stored.api_url
        if stored is None:
            stored = await self._store(api_url, web_url)
        # A setting names no web address, so only two that are known can differ.
        other_web = stored.web_url and web_url and stored.web_url != web_url
        if stored.api_url != api_url or other_web:
            raise WrongTenant(
                f"This database belongs to the Autotask tenant at {stored.api_url}, and the "
                f"settings lead to {api_url}. One deployment serves one tenant: give the other "
                "one a database of its own. If Autotask moved your tenant to another zone, "
                "update the row of the table `tenant`."
            )
        return api_url

    async def _stored(self) -> Tenant | None:
        async with self._sessions() as session:
            return (await session.execute(select(Tenant))).scalar_one_or_none()

    async def _store(self, api_url: str, web_url: str | None) -> Tenant:
        async with self._sessions() as session, session.begin():
            row = insert(Tenant).values(id=1, api_url=api_url, web_url=web_url)
            await session.execute(row.on_conflict_do_nothing())
            return (await session.execute(select(Tenant))).scalar_one()
