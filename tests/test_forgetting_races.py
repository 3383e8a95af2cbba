"""An address is forgotten after a look has gathered its facts and before it stores anything."""

from __future__ import annotations

from typing import Any

import pytest

from app import forgetting, policies
from app.desk import Desk
from app.facts import gather
from app.models import Ledger, Mapping, Participant
from app.states import Result
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.helpers import look_at, outcomes, rows
from tests.judges import CARLA, NINA, say


@pytest.fixture
def forgotten_meanwhile(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that are forgotten once the next look has gathered its facts."""
    addresses: list[str] = []

    async def slow(*args: Any, **rest: Any) -> Any:
        seen = await gather(*args, **rest)
        async with desk.sessions() as session, session.begin():
            while addresses:
                await forgetting.forget(session, addresses.pop())
        return seen

    monkeypatch.setattr("app.look.gather", slow)
    return addresses


@pytest.mark.parametrize("looks", [0, 1], ids=["a new ticket", "held before"])
async def test_who_is_held_is_not_stored_again(
    desk: Desk, tenant: Tenant, people: Seed, forgotten_meanwhile: list[str], looks: int
) -> None:
    """The alias stands on the ticket, once, and nothing else."""
    await say(desk, outside="hold")
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    for _ in range(looks):
        assert await look_at(desk, ticket) == Result.DONE
    forgotten_meanwhile.append(NINA)

    assert await look_at(desk, ticket) == Result.DONE

    assert await outcomes(desk, ticket) == {policies.alias(NINA): ("forgotten", "ignored")}


async def test_neither_link_nor_mapping_is_made_of_somebody_known(
    desk: Desk, tenant: Tenant, people: Seed, forgotten_meanwhile: list[str]
) -> None:
    """She is ignored like anybody who was forgotten; the contact is the customer's own record."""
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    forgotten_meanwhile.append(CARLA)

    assert await look_at(desk, ticket) == Result.DONE

    assert tenant.linked_contacts(ticket) == []
    assert await rows(desk, Mapping) == []
    assert await outcomes(desk, ticket) == {policies.alias(CARLA): ("forgotten", "ignored")}


async def test_the_others_of_the_list_are_brought(
    desk: Desk, tenant: Tenant, people: Seed, forgotten_meanwhile: list[str]
) -> None:
    """The look decides anew and goes on."""
    ticket = tenant.new_ticket(people.alpine, cc=f"{NINA}, {CARLA}")
    forgotten_meanwhile.append(NINA)

    assert await look_at(desk, ticket) == Result.DONE

    assert tenant.linked_contacts(ticket) == [people.carla]
    assert await rows(desk, Ledger) == []
    assert NINA not in {row.key for row in await rows(desk, Participant)}
