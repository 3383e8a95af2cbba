"""Forgetting an address while tickets that name it are worked on: nothing of it stays."""

from __future__ import annotations

import asyncio

import httpx

from app.desk import Desk
from app.models import Mapping, Participant
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.conftest import work_until
from tests.helpers import result_of, rows, want

NINA = "nina@radiology.example"


async def test_nothing_is_stored_of_it_after_the_answer(
    desk: Desk, api: httpx.AsyncClient, writer: dict[str, str], tenant: Tenant, people: Seed
) -> None:
    """Whatever the looks are at in that moment: created, mapped, or about to be recorded."""
    tenant.faults.latency = (0.0, 0.05)
    busy = [tenant.new_ticket(people.alpine, cc=f"{NINA}, p{n}@x.example") for n in range(12)]
    await want(desk, *busy)

    async def forget() -> list[str]:
        while not await rows(desk, Participant):
            await asyncio.sleep(0.01)
        answer = await api.delete(f"/admin/people/{NINA}", headers=writer)
        assert answer.status_code == 200
        return await stored()

    async def stored() -> list[str]:
        found = [one.key for one in await rows(desk, Participant)]
        return [*found, *(one.email for one in await rows(desk, Mapping))]

    forgetting = asyncio.create_task(forget())

    async def all_done() -> bool:
        return None not in {await result_of(desk, ticket) for ticket in busy}

    await work_until(desk, all_done)
    assert NINA not in await forgetting
    assert NINA not in await stored()
