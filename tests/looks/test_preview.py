"""A dry run of one ticket: what a look would decide, and that nothing is changed by asking."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, update

from app.db.tables import Gate
from app.decide.policy import PolicyDocument
from app.looks.preview import preview
from app.records import policies
from app.records.absences import Kind
from app.services import Services
from sandbox.graph import MailFault
from sandbox.model import COMPLETE
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import changes, everything, look_at, mailbox_of, missed_before

CARLA = "carla.mendes@alpine-dental.example"
ANA = "ana.ruiz@alpine-dental.example"
NINA = "nina@radiology.example"
Headers = dict[str, str]


async def dry_run(
    api: httpx.AsyncClient, headers: Headers, services: Services, server: SandboxServer, ticket: int
) -> Any:
    """Ask for a dry run, and see that nothing was written, and that all our rows are as before."""
    await services.tenancy.api_url()
    before, written = await everything(services), changes(server)
    answer = await api.post(f"/admin/tickets/{ticket}/process?dry_run=true", headers=headers)
    assert (await everything(services), changes(server)) == (before, written)
    assert answer.status_code == 200
    return answer.json()


async def test_each_address_has_its_decision_and_reason(
    api: httpx.AsyncClient,
    services: Services,
    tenant: Tenant,
    people: Seed,
    server: SandboxServer,
    writer: Headers,
) -> None:
    """Of a ticket that nobody has told us of, by the policy in effect, and no row is left."""
    async with services.sessions() as session, session.begin():
        guarded = PolicyDocument(preset="guarded")
        await policies.store(session, people.alpine, guarded, "test")
    cc = f"Carla <{CARLA}>, new@alpine-dental.example, Nina Osei <{NINA}>, a(b@c"
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, cc=cc)

    told = await dry_run(api, writer, services, server, ticket)

    assert (told["result"], told["source"], told["observed"]) == ("done", "udf:CC", False)
    assert told["number"] == tenant.tickets[ticket]["ticketNumber"]
    assert (told["account_id"], told["contact_id"]) == (people.alpine, people.ana)
    seen = [(one["decision"], one["reason"], one["contact_id"]) for one in told["decisions"]]
    assert seen == [
        ("link", "known", people.carla),
        ("create", "inside", None),
        ("hold", "outside", None),
        ("ignore", "invalid", None),
    ]
    assert (told["decisions"][2]["address"], told["decisions"][2]["name"]) == (NINA, "Nina Osei")
    assert told["decisions"][3]["detail"]


async def test_it_tells_how_a_look_without_a_list_would_end(
    api: httpx.AsyncClient,
    services: Services,
    tenant: Tenant,
    people: Seed,
    server: SandboxServer,
    writer: Headers,
) -> None:
    """Each result that a ticket can have without anybody being decided about."""
    missing = 99_999_999
    tickets = {
        tenant.new_ticket(people.alpine, cc=NINA, status=COMPLETE): "complete",
        tenant.new_ticket(people.msp, cc=NINA): "parked",
        tenant.new_ticket(people.alpine, cc="Cc:"): "nobody_copied",
        tenant.new_ticket(people.alpine, contact_id=people.ana): "no_list",
        missing: "gone",
    }
    await missed_before(services, Kind.TICKET, missing)
    for ticket, result in tickets.items():
        told = await dry_run(api, writer, services, server, ticket)
        assert (told["result"], told["decisions"], told["source"] is None) == (
            result,
            [],
            result != "nobody_copied",
        )


async def test_two_possible_messages_are_said(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed
) -> None:
    """Nobody would be added."""
    services = await make_services(cc_sources=("eml",))
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, title="Help")
    for number in (1, 2):
        mail = f"From: ana.ruiz@alpine-dental.example\nSubject: Help\nCc: p{number}@x.example\n\n"
        tenant.attach(ticket, f"{number}.eml", mail.encode(), content_type="message/rfc822")
    assert (await preview(services, ticket)).result == "ambiguous_message"


async def test_without_the_mailbox_there_is_no_result(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed, server: SandboxServer
) -> None:
    """A look would be made again, and it is said what it would wait for."""
    services = await make_services(**mailbox_of(server))
    tenant.mail.fail(MailFault("throttled"))
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject="Help", cc=[NINA])
    told = await preview(services, ticket)
    assert (told.result, told.decisions) == (None, ())
    assert told.shut is not None
    assert "the mailbox" in (told.note or "")


async def test_what_looks_did_before_counts(
    api: httpx.AsyncClient,
    services: Services,
    tenant: Tenant,
    people: Seed,
    server: SandboxServer,
    writer: Headers,
) -> None:
    """As in a look: who is on the ticket, who was taken off, and who was in the list before."""
    ticket = tenant.new_ticket(people.alpine, cc=f"{CARLA}, {NINA}")
    await look_at(services, ticket)
    tenant.unlink(ticket, people.carla)
    await missed_before(services, Kind.LINK, people.carla, of=ticket)
    tenant.update_ticket(ticket, cc="")

    told = await dry_run(api, writer, services, server, ticket)

    assert {one["address"]: one["reason"] for one in told["decisions"]} == {
        CARLA: "removed_by_person",
        NINA: "already_linked",
    }
    assert (told["source"], told["result"]) == (None, "done")


async def test_observe_mode_is_said(
    api: httpx.AsyncClient,
    services: Services,
    tenant: Tenant,
    people: Seed,
    server: SandboxServer,
    writer: Headers,
) -> None:
    """The decisions are those of a live look, and it would write nothing."""
    async with services.sessions() as session, session.begin():
        observe = PolicyDocument(act="observe")
        await policies.store(session, people.alpine, observe, "test")
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    told = await dry_run(api, writer, services, server, ticket)
    assert (told["observed"], told["decisions"][0]["decision"]) == (True, "create")


async def test_who_may_only_read_may_not_ask(api: httpx.AsyncClient, reader: Headers) -> None:
    """It costs calls to Autotask."""
    answer = await api.post("/admin/tickets/5/process?dry_run=true", headers=reader)
    assert answer.status_code == 403


@pytest.mark.parametrize("status", [502, 503])
async def test_what_keeps_us_from_autotask_is_said(
    api: httpx.AsyncClient,
    services: Services,
    tenant: Tenant,
    people: Seed,
    writer: Headers,
    status: int,
) -> None:
    """Autotask's own trouble, or that nobody may call it now."""
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    if status == 502:
        tenant.faults.add(Fault("reset_before", entity="Tickets"))
    else:
        async with services.sessions() as session, session.begin():
            until = func.now() + timedelta(minutes=1)
            await session.execute(update(Gate).values(shut_until=until, reason="used up"))
    answer = await api.post(f"/admin/tickets/{ticket}/process?dry_run=true", headers=writer)
    assert answer.status_code == status
    assert "Autotask" in answer.json()["detail"]
