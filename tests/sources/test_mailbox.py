"""The ticket's own message in the mailbox: which one it is, and which it is not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.db.states import Result
from app.services import Services
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
    result_of,
)
from tests.support.mails import (
    ANA,
    BLOCK,
    BOTH,
    BRUNO,
    NINA,
    SUBJECT,
    reading_everything,
    record_of,
    source_of,
)

MakeServices = Callable[..., Any]


@pytest.fixture
async def services(make_services: MakeServices, server: SandboxServer, people: Seed) -> Services:
    """A process that knows all sources."""
    return await reading_everything(make_services, server)


async def test_the_message_in_the_mailbox_has_the_list(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """For those who let Autotask process their mail; of the message, its id is kept as well."""
    ticket = tenant.receive_mail(
        people.alpine, sender=ANA, subject=SUBJECT, cc=[f"Bruno <{BRUNO}>", f"Nina Osei <{NINA}>"]
    )
    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == BOTH
    assert await source_of(services) == "mailbox"
    record = await record_of(services, ticket)
    assert record.message_id == "1.sandbox@mail.example"
    assert record.by_mail


async def test_a_message_without_a_cc_proves_that_nobody_was_copied(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """There is nothing to be read again."""
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT)
    assert await look_at(services, ticket) == Result.NOBODY_COPIED
    assert (await due_of(services, ticket)).due_at is None
    assert tenant.count(entity="TicketAdditionalContacts") == 0


OTHERS: dict[str, dict[str, Any]] = {
    "somebody else's": {"sender": "carla.mendes@alpine-dental.example"},
    "another subject": {"subject": f"{SUBJECT}!"},
    "a reply": {"subject": f"RE: {SUBJECT}"},
    "too early": {"received_at": datetime.now(UTC) - timedelta(minutes=70)},
    "too late": {"received_at": datetime.now(UTC) + timedelta(minutes=20)},
    "a draft": {"is_draft": True},
    "from nobody": {"sender": None},
    "from an X500 address": {"sender": ("Ana", "/O=EXCHANGELABS/OU=X/CN=ANA")},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
async def test_other_messages_are_not_the_tickets(
    services: Services, tenant: Tenant, people: Seed, other: dict[str, Any]
) -> None:
    """Sender, subject and time have to fit, all of them."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, title=SUBJECT)
    tenant.mail.deliver(HELP_DESK, **{"sender": ANA, "subject": SUBJECT, "cc": [NINA]} | other)

    assert await look_at(services, ticket) is None
    assert tenant.contacts_with(NINA) == []


@pytest.mark.parametrize("address", ["bkeller@alpine-dental.example", "bruno.keller@mail.test"])
async def test_any_address_of_the_contact_can_be_the_sender(
    services: Services, tenant: Tenant, people: Seed, address: str
) -> None:
    """Autotask finds a contact by its second and third address, too."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.bruno, title=SUBJECT)
    tenant.mail.deliver(HELP_DESK, sender=address, subject=SUBJECT, cc=[NINA])
    assert await look_at(services, ticket) == Result.DONE


async def test_a_long_subject_is_known_by_its_beginning(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Autotask cuts titles at 255 characters."""
    subject = "Drucker im Flur, dritter Stock, neben der Küche: " + "piept " * 50
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=subject, cc=[NINA])
    assert len(tenant.tickets[ticket]["title"]) == 255
    assert await look_at(services, ticket) == Result.DONE


async def test_a_follow_up_is_not_the_first_message(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Its subject names a ticket, and its Cc list is another one."""
    subject = "T20260101.0001 again"
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=subject, cc=[NINA])
    assert await look_at(services, ticket) is None
    assert tenant.contacts_with(NINA) == []


async def test_two_messages_that_fit_add_nobody(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A guess would put one mail's people on another mail's ticket."""
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, cc=[NINA])
    tenant.mail.deliver(HELP_DESK, sender=ANA, subject=SUBJECT, cc=[BRUNO])

    assert await look_at(services, ticket) == Result.AMBIGUOUS_MESSAGE
    assert await people_of(services, ticket) == {}
    assert tenant.linked_contacts(ticket) == []
    assert (await due_of(services, ticket)).due_at is None


async def test_copies_of_one_message_are_one(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A mail-flow rule's Bcc beside the original, or the same mail in two folders."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, title=SUBJECT)
    for _ in range(2):
        tenant.mail.deliver(
            HELP_DESK, sender=ANA, subject=SUBJECT, cc=[NINA], message_id="<1@mail>"
        )
    assert await look_at(services, ticket) == Result.DONE


async def test_one_message_id_on_two_lists_is_no_copy(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Anybody can write a Message-ID."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, title=SUBJECT)
    for cc in (NINA, BRUNO):
        tenant.mail.deliver(HELP_DESK, sender=ANA, subject=SUBJECT, cc=[cc], message_id="<1@mail>")
    assert await look_at(services, ticket) == Result.AMBIGUOUS_MESSAGE


async def test_without_a_contact_exactly_one_message_has_to_fit(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """From one of the account's domain; a mail that opened another ticket does not compete."""
    ticket = tenant.new_ticket(people.alpine, title=SUBJECT)
    tenant.mail.deliver(HELP_DESK, sender=HELP_DESK, subject=SUBJECT, cc=[BRUNO])
    tenant.mail.deliver(
        HELP_DESK, sender="someone@alpine-dental.example", subject=SUBJECT, cc=[NINA]
    )
    assert await look_at(services, ticket) == Result.DONE
    assert set(await people_of(services, ticket)) == {NINA}

    second = tenant.new_ticket(people.alpine, title=SUBJECT)
    for sender in ("other@alpine-dental.example", "third@alpine-dental.example"):
        tenant.mail.deliver(HELP_DESK, sender=sender, subject=SUBJECT, cc=[NINA])
    assert await look_at(services, second) == Result.AMBIGUOUS_MESSAGE


async def test_those_in_to_count_only_where_that_is_set(
    services: Services,
    make_services: MakeServices,
    server: SandboxServer,
    tenant: Tenant,
    people: Seed,
) -> None:
    """The help desk itself is among them, and is nobody to add."""
    mail: dict[str, Any] = {"sender": ANA, "subject": SUBJECT, "to": [HELP_DESK, NINA]}
    ticket = tenant.receive_mail(people.alpine, **mail)
    assert await look_at(services, ticket) == Result.NOBODY_COPIED

    with_to: Services = await make_services(
        cc_sources=("mailbox",), include_to=True, **mailbox_of(server)
    )
    assert await look_at(with_to, ticket) == Result.DONE
    assert await outcomes(services, ticket) == {
        HELP_DESK: ("own_address", "ignored"),
        NINA: ("outside", "created_and_linked"),
    }


async def test_a_late_copy_is_found_by_a_later_look(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The copy that a mail-flow rule makes may arrive after the ticket."""
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, cc=[NINA], copy=False)
    assert await look_at(services, ticket) is None
    tenant.deliver_copy(ticket)
    assert await look_at(services, ticket) == Result.DONE


async def test_tickets_wait_while_the_mailbox_cannot_be_read(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """However long, without a try being counted, and without a call to Autotask meanwhile."""
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, cc=[NINA])
    tenant.mail.fail(MailFault("throttled", retry_after="900"))
    assert await look_at(services, ticket) is None
    calls = len(tenant.calls)

    for _ in range(12):
        await let_pass(services, ticket, timedelta(days=10).total_seconds())
        assert await look_at(services, ticket) is None

    due = await due_of(services, ticket)
    assert (len(tenant.calls), due.tries) == (calls, 0)
    assert await result_of(services, ticket) is None


async def test_another_source_helps_while_the_mailbox_cannot_be_read(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Trouble is no answer, so the search goes on."""
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, description=BLOCK)
    tenant.mail.fail(MailFault("throttled"))
    assert await look_at(services, ticket) == Result.DONE
    assert await source_of(services) == "description"
