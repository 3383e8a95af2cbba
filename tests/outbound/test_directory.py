"""Slow facts: who the technicians are and which domains a company has, asked for rarely."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.autotask.client import Autotask
from app.autotask.errors import Unanswered
from app.autotask.models import Company, Resource
from app.db.database import Sessions
from app.db.states import Result
from app.db.tables import TicketRecord
from app.ops.doctor import Finding, State, examine
from app.outbound import directory
from app.outbound.directory import Directory
from app.services import Services
from app.settings.settings import Settings
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import look_at, people_of, rows
from tests.support.lifetimes import NINA, TICKET, follow_up, say

TEN_MINUTES = 600.0


class Source:
    """What the client answers, how long that takes, and how often it was asked."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asked = 0
        self.takes = 0.0
        self.fails = False
        self.people = [Resource(id=1, email="lena@msp.example")]
        self.web: dict[int, str | None] = {0: "www.msp.example", 7: "https://www.client.example/x"}

    async def active_resources(self) -> list[Resource]:
        people = list(self.people)
        await self._answer()
        return people

    async def company(self, company_id: int) -> Company | None:
        await self._answer()
        if company_id not in self.web:
            return None
        return Company.model_validate({"id": company_id, "webAddress": self.web[company_id]})

    async def _answer(self) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        self.clock.now += self.takes
        if self.fails:
            raise Unanswered("no answer")


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(directory, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def source(clock: Clock) -> Source:
    return Source(clock)


@pytest.fixture
def autotask(source: Source) -> Autotask:
    return cast(Autotask, source)


@pytest.fixture
def kept(sessions: Sessions, autotask: Autotask) -> Directory:
    """The directory of one process."""

    async def calm() -> Autotask:
        return autotask

    return Directory(sessions, calm)


async def test_technicians_are_known_by_all_their_addresses(
    kept: Directory, source: Source, autotask: Autotask
) -> None:
    """As keys, so that any spelling is found; what is no address is passed over."""
    source.people = [
        Resource(id=1, email="Lena@MSP.example", email2=" ", email3="lena@Bücher.example"),
        Resource(id=2, email=None),
        Resource(id=3, email="not an address"),
    ]
    found = await kept.technicians(autotask)
    assert found == {"lena@msp.example", "lena@xn--bcher-kva.example"}


@pytest.mark.parametrize(
    ("licence", "technician"),
    [
        *(pytest.param(number, True, id=f"staff {number}") for number in (1, 2, 3, 4, 5, 6, 8)),
        pytest.param(7, False, id="API user"),
        pytest.param(9, False, id="co-managing"),
        pytest.param("9", True, id="as text"),
        pytest.param(9.0, False, id="as a float"),
        pytest.param(None, True, id="not shown"),
        pytest.param(0, True, id="none"),
        pytest.param(10, True, id="a new one"),
        pytest.param("Co-Managed", True, id="a word"),
        pytest.param({"id": 9}, True, id="nonsense"),
    ],
)
async def test_who_works_for_the_help_desk(
    kept: Directory, source: Source, autotask: Autotask, licence: object, technician: bool
) -> None:
    """Not a customer's own person, and no API user; in doubt a resource is one of the MSP's."""
    one = {"id": 1, "licenseType": licence, "email": "ida@client.example"}
    source.people = [Resource.model_validate(one), Resource(id=2, email="lena@msp.example")]
    known = {"lena@msp.example"} | ({"ida@client.example"} if technician else set())
    assert await kept.technicians(autotask) == known


async def test_a_licence_that_is_not_shown_is_a_technicians() -> None:
    """A query's answer may have fewer fields than a reading of one."""
    assert Resource.model_validate({"id": 1}).is_technician


@pytest.mark.parametrize(("age", "asked"), [(0, 1), (TEN_MINUTES, 1), (TEN_MINUTES + 1, 2)])
async def test_technicians_are_at_most_ten_minutes_old(
    kept: Directory, source: Source, autotask: Autotask, clock: Clock, age: float, asked: int
) -> None:
    """A new colleague must not become a contact: with a look's own time, 15 minutes at most."""
    await kept.technicians(autotask)
    source.people.append(Resource(id=2, email="new@msp.example"))
    clock.now += age
    assert ("new@msp.example" in await kept.technicians(autotask)) is (asked == 2)
    assert source.asked == asked


async def test_their_age_counts_from_the_question(
    kept: Directory, source: Source, autotask: Autotask, clock: Clock
) -> None:
    """An answer that took long is old when it comes."""
    source.takes = 100
    await kept.technicians(autotask)
    clock.now += TEN_MINUTES - 99
    await kept.technicians(autotask)
    assert source.asked == 2


async def test_many_readers_share_one_question(
    kept: Directory, source: Source, autotask: Autotask
) -> None:
    """Four looks begin at once after a start."""
    await asyncio.gather(*(kept.technicians(autotask) for _ in range(4)))
    await asyncio.gather(*(kept.company_domains(autotask, 7) for _ in range(4)))
    assert source.asked == 2


async def test_a_failure_is_not_kept(
    kept: Directory, source: Source, autotask: Autotask, clock: Clock
) -> None:
    """Nor does what is too old do instead."""
    await kept.technicians(autotask)
    clock.now += TEN_MINUTES + 1
    source.fails = True
    for _ in range(2):
        with pytest.raises(Unanswered):
            await kept.technicians(autotask)
    source.fails = False
    assert await kept.technicians(autotask) == {"lena@msp.example"}
    assert source.asked == 4


async def test_a_company_has_the_domain_of_its_web_address(
    kept: Directory, autotask: Autotask
) -> None:
    """One, or none where there is no address or no company."""
    assert await kept.company_domains(autotask, 7) == {"client.example"}
    assert await kept.company_domains(autotask, 0) == {"msp.example"}
    assert await kept.company_domains(autotask, 404) == frozenset()


async def test_a_status_of_ones_own_ends_a_ticket(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed
) -> None:
    """Nobody is added to it, and it is noticed as complete."""
    services: Services = await make_services(complete_statuses=("waiting customer",))
    await say(services, lifetime=TICKET)
    assert await look_at(services, tenant.new_ticket(people.alpine, cc=NINA, status=7)) == (
        Result.COMPLETE
    )
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, ticket) == Result.DONE
    tenant.update_ticket(ticket, callout=False, status=7)
    await follow_up(services)
    assert {row.result for row in await rows(services, TicketRecord)} == {Result.COMPLETE}
    assert (await people_of(services, ticket))[NINA].outcome == "created_and_linked"


async def test_the_picklist_is_read_once(services: Services, tenant: Tenant, people: Seed) -> None:
    """By one process a day."""
    for _ in range(3):
        await look_at(services, tenant.new_ticket(people.alpine, cc=NINA))
    assert tenant.count("GET", "Tickets", "entityInformation/fields") == 1


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
    examined: Callable[..., Any], services: Services, tenant: Tenant
) -> None:
    """Only where a policy says so."""
    assert "for good" in (await examined())["lifetimes"].found
    await say(services, lifetime={"outside": "ticket"})
    assert (await examined())["read_ClientPortalUsers"].state == State.OK
    tenant.faults.add(Fault("forbidden", entity="ClientPortalUsers", times=None))
    assert (await examined())["read_ClientPortalUsers"].state == State.PROBLEM
