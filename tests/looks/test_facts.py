"""A mapping that is not true any more: whose contact it names is read where that may do harm."""

from __future__ import annotations

from typing import Any

import pytest

from app.db.states import Origin
from app.db.tables import Mapping
from app.records import mappings
from app.services import Services
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.support.helpers import look_at, look_until_believed, outcomes, rows

KIM = "kim@elsewhere.example"


async def mapped(services: Services, account: int, contact: int, origin: Origin) -> None:
    """Say that an address means a contact in an account, as if it had just been seen."""
    async with services.sessions() as session, session.begin():
        await mappings.remember(session, account, {KIM: contact}, origin)


def contact_queries(tenant: Tenant) -> int:
    """Count the queries for contacts since the last call of this."""
    count = sum(call.path.endswith("/Contacts/query") for call in tenant.calls)
    tenant.calls.clear()
    return count


@pytest.mark.parametrize("origin", [Origin.FOUND, Origin.MANUAL])
@pytest.mark.parametrize("accepted", ["accepted", "refused"])
@pytest.mark.parametrize(
    ("account", "whose"),
    [
        ("alpine_west", "alpine"),
        ("alpine", "alpine_west"),
        ("annex", "alpine"),
        ("annex", "alpine_west"),
    ],
    ids=["of the parent", "of a child", "of the parent's parent", "of a company above"],
)
async def test_a_relatives_contact_is_never_linked(
    services: Services,
    tenant: Tenant,
    people: Seed,
    account: str,
    whose: str,
    accepted: Any,
    origin: Origin,
) -> None:
    """Whether or not Autotask would refuse it; the mapping is mended, and one is created here."""
    tenant.switches.parent_company_contact = accepted
    ids = {"alpine": people.alpine, "alpine_west": people.alpine_west}
    ids["annex"] = tenant.add_company("Annex", parent=people.alpine_west)
    theirs = tenant.add_contact(ids[whose], KIM)
    await mapped(services, ids[account], theirs, origin)
    ticket = tenant.new_ticket(ids[account], cc=KIM)
    await look_at(services, ticket)
    [ours] = [one["id"] for one in tenant.contacts_with(KIM, ids[account])]
    assert tenant.linked_contacts(ticket) == [ours]
    links = [call for call in tenant.calls if call.path.endswith("/AdditionalContacts")]
    assert [call.body for call in links if call.method == "POST"] == [
        {"id": 0, "ticketID": ticket, "contactID": ours}
    ]
    [row] = [row for row in await rows(services, Mapping) if row.email == KIM]
    assert (row.account_id, row.contact_id) == (ids[account], ours)


async def test_what_is_on_the_ticket_already_is_not_read_again(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A look at a ticket that has its people costs what it did."""
    kim = tenant.add_contact(people.alpine_west, KIM)
    ticket = tenant.new_ticket(people.alpine_west, cc=KIM)
    await look_at(services, ticket)
    assert (contact_queries(tenant), tenant.linked_contacts(ticket)) == (1, [kim])
    await look_at(services, ticket)
    assert contact_queries(tenant) == 0


async def test_elsewhere_the_records_suffice(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """An account without relatives: no query for a contact that was seen within the hour."""
    kim = tenant.add_contact(people.harbour, KIM)
    await mapped(services, people.harbour, kim, Origin.FOUND)
    ticket = tenant.new_ticket(people.harbour, cc=KIM)
    await look_at(services, ticket)
    assert (contact_queries(tenant), tenant.linked_contacts(ticket)) == (0, [kim])


@pytest.mark.parametrize("origin", [Origin.FOUND, Origin.MANUAL])
@pytest.mark.parametrize("gone", ["another company's", "deleted", "inactive"])
async def test_elsewhere_a_refusal_mends_the_mapping(
    services: Services, tenant: Tenant, people: Seed, gone: str, origin: Origin
) -> None:
    """Autotask refuses the contact, it is read, and the address means another one from then on."""
    account = people.bakery if gone == "another company's" else people.harbour
    old = tenant.add_contact(people.harbour, KIM)
    await mapped(services, account, old, origin)
    if gone == "deleted":
        del tenant.contacts[old]
    elif gone == "inactive":
        tenant.change_contact(old, isActive=0)
    ticket = tenant.new_ticket(account, cc=KIM)
    await look_until_believed(services, ticket)
    if gone == "inactive":
        assert await outcomes(services, ticket) == {KIM: ("inactive", "held")}
        return
    [ours] = [one["id"] for one in tenant.contacts_with(KIM, account)]
    assert tenant.linked_contacts(ticket) == [ours]
    [row] = [row for row in await rows(services, Mapping) if row.account_id == account]
    assert row.contact_id == ours
