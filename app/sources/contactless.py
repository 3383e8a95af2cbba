"""Which message can be that of a ticket without a contact: only one of the account's own people.

Such a ticket may have come by telephone, or by the mail of a colleague who is unknown to Autotask.
Anyone can guess its title and write to the help desk.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.autotask.client import Autotask
from app.autotask.models import Ticket
from app.decide import belongs_most_to, not_customer
from app.decide.policy import in_effect
from app.graph.models import Message
from app.mail.addresses import Address, read_mailbox
from app.mail.message import message_id_of
from app.records import policies, tickets
from app.services import Services
from app.settings.settings import Settings

EMAIL = 4
"""The ticket source that Autotask has for mail, unless MAIL_TICKET_SOURCES names others."""


def may_be_mail(ticket: Ticket, settings: Settings) -> bool:
    """Return whether a ticket without a contact may have come by mail.

    A source that is not known says nothing.
    """
    return ticket.source in (settings.mail_ticket_sources or (EMAIL, None))


async def of_colleagues(
    services: Services, autotask: Autotask, ticket: Ticket, messages: Sequence[Message]
) -> list[Message]:
    """Return the messages that a person of the ticket's account wrote, and that opened no ticket.

    The domain of the sender is the account's own. What has no usable Message-ID is left out: it
    cannot be known whether it opened another ticket.
    """
    senders = [_sender(message) for message in messages]
    ids = [message_id_of(message.message_id or "") for message in messages]
    own, others = await _domains(services, autotask, ticket, senders)
    help_desk = await services.help_desk(autotask)
    async with services.sessions() as session:
        taken = await tickets.opened_others(session, ticket.id, [i for i in ids if i])
    return [
        message
        for message, sender, message_id in zip(messages, senders, ids, strict=True)
        if sender
        and message_id
        and message_id not in taken
        and belongs_most_to(sender.domain, own, others)
        and not not_customer([sender.key], help_desk)
    ]


async def _domains(
    services: Services, autotask: Autotask, ticket: Ticket, senders: Sequence[Address | None]
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the account's own domains, and those of the senders that are other customers'."""
    async with services.sessions() as session:
        document = await policies.document_of(session, ticket.company_id)
    policy = in_effect(services.settings.default_policy, document).policy
    domains = await services.account_domains(autotask, ticket.company_id)
    domains_of_senders = [one.domain for one in senders if one]
    others = await services.other_clients(autotask, ticket.company_id, domains_of_senders)
    return domains | frozenset(policy.own_domains), others


def _sender(message: Message) -> Address | None:
    address = read_mailbox(message.sender.address) if message.sender else None
    return address if isinstance(address, Address) else None
