"""Who is who: customers with a licence, vendors, competitors, and providers' domains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.db.states import Result
from app.services import Services
from sandbox.picklists import API_USER, CO_MANAGING
from sandbox.seed import Seed, lookalikes
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import look_at, outcomes
from tests.support.lifetimes import say

IDA = "ida@alpine-dental.example"
SAM = "sam@copier.example"


async def became(services: Services, tenant: Tenant, account: int, address: str) -> tuple[Any, ...]:
    """Copy one person on a new ticket of an account; return the reason and the outcome."""
    ticket = tenant.new_ticket(account, cc=address)
    await look_at(services, ticket)
    return (await outcomes(services, ticket))[address]


async def test_who_is_easily_taken_for_another(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """All of them on one ticket."""
    lookalikes(tenant, people)
    expected = {
        IDA: ("known", "linked"),
        "sync@alpine-dental.example": ("known", "linked"),
        SAM: ("outside", "created_and_linked"),
        "eve@clinic.example": ("outside", "created_and_linked"),
        "zoe@gmail.com": ("outside", "created_and_linked"),
        "juergen@harbour-soehne.example": ("other_client", "held"),
        "omar+x@northwind-msp.example": ("own_address", "ignored"),
        "omar.haddad+x@mail.test": ("technician", "ignored"),
        "ana.ruiz+x@alpine-dental.example": ("ticket_contact", "ignored"),
    }
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, cc=", ".join(expected))
    await look_at(services, ticket)
    assert await outcomes(services, ticket) == expected


# --- licences ------------------------------------------------------------------------------------


async def test_a_co_managing_user_is_the_customers(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """By design she is a contact of the customer and an active resource with one address."""
    tenant.add_comanaging(tenant.add_contact(people.alpine, IDA))
    assert await became(services, tenant, people.alpine, IDA) == ("known", "linked")


@pytest.mark.parametrize("licence", [CO_MANAGING, API_USER])
async def test_another_address_of_hers_does_not_make_her_staff(
    services: Services, tenant: Tenant, people: Seed, licence: int
) -> None:
    """Nor does a second licence of somebody who is a technician take that away."""
    tenant.add_contact(people.alpine, IDA, emailAddress2="it@alpine-dental.example")
    tenant.add_resource("it@alpine-dental.example", licenseType=licence, email2=IDA)
    assert await became(services, tenant, people.alpine, IDA) == ("known", "linked")
    omar = "omar.haddad@mail.test"
    tenant.add_resource(omar, licenseType=licence)
    assert await became(services, tenant, people.alpine, omar) == ("technician", "ignored")


# --- companies -----------------------------------------------------------------------------------

TYPES = {"Customer": 1, "Lead": 2, "Prospect": 3, "Dead": 4, "Cancelation": 6, "Vendor": 7}


@pytest.mark.parametrize("label", TYPES)
async def test_only_customers_are_competitors(
    services: Services, tenant: Tenant, people: Seed, label: str
) -> None:
    """The vendor of the copier is copied on a customer's ticket."""
    tenant.add_company("Copier", "www.copier.example", companyType=TYPES[label])
    held = ("other_client", "held")
    expected = held if label == "Customer" else ("outside", "created_and_linked")
    assert await became(services, tenant, people.alpine, SAM) == expected


async def test_the_label_says_who_is_a_customer(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Whatever its number is here."""
    values = [
        {"value": str(value), "label": label, "isActive": True}
        for value, label in ((1, "Vendor"), (5, "Customer"))
    ]
    tenant.told = {"Companies": {"companyType": {"picklistValues": values}}}
    tenant.add_company("Copier", "www.copier.example", companyType=1)
    tenant.add_company("Clinic", "www.clinic.example", companyType=5)
    assert (await became(services, tenant, people.alpine, SAM))[0] == "outside"
    assert (await became(services, tenant, people.alpine, "a@clinic.example"))[0] == "other_client"


@pytest.mark.parametrize("fault", ["error_500", "garbage", "error_500_errors"])
async def test_a_picklist_that_cannot_be_read_keeps_nobody_waiting(
    services: Services, tenant: Tenant, people: Seed, fault: Any
) -> None:
    """The usual number of Customer is taken."""
    tenant.faults.add(Fault(fault, path_contains="Companies/entityInformation", times=None))
    tenant.add_company("Copier", "www.copier.example", companyType=7)
    tenant.add_company("Clinic", "www.clinic.example")
    assert (await became(services, tenant, people.alpine, SAM))[0] == "outside"
    assert (await became(services, tenant, people.alpine, "a@clinic.example"))[0] == "other_client"


# --- providers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("web_address", "address"),
    [
        ("www.gmail.com", "zoe@gmail.com"),
        ("https://mail.yahoo.com/", "zoe@mail.yahoo.com"),
        ("http://home.t-online.de/home/bakery", "zoe@t-online.de"),
        ("web.de", "zoe@web.de"),
        ("onmicrosoft.com", "zoe@rival.onmicrosoft.com"),
        ("http://co.uk", "zoe@rival.co.uk"),
        ("island.example", "zoe@north.island.example"),
    ],
)
async def test_a_providers_domain_makes_nobody_a_colleague_or_a_competitor(
    make_services: Callable[..., Any],
    tenant: Tenant,
    people: Seed,
    web_address: str,
    address: str,
) -> None:
    """Whether the account itself has it as its web address, or another one."""
    services: Services = await make_services(free_mail_domains=("island.example",))
    tenant.companies[people.bakery]["webAddress"] = web_address
    for account in (people.bakery, people.alpine):
        assert (await became(services, tenant, account, address))[0] == "outside"


async def test_an_organisations_own_part_of_a_shared_domain_is_its_own(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """What Microsoft gives out below onmicrosoft.com belongs to one organisation."""
    tenant.companies[people.bakery]["webAddress"] = "bakery.onmicrosoft.com"
    address = "zoe@bakery.onmicrosoft.com"
    assert (await became(services, tenant, people.bakery, address))[0] == "inside"
    assert (await became(services, tenant, people.alpine, address))[0] == "other_client"


async def test_own_domains_may_name_a_provider(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Then a person has said so: Deutsche Telekom's own account, for instance."""
    await say(services, own_domains=["t-online.de"])
    assert (await became(services, tenant, people.alpine, "zoe@t-online.de"))[0] == "inside"


async def test_a_provider_as_our_own_web_address_makes_nobody_one_of_us(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Else the whole of gmail.com would be ignored."""
    tenant.companies[people.msp]["webAddress"] = "www.gmail.com"
    ticket = tenant.new_ticket(people.alpine, cc="zoe@gmail.com")
    assert await look_at(services, ticket) == Result.DONE
    assert (await outcomes(services, ticket))["zoe@gmail.com"][0] == "outside"
