"""A ticket without a contact: whose message is its own, and what such a message brings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.db.states import Result
from app.decide.policy import PolicyDocument
from app.records import policies
from app.services import Services
from sandbox.graph import HELP_DESK
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.support.helpers import look_at, mailbox_of, outcomes, people_of
from tests.support.judges import say
from tests.support.mails import ANA, BRUNO, NINA, SUBJECT, record_of

MakeServices = Callable[..., Any]
COLLEAGUE = "someone@alpine-dental.example"
NEW = "new@alpine-dental.example"
PHONE, EMAIL, MONITORING = 2, 4, 8


@pytest.fixture
async def services(make_services: MakeServices, server: SandboxServer, people: Seed) -> Services:
    """A process that reads the mailbox."""
    made: Services = await make_services(cc_sources=("mailbox",), **mailbox_of(server))
    return made


def mail(tenant: Tenant, sender: Any = COLLEAGUE, cc: Any = (NINA,), **more: Any) -> None:
    """Deliver a mail with the ticket's title as its subject."""
    tenant.mail.deliver(HELP_DESK, **{"sender": sender, "subject": SUBJECT, "cc": list(cc)} | more)


STRANGERS = {
    "a stranger": "x@evil.example",
    "of a longer name": "x@not-alpine-dental.example",
    "of a longer domain": "x@alpine-dental.example.evil.example",
    "of another customer": "x@harbour-soehne.example",
    "of another customer below ours": "x@west.alpine-west.example",
    "one of ours": "x@northwind-msp.example",
    "a technician": "omar.haddad@mail.test",
    "nobody": None,
    "an X500 address": ("Ana", "/O=EXCHANGELABS/OU=X/CN=ANA"),
    "a name that is an address": ("someone@alpine-dental.example", "x@evil.example"),
}


async def test_the_mail_of_an_unknown_colleague_is_the_tickets(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Colleagues and contacts are brought; strangers are held, as only a domain speaks for it."""
    ticket = tenant.receive_mail(
        people.alpine, sender=COLLEAGUE, subject=SUBJECT, cc=[BRUNO, NINA, NEW], source=EMAIL
    )
    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == {
        BRUNO: ("known", "linked"),
        NINA: ("unknown_sender", "held"),
        NEW: ("inside", "created_and_linked"),
    }


@pytest.mark.parametrize("sender", STRANGERS.values(), ids=STRANGERS)
async def test_the_mail_of_anybody_else_is_not(
    services: Services, tenant: Tenant, people: Seed, sender: Any
) -> None:
    """Nobody of its list is brought, or shown."""
    tenant.add_company("Alpine West", "west.alpine-west.example", id=900)
    await say(services, own_domains=("alpine-west.example",))
    ticket = tenant.new_ticket(people.alpine, title=SUBJECT)
    mail(tenant, sender, cc=[NINA, BRUNO])
    assert await look_at(services, ticket) == Result.NO_LIST
    assert await people_of(services, ticket) == {}
    assert tenant.linked_contacts(ticket) == []


@pytest.mark.parametrize("sender", ["x@alpine-dental.example", "x@mail.alpine-dental.example"])
async def test_the_domain_is_the_web_addresss_or_below(
    services: Services, tenant: Tenant, people: Seed, sender: str
) -> None:
    """As for people who are inside."""
    ticket = tenant.new_ticket(people.alpine, title=SUBJECT)
    mail(tenant, sender)
    assert await look_at(services, ticket) == Result.DONE


@pytest.mark.parametrize("whose", ["the account", "the default"])
async def test_own_domains_count(
    make_services: MakeServices,
    services: Services,
    server: SandboxServer,
    tenant: Tenant,
    people: Seed,
    whose: str,
) -> None:
    """A customer without a web address, or with a second domain."""
    document = PolicyDocument(own_domains=("bakery.example",))
    if whose == "the default":
        services = await make_services(
            cc_sources=("mailbox",), default_policy=document, **mailbox_of(server)
        )
    else:
        async with services.sessions() as session, session.begin():
            await policies.store(session, people.bakery, document, "test")
    ticket = tenant.new_ticket(people.bakery, title=SUBJECT)
    mail(tenant, "owner@bakery.example", cc=["new@bakery.example"])
    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == {
        "new@bakery.example": ("inside", "created_and_linked")
    }


async def test_an_account_without_a_domain_takes_no_message(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """There is nothing that could speak for a sender."""
    ticket = tenant.new_ticket(people.bakery, title=SUBJECT)
    mail(tenant, "owner@bakery.example")
    assert await look_at(services, ticket) == Result.NO_LIST


SOURCES = {
    "by telephone": (PHONE, (), False),
    "by monitoring": (MONITORING, (), False),
    "by mail": (EMAIL, (), True),
    "by mail, as the setting says": (MONITORING, (MONITORING,), True),
    "by telephone, as the setting says": (EMAIL, (MONITORING,), False),
    "not known": (None, (), True),
    "not known, with the setting": (None, (EMAIL,), False),
}


@pytest.mark.parametrize(("source", "setting", "taken"), SOURCES.values(), ids=SOURCES)
async def test_the_ticket_may_have_come_by_mail(
    make_services: MakeServices,
    server: SandboxServer,
    tenant: Tenant,
    people: Seed,
    source: int | None,
    setting: tuple[int, ...],
    taken: bool,
) -> None:
    """Someone telephones about the printer, and a colleague mails about it in the same hour."""
    services: Services = await make_services(
        cc_sources=("mailbox",), mail_ticket_sources=setting, **mailbox_of(server)
    )
    ticket = tenant.new_ticket(people.alpine, title=SUBJECT, source=source)
    mail(tenant, cc=[BRUNO])
    await look_at(services, ticket)
    assert tenant.linked_contacts(ticket) == ([people.bruno] if taken else [])


async def test_a_message_that_opened_another_ticket_is_not_this_ones(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A colleague whom Autotask knows wrote of the same matter."""
    first = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, cc=[BRUNO, NINA])
    assert await look_at(services, first) == Result.DONE
    second = tenant.new_ticket(people.alpine, title=SUBJECT)
    assert await look_at(services, second) == Result.NO_LIST
    mail(tenant, cc=["carla.mendes@alpine-dental.example"])
    assert await look_at(services, second) == Result.DONE
    assert tenant.linked_contacts(second) == [people.carla]
    assert await look_at(services, second) == Result.DONE  # its own message is no other ticket's


@pytest.mark.parametrize("message_id", ["<>", "<" + "x" * 1_000 + ">", "<a\x07b>"])
async def test_a_message_that_cannot_be_told_apart_does_not_count(
    services: Services, tenant: Tenant, people: Seed, message_id: str
) -> None:
    """Whether it opened another ticket is not known."""
    ticket = tenant.new_ticket(people.alpine, title=SUBJECT)
    mail(tenant, message_id=message_id)
    assert await look_at(services, ticket) == Result.NO_LIST


async def test_who_is_held_stays_so_when_the_message_is_gone(
    make_services: MakeServices, services: Services, tenant: Tenant, people: Seed
) -> None:
    """That the mailbox has it no longer proves nothing; a person's word is what helps."""
    ticket = tenant.receive_mail(people.alpine, sender=COLLEAGUE, subject=SUBJECT, cc=[NINA])
    assert await look_at(services, ticket) == Result.DONE
    without: Services = await make_services(cc_sources=("udf:CC",))
    for _ in range(2):
        assert await look_at(without, ticket) == Result.DONE
        assert await outcomes(services, ticket) == {NINA: ("unknown_sender", "held")}


async def test_once_the_sender_is_the_tickets_contact_the_others_are_brought(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A dispatcher creates the contact and sets it: now the sender speaks for the message."""
    ticket = tenant.receive_mail(people.alpine, sender=COLLEAGUE, subject=SUBJECT, cc=[NINA])
    assert await look_at(services, ticket) == Result.DONE
    contact = tenant.add_contact(people.alpine, COLLEAGUE)
    tenant.update_ticket(ticket, contactID=contact, callout=False)
    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == {NINA: ("outside", "created_and_linked")}


async def test_an_allowed_stranger_is_brought(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A person has said so for the account."""
    await say(services, allowed=("radiology.example",))
    ticket = tenant.receive_mail(people.alpine, sender=COLLEAGUE, subject=SUBJECT, cc=[NINA])
    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == {NINA: ("outside", "created_and_linked")}


async def test_a_crowd_of_strangers_does_not_make_it_ambiguous(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Otherwise anyone could keep a colleague's people off the ticket."""
    for n in range(9):
        mail(tenant, f"x{n}@evil.example")
    ticket = tenant.receive_mail(people.alpine, sender=COLLEAGUE, subject=SUBJECT, cc=[BRUNO])
    assert await look_at(services, ticket) == Result.DONE
    assert (await record_of(services, ticket)).message_id == "10.sandbox@mail.example"
