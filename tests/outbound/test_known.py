"""What is only good to know keeps no ticket: refused, slow, without an end, nonsense, or nothing.

Each fact meets each trouble; the people are added all the same, and health says what is missing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.autotask import client
from app.autotask.errors import Unanswered, Unauthorized
from app.autotask.models import Choice, Company
from app.db.states import Chore, Result
from app.db.tables import KnownFact, Look, Worker
from app.due import work
from app.outbound import gate
from app.outbound.facts import COMPANIES, FACTS, NEEDED
from app.outbound.known import Known
from app.outbound.rules import NotNow
from app.records import known
from app.services import Services
from app.worker import chores
from sandbox.seed import Seed
from sandbox.switches import Fault, FaultKind
from sandbox.tenant import Tenant
from tests.support.clients import client_of
from tests.support.clock import Clock
from tests.support.helpers import look_at, notes_on, outcomes, rows
from tests.support.lifetimes import look_at_all, seized
from tests.web.test_health import store

MakeServices = Callable[..., Any]
BRUNO, NINA = "bruno.keller@alpine-dental.example", "nina@radiology.example"
JURGEN, INSIDE = "new@harbour-soehne.example", "new@alpine-dental.example"
EVERYBODY = f"{BRUNO}, {NINA}, {INSIDE}"
NO_RIGHT = (
    "The logged in Resource does not have the adequate permissions to query this entity type."
)
CALLS: dict[str, dict[str, str]] = {
    "companies": {"method": "POST", "entity": "Companies"},
    "company_types": {"path_contains": "/Companies/entityInformation/fields"},
    "web_domain": {"method": "GET", "path_contains": "/Companies/1"},
    "udf_lengths": {"path_contains": "/Tickets/entityInformation/userDefinedFields"},
    "statuses": {"path_contains": "/Tickets/entityInformation/fields"},
    "note_choices": {"path_contains": "/TicketNotes/entityInformation/fields"},
}
"""The calls by which a look reads each fact."""

TROUBLES: dict[str, tuple[FaultKind, dict[str, Any]]] = {
    "forbidden": ("forbidden", {}),
    "no right": ("error_500_errors", {"text": NO_RIGHT}),
    "refused": ("error_500_errors", {"text": "This field cannot be read."}),
    "defect": ("error_500", {}),
    "away": ("reset_before", {}),
    "html": ("garbage", {}),
    "nonsense": ("nonsense", {}),
    "empty": ("empty", {}),
    "busy": ("status_429", {"retry_after": "1"}),
}
ENDLESS: tuple[FaultKind, ...] = ("endless_same", "endless_cycle", "endless_new")
SHUTS = ("busy",)
"""These are everybody's trouble: the hour's calls are spent."""

CASES: list[tuple[str, tuple[str, ...]]] = [
    *((trouble, tuple(CALLS)) for trouble in TROUBLES if trouble not in SHUTS),
    *((kind, ("companies",)) for kind in ENDLESS),
    *(("no right", (name,)) for name in CALLS),
]
"""Each trouble of all facts together, and one of each alone."""


def trouble_with(name: str, trouble: str, times: int | None = None) -> Fault:
    """Return a fault of the calls that read a fact."""
    kind, more = TROUBLES.get(trouble, (trouble, {}))
    return Fault(kind, **CALLS[name], **more, times=times)  # type: ignore[arg-type]


def asked_for(tenant: Tenant, name: str) -> int:
    """Count the calls that read a fact."""
    like = Fault("forbidden", **CALLS[name])  # type: ignore[arg-type]
    return sum(like.matches(one.method, one.entity, one.path) for one in tenant.calls)


async def health(services: Services) -> dict[str, Any] | None:
    """Return what health says of the facts; None if nothing."""
    async with client_of(services) as api:
        problems = (await api.get("/health/work")).json()["problems"]
    return next((one for one in problems if one["code"] == "facts_not_read"), None)


async def note_of_look(services: Services) -> str:
    """Return the note of the latest look."""
    looks = await rows(services, Look)
    return looks[-1].note or ""


@pytest.fixture
async def working(clock: Clock, make_services: MakeServices, people: Seed) -> Services:
    """A process that wants each of the facts, on a database that has none of them."""
    services: Services = await make_services(
        ticket_note="internal", ticket_note_publish=2, complete_statuses=("Waiting Customer",)
    )
    await store(services, Worker(id="one"))
    return services


@pytest.mark.parametrize(("trouble", "names"), CASES, ids=str)
async def test_a_ticket_gets_its_people_without_any_of_it(
    working: Services,
    clock: Clock,
    tenant: Tenant,
    people: Seed,
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
    names: tuple[str, ...],
) -> None:
    """At once, with two questions at most (of a list: few pages); health has it, no gate shuts."""
    monkeypatch.setattr(client, "_COMPANY_PAGES", 4)
    for name in names:
        tenant.faults.add(trouble_with(name, trouble))
    ticket = tenant.new_ticket(people.alpine, cc=EVERYBODY)
    began = time.monotonic()
    assert await look_at(working, ticket) == Result.DONE
    assert time.monotonic() - began < 10
    inside = "outside" if "web_domain" in names else "inside"
    assert await outcomes(working, ticket) == {
        BRUNO: ("known", "linked"),
        NINA: ("outside", "created_and_linked"),
        INSIDE: (inside, "created_and_linked"),
    }
    asked = {name: asked_for(tenant, name) for name in names}
    assert all(count <= 2 for count in asked.values()) or asked == {"companies": 4}

    if trouble == "empty":  # there may be no user-defined fields
        names = tuple(name for name in names if name != "udf_lengths")
    decide = {FACTS[name].title for name in names if FACTS[name].decides}
    note = await note_of_look(working)
    assert {fact.title for fact in FACTS.values() if fact.title in note} == decide
    assert bool(await health(working)) is bool(decide)
    clock.advance(minutes=16)
    said = await health(working)
    assert said
    assert [name for name in names if FACTS[name].without not in said["detail"]] == []
    async with working.sessions() as session:
        assert await gate.state(session) is None


async def test_other_tickets_do_not_ask_again(
    working: Services,
    make_services: MakeServices,
    tenant: Tenant,
    people: Seed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pause is that of all processes, and of all accounts if several could not be read."""
    monkeypatch.setattr(known, "PAUSES", (600,))
    for name in CALLS:
        tenant.faults.add(trouble_with(name, "no right"))
    second = await make_services()
    for services in (working, second):
        for company in (people.alpine, people.alpine_west, people.harbour):
            assert await look_at(services, tenant.new_ticket(company, cc=NINA)) == Result.DONE
    asked = {name: asked_for(tenant, name) for name in CALLS}
    assert asked == dict.fromkeys(CALLS, 1) | {"web_domain": 3}


@pytest.mark.parametrize(("trouble", "pages"), [("no right", 1), ("endless_cycle", 2)])
async def test_the_pauses_grow(
    working: Services, clock: Clock, tenant: Tenant, people: Seed, trouble: str, pages: int
) -> None:
    """To half an hour, so a day without a right costs about fifty questions."""
    assert known.PAUSES == (30, 120, 600, 1800)
    tenant.faults.add(trouble_with("companies", trouble))
    minutes = (0, 1, 2, 4, 5, 15, 16, 47, 48, 79, 80)
    begun = []
    for minute, after in zip(minutes, (*minutes[1:], 112), strict=True):
        before = asked_for(tenant, "companies")
        await working.directory.clients(await working.autotask())
        if asked_for(tenant, "companies") > before:
            begun.append(minute)
        clock.advance(minutes=after - minute)
    assert begun == [0, 1, 4, 15, 47, 79]
    assert asked_for(tenant, "companies") == len(begun) * pages
    tenant.faults.clear()
    await working.directory.clients(await working.autotask())
    assert await health(working) is None


@pytest.mark.parametrize("trouble", ["no right", "html", "nonsense", "empty", "busy", *ENDLESS[:2]])
async def test_the_last_good_value_counts(
    working: Services,
    make_services: MakeServices,
    clock: Clock,
    tenant: Tenant,
    people: Seed,
    trouble: str,
) -> None:
    """In a process that has just started, too; health is quiet for a while, then says how old."""
    await look_at(working, tenant.new_ticket(people.alpine, cc=NINA))
    clock.advance(days=2)
    restarted = await make_services()
    for name in CALLS:
        if name == "companies" or trouble not in ENDLESS:
            tenant.faults.add(trouble_with(name, trouble, None if trouble not in SHUTS else 1))
    ticket = tenant.new_ticket(people.alpine, cc=f"{JURGEN}, {INSIDE}")
    for _ in range(len(CALLS)):
        if await look_at(restarted, ticket) == Result.DONE:
            break
        clock.advance(seconds=31)  # the gate was shut: the hour's calls were spent
    assert await outcomes(restarted, ticket) == {
        JURGEN: ("other_client", "held"),
        INSIDE: ("inside", "created_and_linked"),
    }
    assert "decided without" not in await note_of_look(restarted)
    assert await health(restarted) is None
    clock.advance(minutes=16)
    if trouble in SHUTS:
        return
    said = await health(restarted)
    assert said
    assert "UTC counts" in said["detail"]
    assert "Meanwhile" not in said["detail"]


async def test_a_second_process_starts_without_a_call(
    working: Services, make_services: MakeServices, clock: Clock, tenant: Tenant, people: Seed
) -> None:
    """What is young in the database is not asked for again; after a day, by one of them."""
    await look_at(working, tenant.new_ticket(people.alpine, cc=NINA))
    first = sum(asked_for(tenant, name) for name in CALLS)
    tenant.forget_calls()
    second = await make_services(ticket_note="internal", ticket_note_publish=2)
    await look_at(second, tenant.new_ticket(people.alpine, cc=NINA))
    assert (first, sum(asked_for(tenant, name) for name in CALLS)) == (6, 0)
    clock.advance(days=1)
    third, fourth = await make_services(), await make_services()
    for services in (third, fourth):
        await look_at(services, tenant.new_ticket(people.alpine, cc=NINA))
    assert asked_for(tenant, "companies") == 1


async def test_two_processes_that_start_together_ask_once(
    working: Services, make_services: MakeServices, tenant: Tenant, people: Seed
) -> None:
    """The second one waits for the first one's answer: it must not decide without."""
    second = await make_services()
    tenant.faults.add(Fault("slow", **CALLS["companies"], seconds=0.3))  # type: ignore[arg-type]
    both = [(one, await one.autotask()) for one in (working, second)]
    domain = "harbour-soehne.example"
    found = await asyncio.gather(
        *(one.other_clients(asker, people.alpine, [domain]) for one, asker in both)
    )
    assert found == [{domain}] * 2
    assert asked_for(tenant, "companies") == 1


@pytest.mark.parametrize(
    "broken",
    [
        {"value": {"companies": 7}},
        {"value": None},
        {"value": [{"webAddress": 1}]},
        {"version": 99},
        {"value": "harbour-soehne.example"},
    ],
    ids=str,
)
async def test_a_broken_row_is_a_missing_value(
    working: Services,
    make_services: MakeServices,
    tenant: Tenant,
    people: Seed,
    broken: dict[str, Any],
) -> None:
    """It is read again; while that fails the ticket goes on without."""
    await look_at(working, tenant.new_ticket(people.alpine, cc=NINA))
    async with working.sessions() as session, session.begin():
        rows_of = update(KnownFact).where(KnownFact.name == "companies")
        await session.execute(rows_of.values(**broken))
    again = await make_services()
    tenant.faults.add(trouble_with("companies", "no right", 1))
    assert await look_at(again, tenant.new_ticket(people.alpine, cc=NINA)) == Result.DONE
    assert COMPANIES.title in await note_of_look(again)
    assert await health(again)


async def test_one_strange_company_is_no_other_accounts_trouble(
    working: Services, tenant: Tenant, people: Seed
) -> None:
    """Only several in a row, without a success between, are everybody's."""
    for name in ("one", "two", "three", "four"):
        bad = Fault("nonsense", **CALLS["web_domain"], times=1)  # type: ignore[arg-type]
        tenant.faults.add(bad)
        asker = await working.autotask()
        ids = [tenant.add_company(f"{name} {n}", "www.good.example") for n in range(2)]
        assert await working.directory.company_domains(asker, ids[0]) == frozenset()
        assert await working.directory.company_domains(asker, ids[1]) == {"good.example"}


async def test_where_no_call_may_leave_nothing_is_concluded(
    working: Services, make_services: MakeServices, clock: Clock, tenant: Tenant, people: Seed
) -> None:
    """Every ticket waits then; that is no failure of the fact, and an old value still counts."""
    asker = await working.autotask()
    shut = gate.Change(None, gate.GateCode.OVERLOADED, "spent", 600)
    async with working.sessions() as session, session.begin():
        await gate.apply(session, shut, probe=False)
    with pytest.raises(NotNow):
        await working.directory.clients(asker)
    assert [row.failing_since for row in await rows(working, KnownFact)] == [None]
    clock.advance(minutes=11)
    await working.directory.clients(asker)
    clock.advance(days=2)
    async with working.sessions() as session, session.begin():
        await gate.apply(session, shut, probe=False)
    later = await make_services()
    domain = "harbour-soehne.example"
    found = await later.directory.clients(await later.autotask())
    assert found.others(people.alpine, [domain], {1}) == {domain}
    assert tenant.count("POST", "Companies") == 1


async def test_what_is_known_again_is_not_lacking(
    working: Services, clock: Clock, tenant: Tenant, people: Seed
) -> None:
    """A backtest asks with one client for a long time; each account's domain counts by itself."""
    for name in ("companies", "web_domain"):
        tenant.faults.add(trouble_with(name, "no right", 1))
    asker, desk = await working.autotask(), working.directory
    await desk.clients(asker)
    await desk.company_domains(asker, people.alpine)
    await desk.company_domains(asker, people.harbour)
    lacking = [COMPANIES.title, FACTS["web_domain"].title]
    assert (desk.lacks(asker), desk.lacks(await working.autotask())) == (lacking, [])
    clock.advance(seconds=31)
    await desk.clients(asker)
    assert desk.lacks(asker) == lacking[1:]
    await desk.company_domains(asker, people.alpine)
    assert desk.lacks(asker) == []


async def test_wrong_credentials_are_no_facts_trouble(
    working: Services, tenant: Tenant, people: Seed
) -> None:
    """Every call meets them: the ticket waits, and no pause of the fact's outlives them."""
    tenant.faults.add(Fault("unauthorized", times=1))
    with pytest.raises(Unauthorized):
        await working.directory.clients(await working.autotask())
    assert [row.failing_since for row in await rows(working, KnownFact)] == [None]


async def test_failures_in_a_row_shut_no_gate(
    working: Services, tenant: Tenant, people: Seed
) -> None:
    """Five calls without an answer would be an outage: not of calls that nobody needs."""
    for name in CALLS:
        tenant.faults.add(trouble_with(name, "defect"))
    asker, desk = await working.autotask(), working.directory
    await desk.clients(asker)
    await desk.complete_statuses(asker, ())
    await desk.note_choices(asker)
    for company in (0, people.alpine, people.harbour, people.bakery):
        await desk.company_domains(asker, company)
    assert len(tenant.calls) == 13
    async with working.sessions() as session:
        assert await gate.state(session) is None


async def test_what_strangers_typed_can_be_stored(working: Services) -> None:
    """A label with a NUL, half a surrogate or anything else comes back as it was."""
    odd = (Choice(value=1, label="a\x00b"), Choice(value=2, label="\ud800 é 🦷"))

    async def read(_autotask: object, _ref: int) -> tuple[Choice, ...]:
        return odd

    asker = await working.autotask()
    fact = replace(FACTS["statuses"], read=read)
    assert await Known(working.sessions, working.autotask).get(fact, asker) == odd
    fact = replace(fact, read=FACTS["statuses"].read)
    assert await Known(working.sessions, working.autotask).get(fact, asker) == odd


async def renew(services: Services) -> timedelta:
    """Do the chore once."""
    lease = await seized(services, Chore.USAGE)
    again = await chores._record_usage(services, lease)
    async with work.fenced(services.sessions, lease) as session:
        await work.finish(session, lease)
    return again


async def test_the_chore_reads_before_anything_is_too_old(
    working: Services, make_services: MakeServices, clock: Clock, tenant: Tenant, people: Seed
) -> None:
    """So no ticket waits for it, however long it takes."""
    await look_at(working, tenant.new_ticket(people.alpine, cc=NINA))
    clock.advance(hours=17)
    tenant.forget_calls()
    await renew(working)
    assert asked_for(tenant, "companies") == 0
    clock.advance(hours=2)
    await renew(working)
    asked = {name: asked_for(tenant, name) for name in CALLS}
    assert asked == dict.fromkeys(CALLS, 1) | {"web_domain": 0}
    clock.advance(hours=23)
    restarted = await make_services()
    await look_at(restarted, tenant.new_ticket(people.alpine, cc=NINA))
    assert asked_for(tenant, "companies") == 1


async def test_the_chore_asks_again_for_what_failed(
    working: Services, clock: Clock, tenant: Tenant, people: Seed
) -> None:
    """With more patience than a ticket has, and only what was wanted once."""
    await renew(working)
    assert [row.name for row in await rows(working, KnownFact)] == ["use"]
    for name in CALLS:
        tenant.faults.add(trouble_with(name, "refused"))
    await look_at(working, tenant.new_ticket(people.alpine, cc=NINA))
    tenant.faults.clear()
    clock.advance(minutes=1)
    await renew(working)
    assert await health(working) is None
    asker = await working.autotask()
    assert await working.directory.company_domains(asker, people.alpine)
    assert working.directory.lacks(asker) == []


@pytest.mark.parametrize("trouble", [one for one in TROUBLES if one not in SHUTS])
async def test_the_tenants_use_is_only_good_to_know(
    working: Services, clock: Clock, tenant: Tenant, people: Seed, trouble: str
) -> None:
    """The chore goes on with the rest, no gate shuts, and health has it after a while."""
    kind, more = TROUBLES[trouble]
    tenant.faults.add(Fault(kind, **more, entity="ThresholdInformation", times=None))
    assert await renew(working) == timedelta(seconds=30)
    async with working.sessions() as session:
        assert await gate.state(session) is None
        assert (await working.budget.use(session)).share == 5000
    assert await look_at(working, tenant.new_ticket(people.alpine, cc=NINA)) == Result.DONE
    assert await health(working) is None
    clock.advance(minutes=16)
    said = await health(working)
    assert said
    assert "all tools of the tenant" in said["detail"]
    tenant.faults.clear()
    await renew(working)
    assert await health(working) is None


async def test_a_note_is_written_once_its_readers_are_known(
    working: Services, clock: Clock, tenant: Tenant, people: Seed
) -> None:
    """The ticket is done meanwhile; the chore brings it back, once."""
    tenant.faults.add(trouble_with("note_choices", "no right"))
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(working, ticket) == Result.DONE
    assert notes_on(tenant, ticket) == []
    await renew(working)
    tenant.faults.clear()
    clock.advance(minutes=1)
    for _ in range(2):
        await renew(working)
        await look_at_all(working)
    assert len(notes_on(tenant, ticket)) == 1
    assert tenant.count("GET", "Tickets", f"/Tickets/{ticket}") - 1 <= 2


async def test_a_contact_is_not_retired_while_its_fields_are_not_known(
    working: Services, tenant: Tenant, people: Seed
) -> None:
    """A person may have changed one of them; raised as an answer that is missing."""
    tenant.faults.add(
        Fault("forbidden", path_contains="Contacts/entityInformation/userDefined", times=None)
    )
    asker = await working.autotask()
    with pytest.raises(Unanswered, match="fields of contacts"):
        await working.directory.contact_udfs(asker)
    async with working.sessions() as session:
        assert await gate.state(session) is None
    tenant.faults.clear()


def test_the_values_hold_what_they_must() -> None:
    """A value that was stored comes back as it was."""
    samples: dict[str, Any] = {
        "companies": (Company.model_validate({"id": 1, "webAddress": "a.example"}),),
        "web_domain": None,
        "statuses": (Choice.model_validate({"value": 5, "label": "Complete", "isActive": False}),),
        "note_choices": {"publish": (Choice(value=2),), "noteType": ()},
        "contact_fields": {"Tier": None, "Plan": "gold"},
    }
    for name, value in samples.items():
        form = FACTS[name].form
        stored = form.dump_python(value, mode="json", by_alias=True)
        assert form.validate_python(stored) == value


def test_the_page_has_the_table() -> None:
    """What is needed and what is not, how old it may be, and what is done without."""
    page = Path("docs/decisions/0015-good-to-know.md").read_text()
    for needed in NEEDED:
        assert f"| {needed.title} | {_words(needed.age)} | {needed.why} |" in page
    for fact in FACTS.values():
        assert f"| {fact.title} | {_words(fact.age)} | {fact.without} |" in page


def _words(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    for size, word in ((86_400, "day"), (60, "minute"), (1, "second")):
        if seconds >= size:
            n = seconds // size
            return f"{n} {word}{'s' if n > 1 else ''}"
    raise AssertionError


def test_nothing_needed_is_kept_as_good_to_know() -> None:
    """Technicians are read every ten minutes, and never from the database."""
    assert not {"technicians", "contacts", "links", "tickets"} & set(FACTS)
    assert {one.title for one in NEEDED} & {fact.title for fact in FACTS.values()} == set()
