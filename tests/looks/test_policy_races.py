"""What an account allows is changed while a look, or somebody's word, is under way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from app.db.states import Outcome, Result
from app.decide.policy import PolicyDocument
from app.looks.facts import gather
from app.looks.writes import Writes
from app.records import approvals, policies
from app.services import Services
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.support.helpers import changes, look_at, outcomes, people_of
from tests.support.judges import ALPINE, CARLA, NINA, OLE, Headers, Judge, say

REMOVED = "removed"


def once(act: Callable[[], Awaitable[None]]) -> Callable[..., Any]:
    """Make a `gather` after which something happens, the first time."""
    due = [act]

    async def slow(*args: Any, **rest: Any) -> Any:
        seen = await gather(*args, **rest)
        if due:
            await due.pop()()
        return seen

    return slow


async def change(services: Services, policy: dict[str, Any] | str) -> None:
    """Change what the account allows, or let it follow the default again."""
    if not isinstance(policy, str):
        await say(services, **policy)
        return
    async with services.sessions() as session, session.begin():
        assert await policies.remove(session, ALPINE)


@pytest.mark.parametrize("copied", [NINA, CARLA], ids=["create", "link"])
async def test_nothing_is_written_once_the_policy_forbids_it(
    services: Services,
    tenant: Tenant,
    people: Seed,
    server: SandboxServer,
    copied: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The look had gathered its facts before: it decides anew."""
    monkeypatch.setattr("app.looks.look.gather", once(lambda: change(services, {"preset": "off"})))
    ticket = tenant.new_ticket(people.alpine, cc=copied)

    assert await look_at(services, ticket) == Result.DONE

    assert changes(server) == []
    assert [outcome for _, outcome in (await outcomes(services, ticket)).values()] == ["ignored"]


@pytest.mark.parametrize("policy", [{"outside": "hold"}, {"denied": [NINA]}, REMOVED], ids=str)
async def test_any_change_counts(
    make_services: Callable[..., Any],
    tenant: Tenant,
    people: Seed,
    policy: dict[str, Any] | str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also that the account follows the default again, which is stricter."""
    services = await make_services(default_policy=PolicyDocument(outside="hold"))
    await say(services, outside="create")
    monkeypatch.setattr("app.looks.look.gather", once(lambda: change(services, policy)))
    ticket = tenant.new_ticket(people.alpine, cc=NINA)

    assert await look_at(services, ticket) == Result.DONE

    assert tenant.contacts_with(NINA) == []


async def test_who_comes_after_the_change_is_not_brought(
    services: Services, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done for the first stays done; the look does not go on by what it knew."""
    create = Writes.create
    created: list[str] = []

    async def slow(self: Writes, one: Any) -> int:
        if created:
            await say(services, preset="off")
        created.append(one.key)
        return await create(self, one)

    monkeypatch.setattr(Writes, "create", slow)
    ticket = tenant.new_ticket(people.alpine, cc=f"{NINA}, {OLE}")

    assert await look_at(services, ticket) == Result.DONE

    [nina] = tenant.contacts_with(NINA)
    assert tenant.linked_contacts(ticket) == [nina["id"]]
    assert tenant.contacts_with(OLE) == []
    assert (await outcomes(services, ticket))[OLE][1] == "ignored"


# --- observe mode is over ------------------------------------------------------------------------


@pytest.fixture
async def observed(services: Services, tenant: Tenant, people: Seed) -> int:
    """A ticket on which Nina is held, of an account that was observed and is live now."""
    await say(services, outside="hold", act="observe")
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, ticket) == Result.DONE
    await say(services, outside="hold", act="live")
    return ticket


@pytest.fixture
def judge(api: httpx.AsyncClient, services: Services, writer: Headers) -> Judge:
    """An admin with a key that may write."""
    return Judge(api, services, writer)


async def test_nobody_is_approved_on_an_observed_ticket(
    services: Services, observed: int, judge: Judge
) -> None:
    """Nothing would come of it: it is said why, and the word is not kept."""
    answer = await judge("approve", observed)

    assert answer.status_code == 409
    assert "first decided on in observe mode, which is for good" in answer.json()["detail"]
    nina = (await people_of(services, observed))[NINA]
    assert (nina.outcome, nina.approved_by) == (Outcome.HELD, None)


async def test_somebody_can_be_rejected_on_an_observed_ticket(
    services: Services, observed: int, judge: Judge
) -> None:
    """So that the list of those who wait for a word becomes empty."""
    assert (await judge("reject", observed)).status_code == 200
    assert await outcomes(services, observed) == {NINA: ("rejected", "ignored")}


async def test_approving_all_who_are_held_in_an_account_leaves_observed_tickets_out(
    services: Services, tenant: Tenant, people: Seed, observed: int, judge: Judge
) -> None:
    """They would come first each time, and keep the others from their turn."""
    ticket = tenant.new_ticket(people.alpine, cc=OLE)
    await look_at(services, ticket)

    came = await judge.many("approve", account=ALPINE)

    assert [one["status"] for one in came["items"]] == [200]
    assert (await people_of(services, ticket))[OLE].approved_by == "writer"
    async with services.sessions() as session:
        left = await approvals.held_in(session, ALPINE, None, 10, approved=False)
    assert left == [(await people_of(services, observed))[NINA].id]
