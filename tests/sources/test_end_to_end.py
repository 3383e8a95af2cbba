"""Every source from Autotask's callout to the people on the ticket, over sockets; late ones too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from app.cli.demo import serving
from app.db.states import Result
from app.services import Services
from sandbox.outbox import Action
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.conftest import SECRET, work_until
from tests.support.helpers import due_of, let_pass, mailbox_of, outcomes, result_of

ANA = "Ana Ruiz <ana.ruiz@alpine-dental.example>"
BRUNO = "bruno.keller@alpine-dental.example"
NINA = "nina@radiology.example"
SUBJECT = "Röntgengerät: kein Bild"
CC = f"Bruno <{BRUNO}>, Nina Osei <{NINA}>"
HEADER = f"From: {ANA}\nTo: help@northwind-msp.example\nCc: {CC}\nSubject: {SUBJECT}\n"
CREATES: list[Action] = ["Create"]
BOTH = {BRUNO: ("known", "linked"), NINA: ("outside", "created_and_linked")}


@pytest.fixture
async def services(
    make_services: Callable[..., Any], server: SandboxServer, people: Seed
) -> AsyncIterator[Services]:
    """A process that is served, and to which the sandbox posts its callouts."""
    sources = ("udf:CC", "mailbox", "description", "eml")
    services: Services = await make_services(cc_sources=sources, **mailbox_of(server))
    async with serving(services) as url:
        hooks = f"{url}/webhooks/autotask"
        server.tenant.subscribe(hooks, f"{hooks}/deactivated", SECRET, actions=CREATES)
        yield services


def by_mail(tenant: Tenant, people: Seed, **fields: Any) -> int:
    """Let Autotask make a ticket of a mail of which the mailbox keeps no copy, yet."""
    return tenant.receive_mail(
        people.alpine, sender=ANA, subject=SUBJECT, cc=CC.split(", "), copy=False, **fields
    )


def fill(tenant: Tenant, ticket: int, source: str) -> None:
    """Let a source have its list."""
    if source == "udf":
        tenant.update_ticket(ticket, cc=CC, callout=False)
    elif source == "mailbox":
        tenant.deliver_copy(ticket)
    elif source == "description":
        tenant.update_ticket(ticket, description=HEADER, callout=False)
    else:
        tenant.attach(ticket, "original.eml", f"{HEADER}\nGood morning.\n".encode())


SOURCES = ["udf", "mailbox", "description", "eml"]


@pytest.mark.parametrize("source", SOURCES)
async def test_from_the_callout_to_the_ticket(
    services: Services, tenant: Tenant, people: Seed, source: str
) -> None:
    """One known and one unknown person are on it, and everybody's reason is recorded."""
    ticket = by_mail(tenant, people, callout=False)
    fill(tenant, ticket, source)
    tenant.emit("Create", ticket, None)

    async def done() -> bool:
        return await result_of(services, ticket) == Result.DONE

    await work_until(services, done)
    assert await outcomes(services, ticket) == BOTH
    on_ticket = {tenant.contacts[one]["emailAddress"] for one in tenant.linked_contacts(ticket)}
    assert on_ticket == {BRUNO, NINA}


@pytest.mark.parametrize("source", SOURCES)
async def test_a_list_that_comes_late_is_found(
    services: Services, tenant: Tenant, people: Seed, source: str
) -> None:
    """Fields, copies and attachments arrive after the callout: the ticket is read again."""
    ticket = by_mail(tenant, people)

    async def looked() -> bool:
        due = await due_of(services, ticket)
        return bool(due.done and due.due_at and due.holder is None)

    await work_until(services, lambda: tenant.callout_attempts)
    await work_until(services, looked)
    assert await result_of(services, ticket) is None
    fill(tenant, ticket, source)
    await let_pass(services, ticket, 31)

    async def done() -> bool:
        return await result_of(services, ticket) == Result.DONE

    await work_until(services, done)
    assert await outcomes(services, ticket) == BOTH
