"""What makes a contact that we created a person's, so that it is left alone for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.db.states import LedgerState
from app.services import Services
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.support.clock import Clock
from tests.support.helpers import changes, look_at
from tests.support.lifetimes import (
    NINA,
    TICKET,
    complete,
    contact,
    end,
    ledger_of,
    nina_of_a_ticket,
    say,
    stands,
    ticket_of,
)


@pytest.fixture
async def nina(clock: Clock, services: Services, tenant: Tenant, people: Seed) -> int:
    """A contact that we created for a ticket only, with a grace of a week."""
    return await nina_of_a_ticket(services, tenant, grace_days=7)


def rename(tenant: Tenant, people: Seed, nina: int) -> None:
    tenant.change_contact(nina, lastName="Other")


def second_address(tenant: Tenant, people: Seed, nina: int) -> None:
    tenant.change_contact(nina, emailAddress2="n@x.example")


def other_address(tenant: Tenant, people: Seed, nina: int) -> None:
    tenant.change_contact(nina, emailAddress="nina.osei@radiology.example")


def primary(tenant: Tenant, people: Seed, nina: int) -> None:
    tenant.change_contact(nina, primaryContact=True)


def deactivate(tenant: Tenant, people: Seed, nina: int) -> None:
    tenant.change_contact(nina, isActive=0)


def own_ticket(tenant: Tenant, people: Seed, nina: int) -> None:
    tenant.new_ticket(people.alpine, contact_id=nina, callout=False)


def by_hand(tenant: Tenant, people: Seed, nina: int) -> None:
    tenant.link(tenant.new_ticket(people.alpine, callout=False), nina)


def on_again(tenant: Tenant, people: Seed, nina: int) -> None:
    ticket = ticket_of(tenant, nina)
    tenant.unlink(ticket, nina)
    tenant.link(ticket, nina)


def portal(tenant: Tenant, people: Seed, nina: int) -> None:
    tenant.activate_portal(nina)


@pytest.mark.parametrize(
    ("touch", "why"),
    [
        (rename, "a person changed lastName"),
        (second_address, "a person changed emailAddress2"),
        (other_address, "a person changed emailAddress"),
        (primary, "a person changed primaryContact"),
        (deactivate, "a person deactivated it"),
        (own_ticket, "it is the contact of ticket"),
        (by_hand, "a person put it on ticket"),
        (on_again, "a person put it on ticket"),
        (portal, "it can use the client portal"),
    ],
)
async def test_what_a_person_has_touched_is_left_alone_for_ever(
    services: Services,
    tenant: Tenant,
    people: Seed,
    clock: Clock,
    nina: int,
    server: SandboxServer,
    touch: Callable[[Tenant, Seed, int], None],
    why: str,
) -> None:
    """Nothing of it is changed, nor is it taken off; why is said; it is not asked about again."""
    ticket = ticket_of(tenant, nina)
    await complete(services, tenant, ticket)
    touch(tenant, people, nina)
    before, links = dict(contact(tenant, nina)), sorted(tenant.links)
    tenant.forget_calls()
    clock.advance(days=8)
    await end(services)
    assert changes(server) == []
    assert contact(tenant, nina) == before
    assert sorted(tenant.links) == links
    kept = await ledger_of(services, nina)
    assert (kept.state, (kept.kept or "").startswith(why)) == (LedgerState.CREATED, True)
    tenant.forget_calls()
    clock.advance(days=400)
    await end(services)
    assert tenant.calls == []


async def test_whom_an_admin_mapped_is_kept(
    services: Services, tenant: Tenant, people: Seed, clock: Clock, nina: int, api: Any, writer: Any
) -> None:
    """An address that a person says means this contact is a person's word."""
    path = f"/admin/accounts/{people.alpine}/contacts/boss@radiology.example"
    answer = await api.put(path, headers=writer, json={"contact_id": nina})
    assert answer.status_code == 200, answer.text
    await complete(services, tenant, ticket_of(tenant, nina))
    clock.advance(days=8)
    await end(services)
    assert (await ledger_of(services, nina)).kept == "a person mapped an address to it"
    assert stands(contact(tenant, nina)) == (1, NINA)


async def test_a_user_defined_field_that_a_person_filled_keeps_it(
    services: Services, tenant: Tenant, people: Seed, clock: Clock
) -> None:
    """One that we never wrote."""
    tenant.udfs["Contacts"] = ["Tier"]
    await say(services, lifetime=TICKET)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, ticket)
    [made] = tenant.contacts_with(NINA)
    made["userDefinedFields"][0]["value"] = "Gold"
    await complete(services, tenant, ticket)
    clock.advance(days=8)
    await end(services)
    assert (await ledger_of(services, made["id"])).kept == "a person changed Tier"
