"""Whose note it is: a co-managing user's is a customer's, though a resource wrote it."""

from __future__ import annotations

from typing import Any

import pytest

from app.services import Services
from sandbox.model import COMPLETE
from sandbox.picklists import API_USER, CO_MANAGING
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.looks.test_merges import BRUNO, CARLA, decided
from tests.support.helpers import outcomes
from tests.support.lifetimes import follow_up


@pytest.mark.parametrize(
    ("writer", "believed"),
    [
        pytest.param({"licenseType": 1}, True, id="an administrator"),
        pytest.param({"licenseType": None}, True, id="a licence that is not shown"),
        pytest.param({"licenseType": 8, "active": False}, True, id="a contractor who has left"),
        pytest.param({"licenseType": CO_MANAGING}, False, id="a customer's own person"),
        pytest.param({"licenseType": CO_MANAGING, "active": False}, False, id="one who has left"),
        pytest.param({"licenseType": API_USER}, False, id="an API user"),
        pytest.param(None, True, id="a resource that the API does not show"),
    ],
)
async def test_whose_word_a_merge_is(
    services: Services, tenant: Tenant, people: Seed, writer: dict[str, Any] | None, believed: bool
) -> None:
    """The notes of a merge count if a technician wrote them, whatever a customer can write."""
    creator = (
        4 if writer is None else tenant.add_resource("someone@alpine-dental.example", **writer)
    )
    source = await decided(services, tenant, people.alpine, CARLA)
    into = await decided(services, tenant, people.alpine, BRUNO)
    numbers = {one: tenant.tickets[one]["ticketNumber"] for one in (source, into)}
    for ticket, title, text in (
        (source, "Ticket Merge", f"This ticket was merged into the ticket {numbers[into]}."),
        (into, f"Absorbed Ticket Description [{numbers[source]}]", "It hums."),
    ):
        tenant.add_note(ticket, title, text, creatorResourceID=creator)
    tenant.update_ticket(source, status=COMPLETE)
    await follow_up(services)
    assert (CARLA in await outcomes(services, into)) is believed


async def test_a_customers_numbers_do_not_hide_the_real_one(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Only the last numbers are looked up: those that a customer wrote are not among them."""
    source = await decided(services, tenant, people.alpine, CARLA)
    into = await decided(services, tenant, people.alpine, BRUNO)
    tenant.merge_tickets(source, into)
    customer = tenant.add_comanaging(people.ana)
    many = " ".join(f"T20200101.{number:04}" for number in range(1, 9))
    tenant.add_note(source, "See also", many, creatorResourceID=customer)
    await follow_up(services)
    assert CARLA in await outcomes(services, into)


async def test_a_customers_word_does_not_make_a_technicians_number_a_merge(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A technician names the other ticket, and a customer writes the other note's title."""
    source = await decided(services, tenant, people.alpine, CARLA)
    into = await decided(services, tenant, people.alpine, BRUNO)
    numbers = {one: tenant.tickets[one]["ticketNumber"] for one in (source, into)}
    tenant.add_note(source, "See also", f"The same as {numbers[into]}?")
    customer = tenant.add_comanaging(people.ana)
    title = f"Absorbed Ticket Description [{numbers[source]}]"
    tenant.add_note(into, title, "It hums.", creatorResourceID=customer)
    tenant.update_ticket(source, status=COMPLETE)
    await follow_up(services)
    assert CARLA not in await outcomes(services, into)
