"""Caps of new people at work: chains of senders, accounts, colleagues, and unanswered creates."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text

from app.db.states import Result
from app.db.tables import Ledger
from app.decide.policy import PolicyDocument
from app.due import work
from app.looks.look import look
from app.records import forgotten
from app.records.ledger import caps
from app.services import Services
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.clock import Clock
from tests.support.helpers import look_at, outcomes, people_of, rows, want

MakeServices = Callable[..., Awaitable[Services]]

CREATED, OVER = ("outside", "created_and_linked"), ("over_daily_limit", "held")
INSIDE = ("inside", "created_and_linked")


async def brings(
    services: Services, tenant: Tenant, account: int, sender: int | None, *keys: str
) -> list[tuple[str, str | None]]:
    """Let a sender copy these people; return what became of each."""
    ticket = tenant.new_ticket(account, contact_id=sender, cc=", ".join(keys))
    assert await look_at(services, ticket) == Result.DONE
    came = await outcomes(services, ticket)
    return [came[key] for key in keys]


def id_of(tenant: Tenant, key: str) -> int:
    """Return the one contact with an address."""
    [one] = tenant.contacts_with(key)
    return int(one["id"])


async def test_those_whom_a_sender_brought_bring_in_its_name(
    make_services: MakeServices, tenant: Tenant, people: Seed
) -> None:
    """Three a day, though each of the three writes in turn; another sender still has its three."""
    services = await make_services(max_new_per_sender=3)
    first = await brings(services, tenant, people.alpine, people.ana, "a@x.example")
    sender = id_of(tenant, "a@x.example")
    second = await brings(services, tenant, people.alpine, sender, "b@y.example", "c@y.example")
    sender = id_of(tenant, "c@y.example")
    third = await brings(services, tenant, people.alpine, sender, "d@z.example")
    assert [*first, *second, *third] == [CREATED, CREATED, CREATED, OVER]
    others = await brings(services, tenant, people.alpine, people.bruno, "e@z.example")
    assert others == [CREATED]


async def test_colleagues_whom_a_sender_brought_bring_in_its_name(
    make_services: MakeServices, tenant: Tenant, people: Seed
) -> None:
    """Anyone can write from addresses that do not exist in a domain."""
    services = await make_services(max_new_per_sender=1)
    crowd = [f"new{n}@alpine-dental.example" for n in range(9)]
    assert await brings(services, tenant, people.alpine, people.ana, *crowd) == [INSIDE] * 9
    sender = id_of(tenant, crowd[0])
    came = await brings(
        services, tenant, people.alpine, sender, *(f"more{n}@alpine-dental.example" for n in "ab")
    )
    assert came == [INSIDE, OVER]
    came = await brings(services, tenant, people.alpine, sender, "a@x.example")
    assert came == [CREATED]
    came = await brings(services, tenant, people.alpine, people.ana, "b@x.example")
    assert came == [OVER]


async def test_one_account_leaves_the_others_their_part_of_the_day(
    make_services: MakeServices, tenant: Tenant, people: Seed
) -> None:
    """However many of its people write."""
    services = await make_services(max_new_per_sender=2, max_new_per_day=10)
    senders = [people.ana, people.bruno, people.carla]
    came = []
    for number, sender in enumerate(senders):
        came += await brings(services, tenant, people.alpine, sender, f"p{number}@x.example")
    assert came == [CREATED, CREATED, OVER]
    elsewhere = await brings(services, tenant, people.harbour, None, "p@x.example")
    assert elsewhere == [CREATED]


async def test_tickets_without_a_contact_do_not_begin_anew_with_each_person(
    make_services: MakeServices, tenant: Tenant, people: Seed
) -> None:
    """Whom such tickets brought are their account's."""
    services = await make_services(max_new_per_sender=1)
    assert await brings(services, tenant, people.alpine, None, "a@x.example") == [CREATED]
    sender = id_of(tenant, "a@x.example")
    assert await brings(services, tenant, people.alpine, sender, "b@x.example") == [OVER]
    assert await brings(services, tenant, people.alpine, None, "c@x.example") == [OVER]


async def test_a_chain_outlasts_the_day(
    clock: Clock, make_services: MakeServices, tenant: Tenant, people: Seed
) -> None:
    """Tomorrow there are as many again for the whole chain, not for each of its people."""
    services = await make_services(max_new_per_sender=2)
    await brings(services, tenant, people.alpine, people.ana, "a@x.example", "b@x.example")
    senders = [id_of(tenant, key) for key in ("a@x.example", "b@x.example")]
    clock.advance(hours=25)
    came = []
    for number, sender in enumerate(senders):
        keys = [f"p{number}{n}@y.example" for n in range(2)]
        came += await brings(services, tenant, people.alpine, sender, *keys)
    assert came == [CREATED, CREATED, OVER, OVER]


@pytest.mark.parametrize("side", ["outside", "inside"])
async def test_two_looks_at_once_do_not_pass_a_cap(
    make_services: MakeServices, tenant: Tenant, people: Seed, side: str
) -> None:
    """Each reads that all are left, on either side."""
    all_services = [await make_services(max_new_per_sender=1) for _ in range(2)]
    domain, most = {"outside": ("x.example", 1), "inside": ("alpine-dental.example", 10)}[side]
    ids = [
        tenant.new_ticket(
            people.alpine,
            contact_id=people.ana,
            cc=", ".join(f"p{t}{n}@{domain}" for n in range(most)),
        )
        for t in range(2)
    ]
    await want(all_services[0], *ids)
    async with all_services[0].sessions() as session, session.begin():
        leases = await work.claim(session, work.TICKET, "test", 2)
    await asyncio.gather(
        *(look(services, one) for services, one in zip(all_services, leases, strict=True))
    )
    assert len(await rows(all_services[0], Ledger)) == most
    assert sum(len(tenant.linked_contacts(ticket)) for ticket in ids) == most


@pytest.mark.parametrize("key", ["a@x.example", "new@alpine-dental.example"])
async def test_a_claim_waits_until_others_have_counted(
    make_services: MakeServices, tenant: Tenant, people: Seed, key: str
) -> None:
    """What they have claimed is not to be seen before."""
    services, others = await make_services(), await make_services()
    ticket = tenant.new_ticket(people.alpine, cc=key)
    async with others.sessions() as session, session.begin():
        await caps.brought(session, caps.Sender(people.harbour, None, 0), "outside", alone=True)
        looking = asyncio.create_task(look_at(services, ticket))
        waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        while not looking.done() and not (await session.execute(waiting)).scalar_one():
            await asyncio.sleep(0.02)
        assert (looking.done(), tenant.contacts_with(key)) == (False, [])
    assert await looking == Result.DONE


async def test_an_unanswered_create_that_was_the_last_of_the_day_is_finished(
    clock: Clock, make_services: MakeServices, tenant: Tenant, people: Seed
) -> None:
    """It was counted when it was announced; counted again, it would hold its own person."""
    services = await make_services(max_new_per_sender=1)
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, cc="a@x.example")
    tenant.faults.add(Fault("reset_before", method="POST", path_contains="174/Contacts"))
    assert await look_at(services, ticket) is None
    [person] = (await people_of(services, ticket)).values()
    assert person.outcome is None
    assert await look_at(services, ticket) is None
    assert (await outcomes(services, ticket))["a@x.example"] == ("outside", None)

    clock.advance(seconds=services.create_settle.total_seconds() + 1)
    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == {"a@x.example": CREATED}


async def test_caps_name_nobody_and_count_whom_was_forgotten(
    make_services: MakeServices, tenant: Tenant, people: Seed
) -> None:
    """To forget a person is no way round the caps."""
    services = await make_services(max_new_per_sender=1)
    assert await brings(services, tenant, people.alpine, people.ana, "a@x.example") == [CREATED]
    async with services.sessions() as session, session.begin():
        await forgotten.remember(session, "a@x.example")
    assert await brings(services, tenant, people.alpine, people.ana, "b@x.example") == [OVER]


async def test_allowed_people_count_and_links_do_not(
    make_services: MakeServices, tenant: Tenant, people: Seed
) -> None:
    """A cap is about new people; a contact that is there reaches no one new."""
    policy = PolicyDocument(outside="hold", allowed=("x.example",))
    services = await make_services(max_new_per_sender=1, default_policy=policy)
    bruno = "bruno.keller@alpine-dental.example"
    keys = (bruno, "a@x.example", "b@x.example")
    assert await brings(services, tenant, people.alpine, people.ana, *keys) == [
        ("known", "linked"),
        CREATED,
        OVER,
    ]
