"""The tenant in people's hands: records, tickets, additional contacts, the seed."""

from datetime import UTC, datetime

import pytest

from sandbox.seed import VENDOR, Seed, seed
from sandbox.tenant import Tenant


@pytest.fixture
def tenant() -> Tenant:
    return Tenant(clock=lambda: datetime(2026, 11, 23, 9, 30, tzinfo=UTC))


def test_a_new_ticket_looks_like_one_from_mail(tenant: Tenant) -> None:
    """Id, number, status and the CC field are as mail processing leaves them."""
    company = tenant.add_company("Corner Bakery")

    first = tenant.new_ticket(company, cc="a@b.test, c@d.test")
    second = tenant.new_ticket(company)

    assert (first, second) == (351181, 351182)
    assert tenant.tickets[first]["ticketNumber"] == "T20261123.0001"
    assert tenant.tickets[second]["ticketNumber"] == "T20261123.0002"
    assert tenant.tickets[first]["status"] == 1
    assert tenant.tickets[first]["createDate"] == "2026-11-23T09:30:00Z"
    assert tenant.tickets[first]["userDefinedFields"] == [
        {"name": "CC", "value": "a@b.test, c@d.test"}
    ]
    assert tenant.tickets[second]["userDefinedFields"] == [{"name": "CC", "value": None}]


def test_the_cc_field_can_arrive_after_the_ticket(tenant: Tenant) -> None:
    """Updating with `cc` fills the user-defined field; completing sets the date."""
    ticket = tenant.new_ticket(tenant.add_company("Corner Bakery"))

    tenant.update_ticket(ticket, cc="late@b.test", status=5)

    assert tenant.tickets[ticket]["userDefinedFields"][0]["value"] == "late@b.test"
    assert tenant.tickets[ticket]["completedDate"] is not None


def test_a_reopened_ticket_is_not_completed_any_more(tenant: Tenant) -> None:
    """Only another status takes the date away, not just any change."""
    ticket = tenant.new_ticket(tenant.add_company("Corner Bakery"))
    tenant.update_ticket(ticket, status=5)

    tenant.update_ticket(ticket, title="Once more")
    assert tenant.tickets[ticket]["completedDate"] is not None
    tenant.update_ticket(ticket, status=8)
    assert tenant.tickets[ticket]["completedDate"] is None


def test_a_misspelt_field_is_an_error(tenant: Tenant) -> None:
    """A test cannot set a field that Autotask does not have."""
    company = tenant.add_company("Corner Bakery")

    with pytest.raises(KeyError, match="e_mail"):
        tenant.add_contact(company, None, e_mail="x")
    with pytest.raises(KeyError, match="no company 5"):
        tenant.new_ticket(5)
    with pytest.raises(KeyError, match="Status"):
        tenant.update_ticket(tenant.new_ticket(company), Status=5)


def test_a_person_links_once_and_within_the_company(tenant: Tenant, ids: Seed) -> None:
    """Linking again gives the same row; another company's contact is not offered."""
    row = tenant.link(ids.open_ticket, ids.carla)

    assert tenant.link(ids.open_ticket, ids.carla) == row
    assert tenant.linked_contacts(ids.open_ticket) == [ids.bruno, ids.carla]
    with pytest.raises(ValueError, match="another company"):
        tenant.link(ids.open_ticket, ids.jurgen)


def test_unlinking_removes_the_row(tenant: Tenant, ids: Seed) -> None:
    """What is not linked cannot be unlinked."""
    tenant.unlink(ids.open_ticket, ids.bruno)

    assert tenant.linked_contacts(ids.open_ticket) == []
    with pytest.raises(KeyError):
        tenant.unlink(ids.open_ticket, ids.bruno)


def test_deleting_a_ticket_deletes_its_rows(tenant: Tenant, ids: Seed) -> None:
    """No row is left without its ticket."""
    tenant.delete_ticket(ids.open_ticket)

    assert ids.open_ticket not in tenant.tickets
    assert tenant.links == {}


def test_contacts_are_found_by_any_address_without_case(tenant: Tenant, ids: Seed) -> None:
    """The look-up for assertions sees all three fields, in one company or in all."""
    found = [contact["id"] for contact in tenant.contacts_with("BRUNO.keller@mail.test")]

    assert found == [ids.bruno]
    assert len(tenant.contacts_with(VENDOR)) == 2
    assert len(tenant.contacts_with(VENDOR, ids.harbour)) == 1


def test_the_seed_is_the_same_every_time(tenant: Tenant, ids: Seed) -> None:
    """Two tenants get the same ids and records, and no callout waits."""
    other = Tenant(clock=tenant.clock)

    assert seed(other) == ids
    assert other.contacts == tenant.contacts
    assert (len(tenant.companies), len(tenant.resources)) == (5, 5)
    assert tenant.outbox.queues == {}


def test_the_seed_names_only_reserved_domains(tenant: Tenant, ids: Seed) -> None:
    """No real person can get a mail from the demo (RFC 2606)."""
    records = [*tenant.contacts.values(), *tenant.resources.values()]
    addresses = [
        value
        for record in records
        for name, value in record.items()
        if name.startswith("email") and isinstance(value, str) and "@" in value
    ]

    assert len(addresses) > 15
    assert all(address.lower().endswith((".example", ".test")) for address in addresses)
