"""Where lists are found: each source, late ones, none, and those that must not count."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, update

from app.db.states import Result
from app.db.tables import MailboxGate
from app.services import Services
from app.settings.types import SOURCES
from app.sources import REREADS, search
from sandbox.graph import HELP_DESK, MailFault
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.support.helpers import (
    due_of,
    let_pass,
    look_at,
    mailbox_of,
    outcomes,
    people_of,
)
from tests.support.mails import (
    ANA,
    BLOCK,
    BOTH,
    BRUNO,
    NINA,
    SUBJECT,
    eml,
    reading_everything,
    record_of,
    source_of,
)

MakeServices = Callable[..., Any]


@pytest.fixture
async def services(make_services: MakeServices, server: SandboxServer, people: Seed) -> Services:
    """A process that knows all sources."""
    return await reading_everything(make_services, server)


# --- description and attached mail ---------------------------------------------------------------


async def test_a_header_block_on_top_of_the_description_has_the_list(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """As gateways and rules leave it there."""
    ticket = tenant.new_ticket(
        people.alpine, contact_id=people.ana, title=SUBJECT, description=BLOCK
    )
    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == BOTH


async def test_an_attached_mail_has_the_list(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Of several attachments the one that is the ticket's own message."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, title=SUBJECT)
    tenant.attach(ticket, "photo.png", b"\x89PNG")
    tenant.attach(ticket, "phishing.eml", eml("victim@evil.example", "ceo@evil.example"))
    tenant.attach(ticket, "original.EML", eml())
    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == BOTH
    assert await source_of(services) == "eml"


async def test_an_attached_mail_without_a_cc_proves_that_nobody_was_copied(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The whole header is there."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, title=SUBJECT)
    tenant.attach(ticket, "original.eml", eml(cc=None))
    assert await look_at(services, ticket) == Result.NOBODY_COPIED


async def test_a_mail_attached_to_a_note_is_not_the_first_one(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A ticket's list of attachments has those of its notes and time entries, too."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, title=SUBJECT)
    tenant.attach(ticket, "reply.eml", eml(), ticketNoteID=9, parentID=9)
    assert await look_at(services, ticket) is None
    assert await people_of(services, ticket) == {}


async def test_two_attached_mails_that_fit_add_nobody(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """As with two messages in the mailbox."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, title=SUBJECT)
    tenant.attach(ticket, "one.eml", eml())
    tenant.attach(ticket, "two.eml", eml(cc="other@evil.example"))
    assert await look_at(services, ticket) == Result.AMBIGUOUS_MESSAGE
    assert tenant.linked_contacts(ticket) == []


@pytest.mark.parametrize("where", ["description", "eml"])
async def test_reported_phishing_adds_nobody(
    services: Services, tenant: Tenant, people: Seed, where: str
) -> None:
    """A forward, or an attachment, whose sender is not the ticket's contact."""
    evil = "CEO <ceo@evil.example>"
    ticket = tenant.new_ticket(
        people.alpine,
        contact_id=people.ana,
        title=SUBJECT,
        description=BLOCK.replace(ANA, evil) if where == "description" else None,
    )
    if where == "eml":
        tenant.attach(ticket, "mail.eml", eml(sender=evil))
    assert await look_at(services, ticket) is None
    assert await people_of(services, ticket) == {}


async def test_a_cut_description_gives_the_whole_addresses_and_says_so(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Autotask keeps 8,000 characters, wherever that ends."""
    padded = [f"p{n:03d}.{'x' * 50}@no-reply.example" for n in range(200)]
    listed = ", ".join([BRUNO, *padded])
    ticket = tenant.new_ticket(
        people.alpine,
        contact_id=people.ana,
        title=SUBJECT,
        description=f"Cc: {listed}"[:8_000],
    )
    await look_at(services, ticket)
    found = await people_of(services, ticket)
    assert found[BRUNO].outcome == "linked"
    assert [row.detail for row in found.values() if row.detail] == ["cut_off"]
    assert "cut off" in str((await record_of(services, ticket)).note)


# --- automatic mail ------------------------------------------------------------------------------

AUTOMATIC = {
    "Auto-Submitted": "auto-replied",
    "X-Auto-Response-Suppress": "All",
    "Return-Path": "<>",
    "Content-Type": "multipart/report; report-type=delivery-status; boundary=x",
}


@pytest.mark.parametrize("header", AUTOMATIC)
async def test_people_of_automatic_mail_are_held(
    services: Services, tenant: Tenant, people: Seed, header: str
) -> None:
    """Also those who are known; and for ever, when the message is gone."""
    headers = {header: AUTOMATIC[header]}
    ticket = tenant.receive_mail(
        people.alpine, sender=ANA, subject=SUBJECT, cc=[BRUNO, NINA], headers=headers
    )
    held = dict.fromkeys((BRUNO, NINA), ("automatic_mail", "held"))

    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == held

    tenant.mail.mailboxes[HELP_DESK].clear()
    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == held
    assert tenant.linked_contacts(ticket) == []


async def test_an_automatic_mail_file_is_known_as_one(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Its headers are all there."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, title=SUBJECT)
    tenant.attach(ticket, "original.eml", eml(more="Auto-Submitted: auto-generated\r\n"))
    assert await look_at(services, ticket) == Result.DONE
    assert {reason for reason, _ in (await outcomes(services, ticket)).values()} == {
        "automatic_mail"
    }


# --- late lists, and none ------------------------------------------------------------------------


async def test_a_ticket_without_a_list_is_read_again_four_times(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """After 30 s, 2, 10 and 40 min, counted from the callout; no try is counted."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana)
    for step in REREADS:
        assert await look_at(services, ticket) is None
        due = await due_of(services, ticket)
        assert due.due_at is not None
        assert due.due_at - due.since == step
        assert due.tries == 0
        await let_pass(services, ticket, (due.due_at - datetime.now(UTC)).total_seconds())
    assert await look_at(services, ticket) == Result.NO_LIST
    assert tenant.count(entity="TicketAdditionalContacts") == 0


@pytest.mark.parametrize("sources", [(), (4,), (2,)])
async def test_who_may_have_come_by_mail(
    make_services: MakeServices, tenant: Tenant, people: Seed, sources: tuple[int, ...]
) -> None:
    """A ticket without a contact is read again only where its source means mail."""
    services: Services = await make_services(mail_ticket_sources=sources)
    again = await look_at(services, tenant.new_ticket(people.alpine, source=4)) is None
    assert again == (sources == (4,))


async def test_a_field_that_is_filled_late_is_read(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A gateway writes its fields after Autotask's callout left."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana)
    assert await look_at(services, ticket) is None
    tenant.update_ticket(ticket, cc=NINA, callout=False)
    await let_pass(services, ticket, 31)
    assert await look_at(services, ticket) == Result.DONE


@pytest.mark.parametrize(
    ("text", "result"),
    [("Cc:", "nobody_copied"), (" cc : \n", "nobody_copied"), ("", None), (" ; ;; ", None)],
)
async def test_an_empty_field_proves_nothing_without_its_label(
    services: Services, tenant: Tenant, people: Seed, text: str, result: str | None
) -> None:
    """The gateway may not have come to it yet; with the label it has."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, cc=text)
    assert await look_at(services, ticket) == result


async def test_the_first_source_that_answers_ends_the_search(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Unless the lists are to be joined."""
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, cc=[NINA])
    tenant.update_ticket(ticket, cc=BRUNO, callout=False)
    assert await look_at(services, ticket) == Result.DONE
    assert set(await people_of(services, ticket)) == {BRUNO}
    assert tenant.mail.calls["messages"] == 0


async def test_lists_can_be_joined(
    make_services: MakeServices, server: SandboxServer, tenant: Tenant, people: Seed
) -> None:
    """Everybody once; and while one source is away, the others' people need not wait."""
    services: Services = await make_services(cc_sources_merge=True, **mailbox_of(server))
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, cc=[NINA, BRUNO])
    tenant.update_ticket(ticket, cc=BRUNO, callout=False)
    tenant.mail.fail(MailFault("throttled", retry_after="0"))

    assert await look_at(services, ticket) is None
    assert set(await people_of(services, ticket)) == {BRUNO}
    assert tenant.linked_contacts(ticket) == [people.bruno]

    tenant.mail.switches.page_size = 50
    await reopen(services)
    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == BOTH
    assert await source_of(services) == "udf:CC+mailbox"


async def reopen(services: Services) -> None:
    """Let the mailbox's pause be over."""
    async with services.sessions() as session, session.begin():
        await session.execute(update(MailboxGate).values(shut_until=func.now()))


def test_every_source_of_the_settings_can_be_read() -> None:
    """A name that is accepted and not known would be a defect in every look."""
    assert set(search.SOURCES) == set(SOURCES)
