"""Mail loops: who was added and answers with ticket after ticket is denied and taken off."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.db.tables import Audit, LinkRecord, Loop
from app.decide.policy import MAX_ENTRIES, PolicyDocument
from app.due import work
from app.looks import look as looks
from app.records import loops, policies
from app.services import Services
from sandbox.model import utc_text
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.support.helpers import changes, outcomes, rows, want
from tests.support.lifetimes import ALPINE, NINA, end, say

CARLA = "carla.mendes@alpine-dental.example"
API = "/ATServicesRest/v1.0"
PRINTER = [
    "Printer offline",
    "Re: Printer offline",
    "AW: RE: [T20261130.0001] Printer offline",
    "Automatic reply: Printer offline",
    "Re: Re: Re: Printer offline",
]


async def added(services: Services, tenant: Tenant, cc: str = NINA, account: int = ALPINE) -> int:
    """Let somebody be copied on a ticket; gives the ticket."""
    ticket = tenant.new_ticket(account, cc=cc)
    await look(services, ticket)
    assert tenant.linked_contacts(ticket) != []
    return ticket


def contact_of(tenant: Tenant, ticket: int) -> int:
    """Give the one additional contact of a ticket."""
    [contact] = tenant.linked_contacts(ticket)
    return contact


def tickets_of(
    tenant: Tenant,
    contact: int,
    titles: Collection[str] = PRINTER,
    apart: float = 1,
    account: int = ALPINE,
    ago: float = 60,
) -> list[int]:
    """Let a contact write tickets, so many minutes apart, the first of them a while ago."""
    first = datetime.now(UTC) - timedelta(minutes=ago)
    return [
        tenant.new_ticket(
            account,
            contact_id=contact,
            title=title,
            createDate=utc_text(first + timedelta(minutes=n * apart)),
        )
        for n, title in enumerate(titles)
    ]


async def look(services: Services, *tickets: int) -> None:
    """Look at tickets, one after another."""
    for ticket in tickets:
        await want(services, ticket)
        async with services.sessions() as session, session.begin():
            lease = await work.take(session, work.TICKET, ticket, f"test {ticket}")
        assert lease
        await looks.look(services, lease)


async def denied(services: Services, account: int = ALPINE) -> list[str]:
    """Give whom an account's own policy denies."""
    async with services.sessions() as session:
        document = await policies.document_of(session, account)
    return list(document.denied or ()) if document else []


async def broken(services: Services) -> list[tuple[int, int]]:
    """Give the contact of each loop that was broken, and of how many tickets."""
    return [(one.contact_id, one.tickets) for one in await rows(services, Loop)]


async def to_come_off(services: Services) -> list[int]:
    """Name the tickets of links that are to come off still."""
    return [link.ticket_id for link in await rows(services, LinkRecord) if link.end_why == "loop"]


def unlinks(server: SandboxServer) -> list[str]:
    """Name what was written: nothing but links that were deleted."""
    assert all(one.startswith("DELETE ") for one in changes(server))
    return changes(server)


@pytest.mark.parametrize("who", [NINA, CARLA], ids=["created", "found"])
async def test_a_loop_is_broken(
    services: Services, tenant: Tenant, people: Seed, server: SandboxServer, who: str
) -> None:
    """Denied at once, and at the next pass off all tickets; said in audit, log and reasons."""
    on = [await added(services, tenant, who) for _ in range(3)]
    contact = contact_of(tenant, on[0])
    ids = [row["id"] for ticket in on for row in tenant.link_rows(ticket)]
    *most, last = tickets_of(tenant, contact)
    await look(services, *most)
    assert (await broken(services), await denied(services)) == ([], [])
    with capture_logs() as logged:
        await look(services, last)
    assert await broken(services) == [(contact, 5)]
    assert await denied(services) == [who]
    [said] = [one for one in logged if one["event"] == "loop_broken" and "tickets" in one]
    assert (said["log_level"], said["account"], said["contact"]) == ("error", ALPINE, contact)
    assert "@" not in str(said)
    [told] = [row for row in await rows(services, Audit) if row.what == "loop_broken"]
    assert (told.who, told.account_id, told.ticket_id) == ("service", ALPINE, last)
    assert told.detail == {"contact_id": contact, "tickets": 5, "denied": [who]}

    tenant.forget_calls()
    await end(services)
    assert unlinks(server) == [
        f"DELETE {API}/Tickets/{ticket}/AdditionalContacts/{link}"
        for ticket, link in zip(on, ids, strict=True)
    ]
    assert [tenant.linked_contacts(ticket) for ticket in on] == [[], [], []]
    assert {outcome for t in on for _, outcome in (await outcomes(services, t)).values()} == {
        "unlinked"
    }
    tenant.forget_calls()
    await end(services)
    assert tenant.calls == []

    later = tenant.new_ticket(ALPINE, cc=who)
    await look(services, later, on[0])
    assert await outcomes(services, later) == {who: ("denied", "ignored")}
    assert tenant.linked_contacts(later) == tenant.linked_contacts(on[0]) == []


async def test_each_address_by_which_they_came_is_denied(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """What the account inherits and has denied itself stays denied."""
    await say(services, denied=("spam.example",))
    for key in ("bruno.keller@mail.test", "bkeller@alpine-dental.example"):
        await added(services, tenant, key)
    await look(services, *tickets_of(tenant, people.bruno))
    assert await denied(services) == [
        "spam.example",
        "bkeller@alpine-dental.example",
        "bruno.keller@mail.test",
    ]


@pytest.mark.parametrize(
    ("titles", "apart"),
    [
        (PRINTER[:4], 1),
        ([*PRINTER[:4], "Scanner offline"], 1),
        (PRINTER, 7.6),
        (PRINTER * 3, 8),
        (["", "Re: ", "123", "[x]", "AW:"], 1),
    ],
    ids=["four", "another subject", "over half an hour", "many, slowly", "no subject"],
)
async def test_no_loop(
    services: Services, tenant: Tenant, people: Seed, titles: list[str], apart: float
) -> None:
    """Too few, of several subjects, or over more time: any half hour counts, and no longer one."""
    on = await added(services, tenant)
    tickets = tickets_of(tenant, contact_of(tenant, on), titles, apart, ago=180)
    await look(services, *tickets, *tickets)
    await end(services)
    assert (await broken(services), await denied(services)) == ([], [])
    assert len(tenant.linked_contacts(on)) == 1


async def test_whom_we_never_added_may_write_as_many_as_they_like(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Ana is no business of ours, nor is Carla, whom a person has put on a ticket."""
    ticket = tenant.new_ticket(ALPINE, cc=NINA)
    tenant.link(ticket, people.carla)
    await look(services, ticket)
    await look(services, *tickets_of(tenant, people.ana), *tickets_of(tenant, people.carla))
    assert (await broken(services), await denied(services)) == ([], [])


async def test_another_account_is_unaffected(
    services: Services, tenant: Tenant, people: Seed, server: SandboxServer
) -> None:
    """The same address is a contact of its own there, and goes on being added."""
    here = await added(services, tenant)
    there = await added(services, tenant, account=people.harbour)
    await look(services, *tickets_of(tenant, contact_of(tenant, here)))
    await end(services)
    assert tenant.linked_contacts(here) == []
    assert len(tenant.linked_contacts(there)) == 1
    assert await denied(services, people.harbour) == []
    await added(services, tenant, account=people.harbour)


async def test_it_is_broken_once(services: Services, tenant: Tenant, people: Seed) -> None:
    """Not by each ticket that comes after, and not when one of them is looked at again."""
    on = await added(services, tenant)
    tickets = tickets_of(tenant, contact_of(tenant, on), PRINTER * 4)
    await look(services, *tickets)
    await end(services)
    await say(services, denied=())  # its cause is mended
    await look(services, *tickets[:7])
    assert len(await broken(services)) == 1
    assert await denied(services) == []


async def test_a_loop_that_begins_again_is_broken_again(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """By tickets of their own: the cause was not mended."""
    on = await added(services, tenant)
    contact = contact_of(tenant, on)
    await look(services, *tickets_of(tenant, contact))
    await end(services)
    await say(services, denied=())
    await look(services, *tickets_of(tenant, contact, ago=-31))
    assert await broken(services) == [(contact, 5), (contact, 5)]
    assert await denied(services) == [NINA]


async def test_two_workers_at_once_break_it_once(
    services: Services, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of five looks at a time one has the last word; none is missed as nobody saw the others."""
    counted = loops.count

    async def slowly(*of: Any) -> int:
        number = await counted(*of)
        await asyncio.sleep(0.2)
        return number

    monkeypatch.setattr(loops, "count", slowly)
    on = await added(services, tenant)
    await asyncio.gather(
        *(look(services, one) for one in tickets_of(tenant, contact_of(tenant, on)))
    )
    assert len(await broken(services)) == 1
    more = tickets_of(tenant, contact_of(tenant, on), PRINTER)
    await asyncio.gather(*(look(services, one) for one in more))
    assert len(await broken(services)) == 1
    assert len([row for row in await rows(services, Audit) if row.what == "loop_broken"]) == 1


async def test_who_was_forgotten_is_not_stored_again(
    services: Services, tenant: Tenant, people: Seed, api: Any, writer: Any
) -> None:
    """Ignored as it is; the links come off all the same."""
    on = await added(services, tenant)
    contact = contact_of(tenant, on)
    assert (await api.delete(f"/admin/people/{NINA}", headers=writer)).status_code == 200
    with capture_logs() as logged:
        await look(services, *tickets_of(tenant, contact))
    assert "loop_not_denied" not in [one["event"] for one in logged]
    await end(services)
    assert await broken(services) == [(contact, 5)]
    assert await denied(services) == []
    assert tenant.linked_contacts(on) == []


async def test_a_full_list_is_said(services: Services, tenant: Tenant, people: Seed) -> None:
    """The links come off; that the address is not denied stands in log and audit."""
    on = await added(services, tenant)
    full = PolicyDocument(denied=tuple(f"x{n}.example" for n in range(MAX_ENTRIES)))
    await say(services, **full.fields())
    with capture_logs() as logged:
        await look(services, *tickets_of(tenant, contact_of(tenant, on)))
    assert "loop_not_denied" in [one["event"] for one in logged]
    [told] = [row for row in await rows(services, Audit) if row.what == "loop_broken"]
    assert (told.detail["denied"], told.detail["not_denied"]) == ([], "the list is full")
    await end(services)
    assert tenant.linked_contacts(on) == []
