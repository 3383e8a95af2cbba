"""Policies at work: tickets looked at against the sandbox, with policies stored for the account."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest

from app.db.tables import Ledger
from app.decide.policy import PolicyDocument
from app.due import work
from app.looks.look import look
from app.records import policies
from app.services import Services
from app.settings.environment import load_settings
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import look_at, look_until_believed, outcomes, people_of, rows, want

CARLA = "carla.mendes@alpine-dental.example"
DORA = "dora.lind@alpine-dental.example"  # inactive
NEW = "new@alpine-dental.example"  # in the account's own domain
NINA = "nina@radiology.example"
OTHER = "someone@harbour-soehne.example"  # in another customer's domain
MUTED = "frontdesk@alpine-dental.example"
EVERYBODY = f"{CARLA}, {DORA}, {NEW}, {NINA}, {OTHER}"

MakeServices = Callable[..., Awaitable[Services]]


async def allow(services: Services, account_id: int, **fields: Any) -> None:
    """Store an account's policy."""
    document = PolicyDocument.model_validate(fields)
    async with services.sessions() as session, session.begin():
        await policies.store(session, account_id, document, "test")


PRESETS = {
    "open": ["linked", "held", "created_and_linked", "created_and_linked", "held"],
    "guarded": ["linked", "held", "created_and_linked", "held", "held"],
    "known_only": ["linked", "held", "ignored", "ignored", "ignored"],
    "off": ["ignored"] * 5,
}


@pytest.mark.parametrize("preset", PRESETS)
async def test_each_preset_on_a_ticket(
    services: Services, tenant: Tenant, people: Seed, preset: str
) -> None:
    """A known person, an inactive one, a colleague, a stranger and another customer's."""
    await allow(services, people.alpine, preset=preset)
    ticket = tenant.new_ticket(people.alpine, cc=EVERYBODY)
    await look_at(services, ticket)
    came = await outcomes(services, ticket)
    assert [came[key.strip()][1] for key in EVERYBODY.split(",")] == PRESETS[preset]
    on_ticket = sum(one in ("linked", "created_and_linked") for one in PRESETS[preset])
    assert len(tenant.linked_contacts(ticket)) == on_ticket


@pytest.mark.parametrize(
    ("field", "key", "reason"),
    [("inside", NEW, "inside"), ("outside", NINA, "outside"), ("other_client", OTHER, None)],
)
@pytest.mark.parametrize(
    ("act", "outcome"),
    [("create", "created_and_linked"), ("hold", "held"), ("ignore", "ignored")],
)
async def test_each_act_on_a_ticket(
    services: Services,
    tenant: Tenant,
    people: Seed,
    field: str,
    key: str,
    reason: str | None,
    act: str,
    outcome: str,
) -> None:
    """Lines 12 to 14, each as the account's policy says; the contact is made in this account."""
    await allow(services, people.alpine, **{field: act})
    ticket = tenant.new_ticket(people.alpine, cc=key)
    await look_at(services, ticket)
    assert await outcomes(services, ticket) == {key: (reason or field, outcome)}
    assert len(tenant.contacts_with(key, people.alpine)) == (act == "create")


async def test_the_default_policy_holds_where_an_account_says_nothing(
    make_services: MakeServices, environ: dict[str, str], tenant: Tenant, people: Seed
) -> None:
    """And an account that says something has it its own way."""
    default = load_settings(environ | {"DEFAULT_POLICY": "guarded"}).default_policy
    services = await make_services(default_policy=default)
    await allow(services, people.harbour, outside="create")
    guarded = tenant.new_ticket(people.alpine, cc=NINA)
    opened = tenant.new_ticket(people.harbour, cc=NINA)
    await look_at(services, guarded)
    await look_at(services, opened)
    assert await outcomes(services, guarded) == {NINA: ("outside", "held")}
    assert await outcomes(services, opened) == {NINA: ("outside", "created_and_linked")}


# --- inactive and muted contacts -----------------------------------------------------------------


async def test_an_inactive_contact_is_activated_and_linked(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Where the policy says so; nobody is created beside it, and the next look has nothing to do"""
    await allow(services, people.alpine, inactive="reactivate")
    ticket = tenant.new_ticket(people.alpine, cc=DORA)
    for _ in range(2):
        await look_at(services, ticket)
        assert tenant.contacts[people.dora]["isActive"] == 1
        assert tenant.linked_contacts(ticket) == [people.dora]
        assert await outcomes(services, ticket) == {DORA: ("inactive", "linked")}
    assert len(tenant.contacts_with(DORA)) == 1


async def test_an_activation_that_is_refused_is_that_persons_alone(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """It is tried again later; the others are on the ticket, and she is not linked."""
    await allow(services, people.alpine, inactive="reactivate")
    refusal = Fault("error_500_errors", method="PATCH", text="No.", times=None)
    tenant.faults.add(refusal)
    ticket = tenant.new_ticket(people.alpine, cc=f"{DORA}, {CARLA}")
    await look_at(services, ticket)
    assert tenant.linked_contacts(ticket) == [people.carla]
    row = (await people_of(services, ticket))[DORA]
    assert (row.outcome, row.failures, row.detail) == (None, 1, "PATCH Contacts: No.")
    assert row.retry_at


@pytest.mark.parametrize("kind", ["reset_before", "reset_after"])
async def test_an_activation_without_an_answer_is_looked_up(
    services: Services, tenant: Tenant, people: Seed, kind: Literal["reset_before", "reset_after"]
) -> None:
    """Whether it took effect or not, the contact is active and linked once in the end."""
    await allow(services, people.alpine, inactive="reactivate")
    tenant.faults.add(Fault(kind, method="PATCH"))
    ticket = tenant.new_ticket(people.alpine, cc=DORA)
    assert await look_at(services, ticket) is None
    assert tenant.linked_contacts(ticket) == []

    await look_at(services, ticket)

    assert tenant.contacts[people.dora]["isActive"] == 1
    assert tenant.linked_contacts(ticket) == [people.dora]


async def test_a_muted_contact_is_linked_and_shown_as_muted(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Also when a mapping is fresh and Autotask is not asked for the contact."""
    muted = tenant.add_contact(people.harbour, MUTED, receivesEmailNotifications=False)
    first, second = (tenant.new_ticket(people.harbour, cc=MUTED) for _ in range(2))
    await look_at(services, first)
    tenant.calls.clear()
    await look_at(services, second)
    assert not [call for call in tenant.calls if call.entity == "Contacts"]
    for ticket in (first, second):
        assert tenant.linked_contacts(ticket) == [muted]
        assert (await people_of(services, ticket))[MUTED].muted is True


async def test_a_contact_of_the_parent_company_stays_the_tickets_contact(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Ana of Alpine opens a ticket of Alpine West and copies herself: not created in West."""
    ana = "ana.ruiz@alpine-dental.example"
    ticket = tenant.new_ticket(people.alpine_west, contact_id=people.ana, cc=ana)
    await look_at(services, ticket)
    assert await outcomes(services, ticket) == {ana: ("ticket_contact", "ignored")}
    assert len(tenant.contacts_with(ana)) == 1


async def test_a_link_by_autotask_itself_that_a_person_took_off_stays_off(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Line 8 holds for each contact that was seen on the ticket, linked by us or not."""
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    tenant.link(ticket, people.carla)
    await look_at(services, ticket)
    tenant.unlink(ticket, people.carla)
    await look_until_believed(services, ticket)
    assert await outcomes(services, ticket) == {CARLA: ("removed_by_person", "ignored")}
    assert tenant.linked_contacts(ticket) == []


async def test_other_customers_domains_are_asked_for_once_a_day(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """No call per ticket."""
    for account in (people.alpine, people.harbour, people.alpine):
        await look_at(services, tenant.new_ticket(account, cc=NINA))
    asked = [call for call in tenant.calls if call.path.endswith("/Companies/query")]
    assert len(asked) == 1


# --- caps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["max_new_per_sender", "max_new_per_day"])
async def test_outside_people_above_the_days_limit_are_held(
    make_services: MakeServices, tenant: Tenant, people: Seed, limit: str
) -> None:
    """Over tickets, too; people of the account's own domain do not count."""
    services = await make_services(**{limit: 2})
    first, second = (
        tenant.new_ticket(
            people.alpine,
            contact_id=people.ana,
            cc=f"a{n}@x.example, b{n}@x.example, new{n}@alpine-dental.example",
        )
        for n in range(2)
    )
    await look_at(services, first)
    await look_at(services, second)
    assert len(tenant.linked_contacts(first)) == 3
    assert await outcomes(services, second) == {
        "a1@x.example": ("over_daily_limit", "held"),
        "b1@x.example": ("over_daily_limit", "held"),
        "new1@alpine-dental.example": ("inside", "created_and_linked"),
    }


async def test_another_sender_has_a_count_of_its_own(
    make_services: MakeServices, tenant: Tenant, people: Seed
) -> None:
    """What one sender used up is not taken from the next."""
    services = await make_services(max_new_per_sender=1)
    for contact, key in ((people.ana, "a@x.example"), (people.bruno, "b@x.example")):
        ticket = tenant.new_ticket(people.alpine, contact_id=contact, cc=key)
        await look_at(services, ticket)
        assert await outcomes(services, ticket) == {key: ("outside", "created_and_linked")}


async def test_two_looks_at_once_do_not_pass_the_days_limit(
    make_services: MakeServices, tenant: Tenant, people: Seed
) -> None:
    """Both read that one is left; only one of the two processes creates."""
    all_services = [await make_services(max_new_per_day=3) for _ in range(2)]
    ids = [
        tenant.new_ticket(people.alpine, cc=", ".join(f"p{t}{n}@x.example" for n in range(3)))
        for t in range(2)
    ]
    await want(all_services[0], *ids)
    async with all_services[0].sessions() as session, session.begin():
        leases = await work.claim(session, work.TICKET, "test", 2)
    await asyncio.gather(
        *(look(services, one) for services, one in zip(all_services, leases, strict=True))
    )
    assert len(await rows(all_services[0], Ledger)) == 3
    assert sum(len(tenant.linked_contacts(ticket)) for ticket in ids) == 3
