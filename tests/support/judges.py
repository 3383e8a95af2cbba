"""People who approve and reject, and tickets with held participants."""

from __future__ import annotations

from typing import Any

import httpx

from app.db.states import Result
from app.decide.policy import PolicyDocument
from app.due import work
from app.looks import look
from app.records import policies
from app.services import Services
from sandbox.tenant import Tenant
from tests.support.helpers import look_at, people_of

ALPINE = 174
ANA = "Ana Ruiz <ana.ruiz@alpine-dental.example>"
BRUNO = "bruno.keller@alpine-dental.example"
CARLA = "carla.mendes@alpine-dental.example"
DORA = "dora.lind@alpine-dental.example"
NINA = "nina@radiology.example"
OLE = "ole@radiology.example"
Headers = dict[str, str]


async def say(services: Services, account_id: int = ALPINE, **fields: Any) -> None:
    """Store an account's policy."""
    async with services.sessions() as session, session.begin():
        await policies.store(session, account_id, PolicyDocument(**fields), "test")


async def held(services: Services, tenant: Tenant, cc: str = NINA, preset: str = "guarded") -> int:
    """Make a ticket on which strangers are held, and look at it."""
    await say(services, preset=preset)
    ticket = tenant.new_ticket(ALPINE, cc=cc)
    await look_at(services, ticket)
    return ticket


async def id_of(services: Services, ticket: int, key: str = NINA) -> int:
    """Return a participant's id."""
    return (await people_of(services, ticket))[key].id


async def next_look(services: Services) -> Result | None:
    """Look at the one ticket that is due now, without making it due."""
    async with services.sessions() as session, session.begin():
        [lease] = await work.claim(session, work.TICKET, "test", 2)
    return await look.look(services, lease)


class Judge:
    """An admin who approves and rejects over HTTP."""

    def __init__(self, api: httpx.AsyncClient, services: Services, headers: Headers) -> None:
        self.api, self.services, self.headers = api, services, headers

    async def __call__(
        self, verb: str, ticket: int, key: str = NINA, **body: Any
    ) -> httpx.Response:
        """Approve or reject a participant of a ticket."""
        path = f"/admin/participants/{await id_of(self.services, ticket, key)}/{verb}"
        return await self.api.post(path, headers=self.headers, json=body or None)

    async def many(self, verb: str, **body: Any) -> dict[str, Any]:
        """Approve or reject many at once."""
        answer = await self.api.post(f"/admin/participants/{verb}", headers=self.headers, json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found
