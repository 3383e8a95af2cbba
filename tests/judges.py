"""People who approve and reject, and who is held for them to do so."""

from __future__ import annotations

from typing import Any

import httpx

from app import look as looks
from app import policies, work
from app.desk import Desk
from app.policy import PolicyDocument
from app.states import Result
from sandbox.tenant import Tenant
from tests.helpers import look_at, people_of

ALPINE = 174
ANA = "Ana Ruiz <ana.ruiz@alpine-dental.example>"
BRUNO = "bruno.keller@alpine-dental.example"
CARLA = "carla.mendes@alpine-dental.example"
DORA = "dora.lind@alpine-dental.example"
NINA = "nina@radiology.example"
OLE = "ole@radiology.example"
Headers = dict[str, str]


async def say(desk: Desk, account_id: int = ALPINE, **fields: Any) -> None:
    """Give an account a policy."""
    async with desk.sessions() as session, session.begin():
        await policies.store(session, account_id, PolicyDocument(**fields), "test")


async def held(desk: Desk, tenant: Tenant, cc: str = NINA, preset: str = "guarded") -> int:
    """Make a ticket on which strangers are held, and look at it."""
    await say(desk, preset=preset)
    ticket = tenant.new_ticket(ALPINE, cc=cc)
    await look_at(desk, ticket)
    return ticket


async def id_of(desk: Desk, ticket: int, key: str = NINA) -> int:
    """Give a participant's id."""
    return (await people_of(desk, ticket))[key].id


async def next_look(desk: Desk) -> Result | None:
    """Look at the one ticket that is due now; nobody makes it due for this."""
    async with desk.sessions() as session, session.begin():
        [lease] = await work.claim(session, work.TICKET, "test", 2)
    return await looks.look(desk, lease)


class Judge:
    """An admin who approves and rejects over HTTP."""

    def __init__(self, api: httpx.AsyncClient, desk: Desk, headers: Headers) -> None:
        self.api, self.desk, self.headers = api, desk, headers

    async def __call__(
        self, verb: str, ticket: int, key: str = NINA, **body: Any
    ) -> httpx.Response:
        """Approve or reject somebody on a ticket."""
        path = f"/admin/participants/{await id_of(self.desk, ticket, key)}/{verb}"
        return await self.api.post(path, headers=self.headers, json=body or None)

    async def many(self, verb: str, **body: Any) -> dict[str, Any]:
        """Approve or reject many at once."""
        answer = await self.api.post(f"/admin/participants/{verb}", headers=self.headers, json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found
