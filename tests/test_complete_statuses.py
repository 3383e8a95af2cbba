"""Which statuses end a ticket: read from the picklist, and set by label or id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.autotask.models import Choice
from app.desk import Desk
from app.directory import which_end
from app.doctor import Finding, State, examine
from app.models import TicketRecord
from app.settings import Settings
from app.states import Result
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.helpers import look_at, people_of, rows
from tests.lifetimes import NINA, TICKET, follow_up, say

CHOICES = [
    Choice(value=value, label=label, isActive=value != 9)
    for value, label in ((1, "New"), (5, "Complete"), (8, "In Progress"), (9, "Closed"), (12, "ok"))
]


@pytest.mark.parametrize(
    ("named", "ends", "unknown"),
    [
        ((), {5}, []),
        (("Closed",), {5, 9}, []),
        ((" closed ", "12"), {5, 9, 12}, []),
        (("Gone", "77"), {5}, ["Gone", "77"]),
    ],
)
def test_labels_and_ids_are_found(named: tuple[str, ...], ends: set[int], unknown: Any) -> None:
    """In any casing, inactive ones too, as old tickets have them; Complete always."""
    found, not_found = which_end(CHOICES, named)
    assert (set(found), not_found) == (ends, unknown)


def test_the_systems_complete_ends_a_ticket_whatever_it_is_called() -> None:
    """Renamed, or in another language; and another one that is called so."""
    choices = [Choice(value=5, label="Fertig"), Choice(value=20, label="complete")]
    assert which_end(choices, ())[0] == {5, 20}
    assert which_end([], ())[0] == {5}


async def test_a_status_of_ones_own_ends_a_ticket(
    make_desk: Callable[..., Any], tenant: Tenant, people: Seed
) -> None:
    """Nobody is added to it, and it is noticed as complete."""
    desk: Desk = await make_desk(complete_statuses=("waiting customer",))
    await say(desk, lifetime=TICKET)
    assert await look_at(desk, tenant.new_ticket(people.alpine, cc=NINA, status=7)) == (
        Result.COMPLETE
    )
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(desk, ticket) == Result.DONE
    tenant.update_ticket(ticket, callout=False, status=7)
    await follow_up(desk)
    assert {row.result for row in await rows(desk, TicketRecord)} == {Result.COMPLETE}
    assert (await people_of(desk, ticket))[NINA].outcome == "created_and_linked"


async def test_the_picklist_is_read_once(desk: Desk, tenant: Tenant, people: Seed) -> None:
    """By each process and day."""
    for _ in range(3):
        await look_at(desk, tenant.new_ticket(people.alpine, cc=NINA))
    assert tenant.count("GET", "Tickets", "entityInformation") == 1


@pytest.fixture
def examined(settings: Settings, people: Seed) -> Callable[..., Any]:
    """Examine the deployment, with other settings than usual."""

    async def make(**others: Any) -> dict[str, Finding]:
        assert settings.database_url
        changed = settings.model_copy(update=others)
        return {one.code: one async for one in examine(changed, settings.database_url)}

    return make


async def test_the_doctor_names_statuses_that_do_not_exist(examined: Callable[..., Any]) -> None:
    """And those that there are."""
    found = (await examined(complete_statuses=("Closed",)))["statuses"]
    assert found.state == State.PROBLEM
    assert "Closed" in found.found
    assert "8 = In Progress" in found.cure
    assert "over with: Complete" in (await examined())["statuses"].found


async def test_the_doctor_looks_whether_contacts_can_be_ended(
    examined: Callable[..., Any], desk: Desk, tenant: Tenant
) -> None:
    """Only where a policy says so."""
    assert "for good" in (await examined())["lifetimes"].found
    await say(desk, lifetime={"outside": "ticket"})
    assert (await examined())["read_ClientPortalUsers"].state == State.OK
    tenant.faults.add(Fault("forbidden", entity="ClientPortalUsers", times=None))
    assert (await examined())["read_ClientPortalUsers"].state == State.PROBLEM
