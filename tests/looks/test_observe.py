"""Observe mode: what would be done is decided and recorded, and nothing is written to Autotask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.db.states import Result
from app.db.tables import TicketRecord
from app.decide.policy import PolicyDocument
from app.records import policies
from app.services import Services
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.support.helpers import changes, look_at, outcomes, rows

CARLA = "carla.mendes@alpine-dental.example"
DORA = "dora.lind@alpine-dental.example"
BRUNO = "bruno.keller@alpine-dental.example"
NINA = "nina@radiology.example"
Headers = dict[str, str]


async def say(services: Services, account_id: int, **fields: Any) -> None:
    """Give an account a policy."""
    async with services.sessions() as session, session.begin():
        await policies.store(session, account_id, PolicyDocument(**fields), "test")


async def observed(services: Services, ticket: int) -> bool:
    """Tell whether a ticket stays observed."""
    return {row.id: bool(row.observed) for row in await rows(services, TicketRecord)}[ticket]


@pytest.mark.parametrize("of", ["tenant", "account"])
async def test_nothing_is_written_and_everything_is_recorded(
    services: Services,
    make_services: Callable[..., Any],
    tenant: Tenant,
    people: Seed,
    server: SandboxServer,
    of: str,
) -> None:
    """For all accounts by DEFAULT_POLICY, or for one; who is on the ticket anyway is said so."""
    asked: dict[str, Any] = {"act": "observe", "inactive": "reactivate"}
    if of == "tenant":
        notes = {"ticket_note": "internal", "ticket_note_publish": 1}
        services = await make_services(default_policy=PolicyDocument(**asked), **notes)
    else:
        await say(services, people.alpine, **asked)
    machine = "noreply@radiology.example"
    ticket = tenant.new_ticket(people.alpine, cc=f"{CARLA}, {DORA}, {BRUNO}, {NINA}, {machine}")
    tenant.link(ticket, people.bruno)

    assert await look_at(services, ticket) == Result.DONE

    assert await outcomes(services, ticket) == {
        CARLA: ("known", "would_link"),
        DORA: ("inactive", "would_link"),
        BRUNO: ("already_linked", "already_linked"),
        NINA: ("outside", "would_create"),
        machine: ("machine", "ignored"),
    }
    assert changes(server) == []
    assert await observed(services, ticket)


async def test_one_accounts_observing_is_not_anothers(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The others are live."""
    await say(services, people.alpine, act="observe")
    ticket = tenant.new_ticket(people.harbour, cc=NINA)
    await look_at(services, ticket)
    assert await outcomes(services, ticket) == {NINA: ("outside", "created_and_linked")}


async def test_an_account_goes_live_before_the_tenant(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed
) -> None:
    """Its own word beats the default's."""
    services = await make_services(default_policy=PolicyDocument(act="observe"))
    await say(services, people.alpine, act="live")
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, ticket)
    assert await outcomes(services, ticket) == {NINA: ("outside", "created_and_linked")}


async def test_going_live_acts_on_new_tickets_only(
    api: httpx.AsyncClient,
    services: Services,
    tenant: Tenant,
    people: Seed,
    server: SandboxServer,
    writer: Headers,
) -> None:
    """What was observed stays so: also when a person asks, and for people who come later."""
    await say(services, people.alpine, act="observe")
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    await look_at(services, ticket)
    await say(services, people.alpine, act="live")

    await api.post(f"/admin/tickets/{ticket}/process", headers=writer)
    tenant.update_ticket(ticket, cc=f"{CARLA}, {NINA}")
    await look_at(services, ticket)

    assert await outcomes(services, ticket) == {
        CARLA: ("known", "would_link"),
        NINA: ("outside", "would_create"),
    }
    assert changes(server) == []
    new = tenant.new_ticket(people.alpine, cc=CARLA)
    await look_at(services, new)
    assert await outcomes(services, new) == {CARLA: ("known", "linked")}


async def test_somebody_a_technician_adds_meanwhile_is_on_the_ticket(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The record follows what is so."""
    await say(services, people.alpine, act="observe")
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    await look_at(services, ticket)
    tenant.link(ticket, people.carla)
    await look_at(services, ticket)
    assert await outcomes(services, ticket) == {CARLA: ("already_linked", "already_linked")}


async def test_a_ticket_from_before_observe_mode_goes_on_after_it(
    services: Services,
    make_services: Callable[..., Any],
    tenant: Tenant,
    people: Seed,
    server: SandboxServer,
) -> None:
    """It was live first, so only what comes in between is observed; no note either, meanwhile."""
    notes = {"ticket_note": "internal", "ticket_note_publish": 1}
    services = await make_services(**notes)
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    await look_at(services, ticket)
    written = changes(server)
    await say(services, people.alpine, act="observe", outside="hold")
    tenant.update_ticket(ticket, cc=f"{CARLA}, {NINA}")
    await look_at(services, ticket)
    assert (await outcomes(services, ticket))[NINA] == ("outside", "held")
    tenant.update_ticket(ticket, cc=f"{CARLA}, new@alpine-dental.example, {NINA}")
    await look_at(services, ticket)
    assert (await outcomes(services, ticket))["new@alpine-dental.example"] == (
        "inside",
        "would_create",
    )
    assert (changes(server), await observed(services, ticket)) == (written, False)

    await say(services, people.alpine, act="live")
    await look_at(services, ticket)

    assert await outcomes(services, ticket) == {
        CARLA: ("known", "linked"),
        "new@alpine-dental.example": ("inside", "created_and_linked"),
        NINA: ("outside", "created_and_linked"),
    }
