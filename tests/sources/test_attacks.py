"""What customers and gateways do to have the wrong list read, or none, or to keep us busy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.db.states import Result
from app.graph.models import Message as GraphMessage
from app.mail.message import Message
from app.services import Services
from app.settings.settings import Settings
from app.sources import mailbox
from sandbox.graph import HELP_DESK, MailFault
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import (
    due_of,
    let_pass,
    look_at,
    mailbox_of,
    outcomes,
    people_of,
    result_of,
)
from tests.support.mails import ANA, BOTH, BRUNO, NINA, SUBJECT, eml, record_of, source_of

MakeServices = Callable[..., Any]
DORA = "dora.lind@alpine-dental.example"


@pytest.fixture
async def services(make_services: MakeServices, server: SandboxServer, people: Seed) -> Services:
    """A process that knows all sources."""
    sources = ("udf:CC", "mailbox", "description", "eml")
    services: Services = await make_services(cc_sources=sources, **mailbox_of(server))
    return services


RUBBISH = ["n/a", "none", "-", "0", "Cc", "[object Object]", "{{email.cc}}", "Cc: {{email.cc}}"]


@pytest.mark.parametrize("rubbish", RUBBISH)
async def test_a_field_without_a_list_does_not_end_the_search(
    services: Services, tenant: Tenant, people: Seed, rubbish: str
) -> None:
    """A broken template would otherwise pass for lists that were found."""
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, cc=[BRUNO, NINA])
    tenant.update_ticket(ticket, cc=rubbish, callout=False)
    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == BOTH


async def test_what_is_no_list_is_named(services: Services, tenant: Tenant, people: Seed) -> None:
    """Nobody has to guess why a ticket has no list."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, cc="{{email.cc}}")
    assert await look_at(services, ticket) is None
    assert "udf:CC: it holds no list: {{email.cc}}" in str((await record_of(services, ticket)).note)


@pytest.mark.parametrize("newest_is_automatic", [True, False])
async def test_one_copy_that_is_automatic_is_enough(
    services: Services, tenant: Tenant, people: Seed, newest_is_automatic: bool
) -> None:
    """Graph has no headers of what was sent from the mailbox itself."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, title=SUBJECT)
    for n in range(2):
        automatic = bool(n) == newest_is_automatic
        tenant.mail.deliver(
            HELP_DESK,
            sender=ANA,
            subject=SUBJECT,
            cc=[NINA],
            message_id="<1@mail>",
            headers={"Auto-Submitted": "auto-generated"} if automatic else None,
            without_headers=not automatic,
        )
    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == {NINA: ("automatic_mail", "held")}


async def test_copies_may_differ_in_names(services: Services, tenant: Tenant, people: Seed) -> None:
    """Exchange puts in the names of its directory."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, title=SUBJECT)
    for name in ("Nina Osei", "NO"):
        tenant.mail.deliver(
            HELP_DESK, sender=ANA, subject=SUBJECT, cc=[(name, NINA)], message_id="<1@mail>"
        )
    assert await look_at(services, ticket) == Result.DONE


async def test_a_second_message_later_adds_nobody(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Who was held before is not added once the list is in doubt."""
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, cc=[DORA])
    assert await look_at(services, ticket) == Result.DONE
    tenant.contacts[people.dora]["isActive"] = 1
    tenant.mail.deliver(HELP_DESK, sender=ANA, subject=SUBJECT, cc=[NINA])

    assert await look_at(services, ticket) == Result.AMBIGUOUS_MESSAGE
    assert tenant.linked_contacts(ticket) == []


async def test_a_field_is_read_in_time_while_the_mailbox_is_shut(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The mailbox's pause is longer than a gateway takes to fill its field."""
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, copy=False)
    tenant.mail.fail(MailFault("throttled", retry_after="3000"))
    assert await look_at(services, ticket) is None
    due = await due_of(services, ticket)
    assert due.due_at is not None
    assert due.due_at - due.since == timedelta(seconds=30)

    tenant.update_ticket(ticket, cc=NINA, callout=False)
    await let_pass(services, ticket, 31)
    assert await look_at(services, ticket) == Result.DONE


async def test_mail_of_our_own_people_is_no_customers(
    make_services: MakeServices, server: SandboxServer, tenant: Tenant, people: Seed
) -> None:
    """Without a contact, a colleague's mail of the same subject does not compete."""
    services: Services = await make_services(
        own_domains=("other-msp.example",), **mailbox_of(server)
    )
    ticket = tenant.new_ticket(people.alpine, title=SUBJECT)
    for sender in ("x@other-msp.example", "omar.haddad@mail.test", "a@alpine-dental.example"):
        tenant.mail.deliver(HELP_DESK, sender=sender, subject=SUBJECT, cc=[NINA])
    assert await look_at(services, ticket) == Result.DONE


async def test_a_guessed_title_of_another_kind_of_ticket_adds_nobody(
    make_services: MakeServices, server: SandboxServer, tenant: Tenant, people: Seed
) -> None:
    """Where it is known which tickets come by mail, the others are not looked up by title."""
    services: Services = await make_services(mail_ticket_sources=(4,), **mailbox_of(server))
    ticket = tenant.new_ticket(people.alpine, title="Disk full", source=8)
    tenant.mail.deliver(HELP_DESK, sender="x@evil.example", subject="Disk full", cc=[NINA])
    assert await look_at(services, ticket) == Result.NO_LIST
    assert tenant.mail.calls["messages"] == 0


async def test_an_attached_follow_up_is_not_the_first_message(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """As in the mailbox: its subject names a ticket."""
    subject = "RE: T20260101.0001"
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, title=subject)
    tenant.attach(ticket, "mail.eml", eml().replace(SUBJECT.encode(), subject.encode()))
    assert await look_at(services, ticket) is None
    assert await people_of(services, ticket) == {}


async def test_an_attached_mail_without_a_subject_is_nobodys(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Phishing in the reporter's own name."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, title="Is this real?")
    tenant.attach(ticket, "mail.eml", f"From: {ANA}\r\nCc: {NINA}\r\n\r\nHello\r\n".encode())
    assert await look_at(services, ticket) is None
    assert await people_of(services, ticket) == {}


async def test_attached_mails_that_are_not_read_are_named(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Five are opened; that there are more is not silent."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, title=SUBJECT)
    for n in range(7):
        tenant.attach(ticket, f"{n}.eml", eml(sender="x@evil.example"))
    assert await look_at(services, ticket) is None
    note = str((await record_of(services, ticket)).note)
    assert "eml: of 7 attached messages 2 could not be read" in note


async def test_an_attachment_that_autotask_refuses_does_not_block_the_others(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Nor the ticket."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, title=SUBJECT)
    broken = tenant.attach(ticket, "broken.eml", eml())
    tenant.attach(ticket, "original.eml", eml())
    path = f"/Attachments/{broken}"
    tenant.faults.add(Fault("error_500_errors", path_contains=path, times=None, text="No."))
    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == BOTH


async def test_a_title_of_invisible_characters_begins_no_other_subject(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A word and 250 zero-width spaces look like a title that was cut."""
    ticket = tenant.new_ticket(people.alpine, title="Invoice" + "\u200b" * 248)
    sender = "x@alpine-dental.example"
    tenant.mail.deliver(HELP_DESK, sender=sender, subject="Invoices of Mr X", cc=[NINA])
    assert await look_at(services, ticket) == Result.NO_LIST


async def test_long_lists_of_others_are_not_read(
    services: Services, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Subject and sender are compared first: anybody can write to a help desk."""
    read: list[int] = []
    message = mailbox._message

    def counted(one: GraphMessage, settings: Settings) -> Message:
        read.append(len(one.cc))
        return message(one, settings)

    monkeypatch.setattr(mailbox, "_message", counted)
    many = [f"x{n}@flood.example" for n in range(1_500)]
    tenant.mail.deliver(HELP_DESK, sender="x@evil.example", subject=SUBJECT, cc=many)
    tenant.mail.deliver(HELP_DESK, sender=ANA, subject="Another", cc=many)
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, cc=many)

    assert await look_at(services, ticket) == Result.DONE
    assert read == [1_500]
    found = await people_of(services, ticket)
    assert len(found) == 1_001
    assert found["500 more …"].detail == "too_many"


async def test_a_crowd_of_fitting_messages_is_not_read_either(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Whose lists do not matter any more."""
    for _ in range(7):
        tenant.mail.deliver(HELP_DESK, sender=ANA, subject=SUBJECT)
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, title=SUBJECT)
    assert await look_at(services, ticket) == Result.AMBIGUOUS_MESSAGE


async def test_a_mailbox_that_is_too_busy_shuts_nobody_out(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The tickets of that hour end, and say why; those of other hours go on."""
    tenant.mail.switches.page_size, tenant.mail.switches.pages_overlap = 3, False
    now = datetime.now(UTC)
    for n in range(150):
        at = now - timedelta(seconds=n)
        tenant.mail.deliver(HELP_DESK, sender="x@evil.example", subject=str(n), received_at=at)
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, title=SUBJECT)
    for _ in range(4):
        assert await look_at(services, ticket) is None
        assert "read on at the next look" in str((await record_of(services, ticket)).note)
    for _ in range(2):
        assert await look_at(services, ticket) is None
        assert "more than 116 messages" in str((await record_of(services, ticket)).note)
    assert tenant.mail.calls["messages"] == 40
    assert await services.mailbox.pause() is None
    await let_pass(services, ticket, 2_401)
    assert await look_at(services, ticket) == Result.NO_LIST


@pytest.mark.parametrize("created", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", None])
async def test_a_ticket_without_a_date_has_no_message(
    services: Services, tenant: Tenant, people: Seed, created: str | None
) -> None:
    """How .NET writes no date must not become a defect of ours."""
    ticket = tenant.new_ticket(people.alpine, title=SUBJECT, createDate=created)
    assert await look_at(services, ticket) == Result.NO_LIST
    assert "defect" not in str((await record_of(services, ticket)).note)


async def test_a_ticket_that_waits_is_not_forgotten_when_the_mailbox_is_no_source(
    services: Services, make_services: MakeServices, tenant: Tenant, people: Seed
) -> None:
    """Taking it out of CC_SOURCES helps the tickets that wait for it."""
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, copy=False)
    tenant.mail.fail(MailFault("throttled", retry_after="3000"))
    assert await look_at(services, ticket) is None
    async with services.sessions() as session, session.begin():
        await session.execute(text("UPDATE due SET since = since - interval '1 hour'"))
    without: Services = await make_services(cc_sources=("udf:CC",))
    assert await look_at(without, ticket) == Result.NO_LIST
    assert await source_of(without) is None
    assert await result_of(without, ticket) == Result.NO_LIST
    assert BRUNO not in await people_of(without, ticket)
