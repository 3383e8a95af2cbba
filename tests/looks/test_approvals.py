"""People who are held and approved: what that overrides, and what it does not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, update

from app.db.database import db_now
from app.db.states import Priority, Result
from app.db.tables import Due, Participant
from app.services import Services
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import (
    changes,
    due_of,
    look_at,
    look_until_believed,
    mailbox_of,
    outcomes,
    people_of,
)
from tests.support.judges import (
    ANA,
    BRUNO,
    CARLA,
    DORA,
    NINA,
    OLE,
    Headers,
    Judge,
    held,
    next_look,
    say,
)


@pytest.fixture
def judge(api: httpx.AsyncClient, services: Services, writer: Headers) -> Judge:
    """An admin with a key that may write."""
    return Judge(api, services, writer)


Setting = tuple[str, dict[str, Any], dict[str, Any]]
HELD: dict[str, Setting] = {
    "outside": (NINA, {"preset": "guarded"}, {}),
    "inside": ("new@alpine-dental.example", {"inside": "hold"}, {}),
    "inactive": (DORA, {}, {}),
    "other_client": ("new@harbour-soehne.example", {}, {}),
    "non_ascii": ("rené@radiology.example", {}, {}),
    "over_limit": (NINA, {"max_new_per_ticket": 0}, {}),
    "over_daily_limit": (NINA, {}, {"max_new_per_sender": 0}),
}


@pytest.mark.parametrize("reason", HELD)
async def test_somebody_held_is_approved_and_brought(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed, judge: Judge, reason: str
) -> None:
    """Lines 11 to 15 give way to a person's word; the next look does it, first of all."""
    key, policy, settings = HELD[reason]
    services: Services = await make_services(**settings)
    await say(services, **policy)
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, cc=key)
    await look_at(services, ticket)
    assert await outcomes(services, ticket) == {key: (reason, "held")}

    answer = await judge("approve", ticket, key)

    assert (answer.status_code, answer.json()["outcome"]) == (200, None)
    assert answer.json()["approved_by"] == "writer"
    assert (await due_of(services, ticket)).priority == Priority.URGENT
    assert await next_look(services) == Result.DONE
    outcome = "linked" if reason == "inactive" else "created_and_linked"
    assert (await outcomes(services, ticket))[key][1] == outcome
    [contact] = tenant.contacts_with(key, people.alpine)
    assert contact["isActive"] == 1
    assert tenant.linked_contacts(ticket) == [contact["id"]]

    before = await outcomes(services, ticket)
    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == before


async def test_an_approved_address_does_not_count_for_the_sender(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """The approved neither wait for the day's limit nor use it up."""
    services: Services = await make_services(max_new_per_sender=1)
    await say(services, outside="hold")
    first = tenant.new_ticket(people.alpine, contact_id=people.ana, cc=f"{NINA}, {OLE}")
    await look_at(services, first)
    for key in (NINA, OLE):
        assert (await judge("approve", first, key)).status_code == 200
    assert await next_look(services) == Result.DONE
    assert len(tenant.linked_contacts(first)) == 2

    await say(services, outside="create")
    second = tenant.new_ticket(people.alpine, contact_id=people.ana, cc="ida@radiology.example")
    await look_at(services, second)
    found = await outcomes(services, second)
    assert found == {"ida@radiology.example": ("outside", "created_and_linked")}


async def test_one_of_an_automatic_mail_is_approved(
    make_services: Callable[..., Any],
    tenant: Tenant,
    people: Seed,
    server: SandboxServer,
    judge: Judge,
) -> None:
    """The others of the mail stay held."""
    services: Services = await make_services(cc_sources=("mailbox",), **mailbox_of(server))
    headers = {"Auto-Submitted": "auto-replied"}
    ticket = tenant.receive_mail(
        people.alpine, sender=ANA, subject="Out of office", cc=[CARLA, NINA], headers=headers
    )
    await look_at(services, ticket)

    assert (await judge("approve", ticket, CARLA)).status_code == 200

    assert await next_look(services) == Result.DONE
    assert await outcomes(services, ticket) == {
        CARLA: ("known", "linked"),
        NINA: ("automatic_mail", "held"),
    }


async def test_somebody_far_down_the_list_is_looked_up_when_approved(
    services: Services, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """After the hundredth address only approved ones are looked up."""
    strangers = [f"s{n}@radiology.example" for n in range(100)]
    ticket = await held(services, tenant, ", ".join([*strangers, BRUNO]))
    assert (await outcomes(services, ticket))[BRUNO] == ("over_limit", "held")

    assert (await judge("approve", ticket, BRUNO)).status_code == 200

    await next_look(services)
    assert (await outcomes(services, ticket))[BRUNO] == ("known", "linked")
    assert tenant.linked_contacts(ticket) == [people.bruno]


async def test_a_full_ticket_holds_even_who_was_approved(
    services: Services, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """Autotask's thirty are no policy; once it is seen that there is room, they are brought."""
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    others = [tenant.add_contact(people.alpine, f"p{n}@x.example") for n in range(30)]
    for contact in others:
        tenant.link(ticket, contact)
    await look_at(services, ticket)

    assert (await judge("approve", ticket)).status_code == 200
    await next_look(services)
    assert await outcomes(services, ticket) == {NINA: ("over_limit", "held")}

    tenant.unlink(ticket, others[0])
    await look_until_believed(services, ticket)
    assert (await outcomes(services, ticket))[NINA] == ("outside", "created_and_linked")


async def test_an_approval_does_not_wait_for_somebody_elses_retry(
    services: Services, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """The ticket is due in hours, for another person: the approved one is brought now."""
    tenant.faults.add(
        Fault("error_500_errors", "POST", path_contains="AdditionalContacts", times=2, text="No.")
    )
    ticket = await held(services, tenant, f"{CARLA}, {NINA}")
    async with services.sessions() as session, session.begin():
        later = func.now() + timedelta(hours=5)
        waits = update(Participant).where(Participant.key == CARLA, Participant.failures == 1)
        await session.execute(waits.values(retry_at=later))
        await session.execute(update(Due).values(due_at=later))
        now = await db_now(session)

    assert (await judge("approve", ticket)).status_code == 200
    assert await next_look(services) is None

    assert await outcomes(services, ticket) == {
        CARLA: ("known", None),
        NINA: ("outside", "created_and_linked"),
    }
    due = (await due_of(services, ticket)).due_at
    assert due
    assert due > now + timedelta(hours=4)


async def test_what_stands_above_the_policy_is_not_overridden(
    services: Services, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """Approved, and denied or switched off before the look: ignored, with the reason."""
    for policy, reason in (({"denied": [NINA]}, "denied"), ({"preset": "off"}, "policy_off")):
        ticket = await held(services, tenant)
        assert (await judge("approve", ticket)).status_code == 200
        await say(services, **policy)
        assert await next_look(services) == Result.DONE
        assert await outcomes(services, ticket) == {NINA: (reason, "ignored")}
        assert (await people_of(services, ticket))[NINA].approved_by == "writer"
    assert tenant.contacts_with(NINA) == []


async def test_nobody_is_approved_on_a_ticket_that_is_only_observed(
    services: Services, server: SandboxServer, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """It would never be acted on: observed is for good."""
    await say(services, preset="guarded", act="observe")
    ticket = tenant.new_ticket(people.alpine, cc=f"{NINA}, {DORA}")
    await look_at(services, ticket)
    before = await outcomes(services, ticket)
    for key in (NINA, DORA):
        answer = await judge("approve", ticket, key)
        assert answer.status_code == 409
        assert "observe mode" in answer.text

    assert await outcomes(services, ticket) == before
    assert changes(server) == []
