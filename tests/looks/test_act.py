"""Decisions being carried out: again, against refusals, on old readings, beside other tickets."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import update

from app.db.states import Origin, Result
from app.db.tables import Due, Ledger, LinkRecord, Mapping, Participant
from app.decide.policy import Policy
from app.due import work
from app.due.work import LeaseLost
from app.looks import writes as writes_module
from app.looks.look import look
from app.records import mappings
from app.services import Services
from sandbox.calls import Call
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import (
    due_of,
    look_at,
    look_until_believed,
    outcomes,
    people_of,
    rows,
    want,
)

NEW = Policy().max_new_per_ticket
CARLA = "carla.mendes@alpine-dental.example"
BRUNO = "bruno.keller@alpine-dental.example"
NINA = "nina@radiology.example"
LINKS = "AdditionalContacts"
CREATES = "/Companies/"


def writes(tenant: Tenant) -> list[str]:
    """Name what was written at Autotask."""
    return [
        call.entity for call in tenant.calls if call.method == "POST" and "query" not in call.path
    ]


async def forget_waiting(services: Services) -> None:
    """Let the time of every next try have come."""
    async with services.sessions() as session, session.begin():
        await session.execute(update(Participant).values(retry_at=None))


# --- again ---------------------------------------------------------------------------------------


async def test_a_second_look_does_not_create_another_ten(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Line 15 is about the ticket, not about one look: a second delivery finds nothing to do."""
    strangers = [f"s{n}@elsewhere.example" for n in range(NEW + 5)]
    ticket = tenant.new_ticket(people.alpine, cc=", ".join(strangers))
    await look_at(services, ticket)
    assert len(tenant.linked_contacts(ticket)) == NEW

    await look_at(services, ticket)

    assert len(tenant.linked_contacts(ticket)) == NEW


@pytest.mark.parametrize(
    "cc",
    [
        pytest.param(f"To: {CARLA}\nCc: {CARLA}", id="recipient and copied"),
        pytest.param(f"nobody, {CARLA}\nBcc: nobody", id="rejected for two reasons"),
        pytest.param(f"{CARLA}, {CARLA.upper()}, Carla <{CARLA}>", id="one address thrice"),
        pytest.param(f"x, x, {CARLA}, x", id="one word thrice"),
    ],
)
async def test_what_stands_twice_in_the_list_does_not_break_the_look(
    services: Services, tenant: Tenant, people: Seed, cc: str
) -> None:
    """Whatever else is there, Carla is put on the ticket, once."""
    ticket = tenant.new_ticket(people.alpine, cc=cc)
    assert await look_at(services, ticket) == Result.DONE
    assert tenant.linked_contacts(ticket) == [people.carla]


async def test_a_manual_mapping_outlives_a_ticket_that_has_the_other_contact(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """An admin maps an address; an old ticket with the other contact does not change that."""
    other = tenant.add_contact(people.alpine, CARLA)
    async with services.sessions() as session, session.begin():
        await mappings.remember(session, people.alpine, {CARLA: other}, Origin.MANUAL)
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    tenant.link(ticket, people.carla)

    await look_at(services, ticket)

    [mapping] = await rows(services, Mapping)
    assert (mapping.contact_id, mapping.origin) == (other, Origin.MANUAL)


async def test_who_left_the_list_is_still_on_the_ticket(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The field was emptied after the first look: what was decided and done stays."""
    ticket = tenant.new_ticket(people.alpine, cc=f"{CARLA}, no-reply@x.example")
    await look_at(services, ticket)
    before = await outcomes(services, ticket)
    tenant.update_ticket(ticket, cc="")

    assert await look_at(services, ticket) == Result.DONE

    assert await outcomes(services, ticket) == before
    assert tenant.linked_contacts(ticket) == [people.carla]


async def test_who_is_taken_out_of_the_list_is_not_brought_later(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Held until then, and not copied any more; who is on the ticket already stays there."""
    dora = "dora.lind@alpine-dental.example"
    ticket = tenant.new_ticket(people.alpine, cc=f"{CARLA}, {dora}")
    await look_at(services, ticket)
    assert await outcomes(services, ticket) == {
        CARLA: ("known", "linked"),
        dora: ("inactive", "held"),
    }
    tenant.contacts[people.dora]["isActive"] = 1
    tenant.update_ticket(ticket, cc=BRUNO)

    await look_at(services, ticket)

    assert await outcomes(services, ticket) == {
        BRUNO: ("known", "linked"),
        CARLA: ("known", "linked"),
        dora: ("not_listed", "ignored"),
    }
    assert sorted(tenant.linked_contacts(ticket)) == [people.bruno, people.carla]


async def test_a_ticket_that_moves_to_another_account_is_decided_anew(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The people of the old account are not carried over silently: strangers are held."""
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, ticket)
    [old] = tenant.contacts_with(NINA)
    tenant.unlink(ticket, old["id"])
    tenant.update_ticket(ticket, companyID=people.harbour)

    assert await look_until_believed(services, ticket) == Result.DONE

    assert tenant.contacts_with(NINA, people.harbour) == []
    assert await outcomes(services, ticket) == {NINA: ("moved", "held")}
    assert (await people_of(services, ticket))[NINA].account_id == people.harbour


# --- refusals ------------------------------------------------------------------------------------


async def test_a_contact_that_was_created_and_cannot_be_linked_is_kept_and_said(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Three tries, one contact, and an outcome that tells a person what is left to do."""
    fault = Fault("error_500_errors", method="POST", path_contains=LINKS, text="No.", times=None)
    tenant.faults.add(fault)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    results = []
    for _ in range(3):
        results.append(await look_at(services, ticket))
        await forget_waiting(services)

    assert results == [None, None, Result.DONE]
    [nina] = tenant.contacts_with(NINA)
    one = (await people_of(services, ticket))[NINA]
    assert (one.outcome, one.contact_id) == ("created_not_linked", nina["id"])
    assert str(one.detail).endswith("No.")


@pytest.mark.parametrize(
    "text",
    [
        "A Ticket may not have more than 30 additional contacts.",
        "The Contact is already an additional contact of this Ticket.",
        "The reference contactID does not exist or is invalid.",
    ],
)
async def test_a_refusal_that_the_tickets_state_may_explain_is_decided_anew(
    services: Services, tenant: Tenant, people: Seed, text: str
) -> None:
    """Read again and decided from line 1; a refusal that is not explained counts the next time."""
    tenant.faults.add(Fault("error_500_errors", method="POST", path_contains=LINKS, text=text))
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == {CARLA: ("known", "linked")}

    tenant.faults.add(
        Fault("error_500_errors", method="POST", path_contains=LINKS, text=text, times=2)
    )
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    assert await look_at(services, ticket) is None
    assert (await people_of(services, ticket))[CARLA].failures == 1


async def test_somebody_else_was_faster(services: Services, tenant: Tenant, people: Seed) -> None:
    """A person fills the ticket while we look: the refusal is understood, and the rest is held."""
    fillers = [tenant.add_contact(people.alpine, f"f{n}@x.example") for n in range(30)]
    ticket = tenant.new_ticket(people.alpine, cc=f"{CARLA}, {BRUNO}")

    def fill(call: Call) -> None:
        if call.method == "POST" and LINKS in call.path:
            tenant.before_call = lambda _: None
            for contact in fillers:
                tenant.link(ticket, contact)

    tenant.before_call = fill
    assert await look_at(services, ticket) == Result.DONE
    assert set((await outcomes(services, ticket)).values()) == {("over_limit", "held")}
    assert len(tenant.linked_contacts(ticket)) == 30


async def test_nothing_is_written_where_the_ticket_has_become_complete(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Completed between reading and linking: the refusal leads to a new reading, the last."""
    tenant.faults.add(
        Fault("error_500_errors", method="POST", path_contains=LINKS, text="is already complete")
    )
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)

    def complete(call: Call) -> None:
        if LINKS in call.path:
            tenant.update_ticket(ticket, status=5)

    tenant.before_call = complete
    assert await look_at(services, ticket) == Result.COMPLETE
    assert tenant.linked_contacts(ticket) == []


# --- old readings and lost leases ----------------------------------------------------------------


async def test_no_link_leaves_on_a_reading_that_is_too_old(
    services: Services, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I3: judged by a reading of at most 30 s; a look that never gets one writes nothing."""
    assert writes_module.FRESH_SECONDS <= 30
    monkeypatch.setattr(writes_module, "FRESH_SECONDS", -1.0)
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)

    assert await look_at(services, ticket) is None

    assert tenant.linked_contacts(ticket) == []
    [link] = await rows(services, LinkRecord)
    assert (link.sent_at, link.ours) == (None, False)
    assert (await due_of(services, ticket)).due_at is not None


async def test_an_old_reading_is_renewed_within_the_look(
    services: Services, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was too late for one reading is sent on the next one: no waiting, no try spent."""
    monkeypatch.setattr(writes_module, "FRESH_SECONDS", -1.0)
    readings = []

    def on_reading(call: Call) -> None:
        if call.entity == "Tickets":
            readings.append(call)
        if len(readings) == 2:
            monkeypatch.setattr(writes_module, "FRESH_SECONDS", 30.0)

    tenant.before_call = on_reading
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)

    assert await look_at(services, ticket) == Result.DONE
    assert tenant.linked_contacts(ticket) == [people.carla]


async def test_no_create_starts_on_a_reading_that_is_old(
    services: Services, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read again first."""
    monkeypatch.setattr(writes_module, "_WORTH_STARTING", -1.0)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, ticket) is None
    assert writes(tenant) == []
    assert await rows(services, Ledger) == []


async def test_a_look_that_lost_its_lease_writes_nothing_more(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Taken for dead during a create: the contact that came of it is recorded, no link is sent."""
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await want(services, ticket)
    async with services.sessions() as session, session.begin():
        [lease] = await work.claim(session, work.TICKET, "slow", 1)
    stolen = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def steal() -> None:
        async with services.sessions() as session, session.begin():
            await session.execute(update(Due).values(lease_until=Due.lease_until - work.LEASE * 2))
        async with services.sessions() as session, session.begin():
            assert await work.claim(session, work.TICKET, "successor", 1)
        stolen.set()

    def on_create(call: Call) -> None:
        if call.method == "POST" and call.entity == "Contacts" and CREATES in call.path:
            tenant.before_call = lambda _: None
            asyncio.run_coroutine_threadsafe(steal(), loop).result(10)

    tenant.before_call = on_create
    with pytest.raises(LeaseLost):
        await look(services, lease)

    assert stolen.is_set()
    assert writes(tenant) == ["Contacts"]
    [row] = await rows(services, Ledger)
    assert (row.state, row.contact_id) == ("created", tenant.contacts_with(NINA)[0]["id"])
    assert (await due_of(services, ticket)).holder == "successor"


# --- beside other tickets ------------------------------------------------------------------------


async def test_tickets_at_once_with_the_same_stranger_make_one_contact(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """I2: one creates, the others wait without spending a try, then take the one that is there."""
    tenant.faults.latency = (0.0, 0.05)
    tickets = [tenant.new_ticket(people.alpine, cc=NINA) for _ in range(5)]
    await want(services, *tickets)
    left = set(tickets)
    async with asyncio.timeout(20):
        while left:
            async with services.sessions() as session, session.begin():
                await session.execute(update(Due).where(Due.ref.in_(left)).values(due_at=None))
            await want(services, *left)
            async with services.sessions() as session, session.begin():
                leases = await work.claim(session, work.TICKET, "test", 5)
            assert {lease.tries for lease in leases} == {1}
            results = await asyncio.gather(*(look(services, lease) for lease in leases))
            left -= {lease.ref for lease, result in zip(leases, results, strict=True) if result}

    [nina] = tenant.contacts_with(NINA)
    assert [tenant.linked_contacts(ticket) for ticket in tickets] == [[nina["id"]]] * 5
    assert [row.sends for row in await rows(services, Ledger)] == [1]


async def test_two_tickets_without_an_answer_agree_on_who_it_was(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The first ticket's create got no answer; the second finds its contact and settles it."""
    tenant.faults.add(Fault("reset_after", method="POST", entity="Contacts", path_contains=CREATES))
    first, second = (tenant.new_ticket(people.alpine, cc=NINA) for _ in range(2))
    assert await look_at(services, first) is None
    async with services.sessions() as session, session.begin():
        await session.execute(update(Due).values(due_at=Due.due_at + timedelta(hours=1)))

    assert await look_at(services, second) == Result.DONE
    assert await look_at(services, first) == Result.DONE

    [nina] = tenant.contacts_with(NINA)
    assert tenant.linked_contacts(first) == tenant.linked_contacts(second) == [nina["id"]]
    assert (await people_of(services, first))[NINA].outcome == "created_and_linked"
    assert (await people_of(services, second))[NINA].outcome == "linked"
