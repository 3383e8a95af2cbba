"""Forgetting an address while tickets that name it are worked on: nothing of it stays."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from app.db.states import Result
from app.db.tables import Ledger, Mapping, Participant
from app.looks.facts import gather
from app.records import forgetting, forgotten
from app.services import Services
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.conftest import work_until
from tests.support.helpers import look_at, outcomes, result_of, rows, want
from tests.support.judges import CARLA, say

NINA = "nina@radiology.example"


async def test_nothing_is_stored_of_it_after_the_answer(
    services: Services, api: httpx.AsyncClient, writer: dict[str, str], tenant: Tenant, people: Seed
) -> None:
    """Whatever the looks are at in that moment: created, mapped, or about to be recorded."""
    tenant.faults.latency = (0.0, 0.05)
    busy = [tenant.new_ticket(people.alpine, cc=f"{NINA}, p{n}@x.example") for n in range(12)]
    await want(services, *busy)

    async def forget() -> list[str]:
        while not await rows(services, Participant):
            await asyncio.sleep(0.01)
        answer = await api.delete(f"/admin/people/{NINA}", headers=writer)
        assert answer.status_code == 200
        return await stored()

    async def stored() -> list[str]:
        found = [one.key for one in await rows(services, Participant)]
        return [*found, *(one.email for one in await rows(services, Mapping))]

    forgetting = asyncio.create_task(forget())

    async def all_done() -> bool:
        return None not in {await result_of(services, ticket) for ticket in busy}

    await work_until(services, all_done)
    assert NINA not in await forgetting
    assert NINA not in await stored()


@pytest.fixture
def forgotten_meanwhile(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that are forgotten once the next look has gathered its facts."""
    addresses: list[str] = []

    async def slow(*args: Any, **rest: Any) -> Any:
        seen = await gather(*args, **rest)
        async with services.sessions() as session, session.begin():
            while addresses:
                await forgetting.forget(session, addresses.pop())
        return seen

    monkeypatch.setattr("app.looks.look.gather", slow)
    return addresses


@pytest.mark.parametrize("looks", [0, 1], ids=["a new ticket", "held before"])
async def test_who_is_held_is_not_stored_again(
    services: Services, tenant: Tenant, people: Seed, forgotten_meanwhile: list[str], looks: int
) -> None:
    """The alias stands on the ticket, once, and nothing else."""
    await say(services, outside="hold")
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    for _ in range(looks):
        assert await look_at(services, ticket) == Result.DONE
    forgotten_meanwhile.append(NINA)

    assert await look_at(services, ticket) == Result.DONE

    assert await outcomes(services, ticket) == {forgotten.alias(NINA): ("forgotten", "ignored")}


async def test_neither_link_nor_mapping_is_made_of_somebody_known(
    services: Services, tenant: Tenant, people: Seed, forgotten_meanwhile: list[str]
) -> None:
    """She is ignored like anybody who was forgotten; the contact is the customer's own record."""
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    forgotten_meanwhile.append(CARLA)

    assert await look_at(services, ticket) == Result.DONE

    assert tenant.linked_contacts(ticket) == []
    assert await rows(services, Mapping) == []
    assert await outcomes(services, ticket) == {forgotten.alias(CARLA): ("forgotten", "ignored")}


async def test_the_others_of_the_list_are_brought(
    services: Services, tenant: Tenant, people: Seed, forgotten_meanwhile: list[str]
) -> None:
    """The look decides anew and goes on."""
    ticket = tenant.new_ticket(people.alpine, cc=f"{NINA}, {CARLA}")
    forgotten_meanwhile.append(NINA)

    assert await look_at(services, ticket) == Result.DONE

    assert tenant.linked_contacts(ticket) == [people.carla]
    assert await rows(services, Ledger) == []
    assert NINA not in {row.key for row in await rows(services, Participant)}
