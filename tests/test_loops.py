"""Mail loops: who was added and answers with ticket after ticket is denied and taken off."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from app import look as looks
from app import loop_records, policies, work
from app.desk import Desk
from app.models import Audit, LinkRecord, Loop
from app.policy import MAX_ENTRIES, PolicyDocument
from sandbox.model import utc_text
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.helpers import changes, outcomes, rows, want
from tests.lifetimes import ALPINE, NINA, end, say

CARLA = "carla.mendes@alpine-dental.example"
API = "/ATServicesRest/v1.0"
PRINTER = [
    "Printer offline",
    "Re: Printer offline",
    "AW: RE: [T20261130.0001] Printer offline",
    "Automatic reply: Printer offline",
    "Re: Re: Re: Printer offline",
]


async def added(desk: Desk, tenant: Tenant, cc: str = NINA, account: int = ALPINE) -> int:
    """Let somebody be copied on a ticket; gives the ticket."""
    ticket = tenant.new_ticket(account, cc=cc)
    await look(desk, ticket)
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


async def look(desk: Desk, *tickets: int) -> None:
    """Look at tickets, one after another."""
    for ticket in tickets:
        await want(desk, ticket)
        async with desk.sessions() as session, session.begin():
            lease = await work.seize(session, work.TICKET, ticket, f"test {ticket}")
        assert lease
        await looks.look(desk, lease)


async def denied(desk: Desk, account: int = ALPINE) -> list[str]:
    """Give whom an account's own policy denies."""
    async with desk.sessions() as session:
        document = await policies.document_of(session, account)
    return list(document.denied or ()) if document else []


async def broken(desk: Desk) -> list[tuple[int, int]]:
    """Give the contact of each loop that was broken, and of how many tickets."""
    return [(one.contact_id, one.tickets) for one in await rows(desk, Loop)]


async def to_come_off(desk: Desk) -> list[int]:
    """Name the tickets of links that are to come off still."""
    return [link.ticket_id for link in await rows(desk, LinkRecord) if link.end_why == "loop"]


def unlinks(server: SandboxServer) -> list[str]:
    """Name what was written: nothing but links that were deleted."""
    assert all(one.startswith("DELETE ") for one in changes(server))
    return changes(server)


@pytest.mark.parametrize("who", [NINA, CARLA], ids=["created", "found"])
async def test_a_loop_is_broken(
    desk: Desk, tenant: Tenant, people: Seed, server: SandboxServer, who: str
) -> None:
    """Denied at once, and at the next pass off all tickets; said in audit, log and reasons."""
    on = [await added(desk, tenant, who) for _ in range(3)]
    contact = contact_of(tenant, on[0])
    ids = [row["id"] for ticket in on for row in tenant.link_rows(ticket)]
    *most, last = tickets_of(tenant, contact)
    await look(desk, *most)
    assert (await broken(desk), await denied(desk)) == ([], [])
    with capture_logs() as logged:
        await look(desk, last)
    assert await broken(desk) == [(contact, 5)]
    assert await denied(desk) == [who]
    [said] = [one for one in logged if one["event"] == "loop_broken" and "tickets" in one]
    assert (said["log_level"], said["account"], said["contact"]) == ("error", ALPINE, contact)
    assert "@" not in str(said)
    [told] = [row for row in await rows(desk, Audit) if row.what == "loop_broken"]
    assert (told.who, told.account_id, told.ticket_id) == ("service", ALPINE, last)
    assert told.detail == {"contact_id": contact, "tickets": 5, "denied": [who]}

    tenant.forget_calls()
    await end(desk)
    assert unlinks(server) == [
        f"DELETE {API}/Tickets/{ticket}/AdditionalContacts/{link}"
        for ticket, link in zip(on, ids, strict=True)
    ]
    assert [tenant.linked_contacts(ticket) for ticket in on] == [[], [], []]
    assert {outcome for t in on for _, outcome in (await outcomes(desk, t)).values()} == {
        "unlinked"
    }
    tenant.forget_calls()
    await end(desk)
    assert tenant.calls == []

    later = tenant.new_ticket(ALPINE, cc=who)
    await look(desk, later, on[0])
    assert await outcomes(desk, later) == {who: ("denied", "ignored")}
    assert tenant.linked_contacts(later) == tenant.linked_contacts(on[0]) == []


async def test_each_address_by_which_they_came_is_denied(
    desk: Desk, tenant: Tenant, people: Seed
) -> None:
    """What the account inherits and has denied itself stays denied."""
    await say(desk, denied=("spam.example",))
    for key in ("bruno.keller@mail.test", "bkeller@alpine-dental.example"):
        await added(desk, tenant, key)
    await look(desk, *tickets_of(tenant, people.bruno))
    assert await denied(desk) == [
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
    desk: Desk, tenant: Tenant, people: Seed, titles: list[str], apart: float
) -> None:
    """Too few, of several subjects, or over more time: any half hour counts, and no longer one."""
    on = await added(desk, tenant)
    tickets = tickets_of(tenant, contact_of(tenant, on), titles, apart, ago=180)
    await look(desk, *tickets, *tickets)
    await end(desk)
    assert (await broken(desk), await denied(desk)) == ([], [])
    assert len(tenant.linked_contacts(on)) == 1


async def test_whom_we_never_added_may_write_as_many_as_they_like(
    desk: Desk, tenant: Tenant, people: Seed
) -> None:
    """Ana is no business of ours, nor is Carla, whom a person has put on a ticket."""
    ticket = tenant.new_ticket(ALPINE, cc=NINA)
    tenant.link(ticket, people.carla)
    await look(desk, ticket)
    await look(desk, *tickets_of(tenant, people.ana), *tickets_of(tenant, people.carla))
    assert (await broken(desk), await denied(desk)) == ([], [])


async def test_another_account_is_unaffected(
    desk: Desk, tenant: Tenant, people: Seed, server: SandboxServer
) -> None:
    """The same address is a contact of its own there, and goes on being added."""
    here = await added(desk, tenant)
    there = await added(desk, tenant, account=people.harbour)
    await look(desk, *tickets_of(tenant, contact_of(tenant, here)))
    await end(desk)
    assert tenant.linked_contacts(here) == []
    assert len(tenant.linked_contacts(there)) == 1
    assert await denied(desk, people.harbour) == []
    await added(desk, tenant, account=people.harbour)


async def test_it_is_broken_once(desk: Desk, tenant: Tenant, people: Seed) -> None:
    """Not by each ticket that comes after, and not when one of them is looked at again."""
    on = await added(desk, tenant)
    tickets = tickets_of(tenant, contact_of(tenant, on), PRINTER * 4)
    await look(desk, *tickets)
    await end(desk)
    await say(desk, denied=())  # its cause is mended
    await look(desk, *tickets[:7])
    assert len(await broken(desk)) == 1
    assert await denied(desk) == []


async def test_a_loop_that_begins_again_is_broken_again(
    desk: Desk, tenant: Tenant, people: Seed
) -> None:
    """By tickets of their own: the cause was not mended."""
    on = await added(desk, tenant)
    contact = contact_of(tenant, on)
    await look(desk, *tickets_of(tenant, contact))
    await end(desk)
    await say(desk, denied=())
    await look(desk, *tickets_of(tenant, contact, ago=-31))
    assert await broken(desk) == [(contact, 5), (contact, 5)]
    assert await denied(desk) == [NINA]


async def test_two_workers_at_once_break_it_once(
    desk: Desk, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of five looks at a time one has the last word; none is missed as nobody saw the others."""
    counted = loop_records.count

    async def slowly(*of: Any) -> int:
        number = await counted(*of)
        await asyncio.sleep(0.2)
        return number

    monkeypatch.setattr(loop_records, "count", slowly)
    on = await added(desk, tenant)
    await asyncio.gather(*(look(desk, one) for one in tickets_of(tenant, contact_of(tenant, on))))
    assert len(await broken(desk)) == 1
    more = tickets_of(tenant, contact_of(tenant, on), PRINTER)
    await asyncio.gather(*(look(desk, one) for one in more))
    assert len(await broken(desk)) == 1
    assert len([row for row in await rows(desk, Audit) if row.what == "loop_broken"]) == 1


async def test_who_was_forgotten_is_not_stored_again(
    desk: Desk, tenant: Tenant, people: Seed, api: Any, writer: Any
) -> None:
    """Ignored as it is; the links come off all the same."""
    on = await added(desk, tenant)
    contact = contact_of(tenant, on)
    assert (await api.delete(f"/admin/people/{NINA}", headers=writer)).status_code == 200
    with capture_logs() as logged:
        await look(desk, *tickets_of(tenant, contact))
    assert "loop_not_denied" not in [one["event"] for one in logged]
    await end(desk)
    assert await broken(desk) == [(contact, 5)]
    assert await denied(desk) == []
    assert tenant.linked_contacts(on) == []


async def test_a_full_list_is_said(desk: Desk, tenant: Tenant, people: Seed) -> None:
    """The links come off; that the address is not denied stands in log and audit."""
    on = await added(desk, tenant)
    full = PolicyDocument(denied=tuple(f"x{n}.example" for n in range(MAX_ENTRIES)))
    await say(desk, **full.fields())
    with capture_logs() as logged:
        await look(desk, *tickets_of(tenant, contact_of(tenant, on)))
    assert "loop_not_denied" in [one["event"] for one in logged]
    [told] = [row for row in await rows(desk, Audit) if row.what == "loop_broken"]
    assert (told.detail["denied"], told.detail["not_denied"]) == ([], "the list is full")
    await end(desk)
    assert tenant.linked_contacts(on) == []
