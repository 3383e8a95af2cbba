"""Check our records for unnamed mailboxes of the help desk, and for people who get no mail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, select, union_all

from app.db.states import ON_TICKET
from app.db.tables import Participant, TicketContact, TicketRecord
from app.decide import NOT_CUSTOMER, HelpDesk, Reason
from app.decide.owners import is_machine, is_own
from app.ops.doctor.deployment import Deployment
from app.ops.doctor.findings import Finding, ok, skipped, warning

_DAYS = timedelta(days=30)
_ACCOUNTS = 5
"""An address on tickets of so many accounts is ours, a vendor's, or a distribution list."""

_MOST = 10
_MANY_MUTED = 0.2
_KNOWN_AS_OURS = (*NOT_CUSTOMER, Reason.INVALID)


async def own_addresses(deployment: Deployment) -> Sequence[Finding]:
    """Name addresses that appear in many accounts and are not known as ours."""
    copied = select(Participant.key.label("address"), Participant.account_id).where(
        Participant.decided_at > func.now() - _DAYS, Participant.reason.not_in(_KNOWN_AS_OURS)
    )
    asking = (
        select(func.unnest(TicketContact.addresses).label("address"), TicketRecord.account_id)
        .join(TicketRecord, TicketRecord.contact_id == TicketContact.contact_id)
        .where(TicketRecord.first_seen_at > func.now() - _DAYS)
    )
    seen = union_all(copied, asking).subquery()
    accounts = func.count(seen.c.account_id.distinct())
    often = (
        select(seen.c.address, accounts)
        .group_by(seen.c.address)
        .having(accounts >= _ACCOUNTS)
        .order_by(accounts.desc(), seen.c.address)
    )
    async with deployment.records() as session:
        rows = [(address, count) for address, count in await session.execute(often)]
    settings = deployment.settings
    help_desk = HelpDesk(settings.our_addresses, frozenset(settings.own_domains), frozenset())
    strange = [(a, n) for a, n in rows if not is_own(a, help_desk) and not is_machine(a)]
    if not strange:
        text = f"No unknown address is on tickets of {_ACCOUNTS} accounts or more."
        return [ok("own_addresses", text)]
    named = ", ".join(f"{address} ({count} accounts)" for address, count in strange[:_MOST])
    more = f", and {len(strange) - _MOST} more" if len(strange) > _MOST else ""
    return [
        warning(
            "own_addresses",
            f"On tickets of {_ACCOUNTS} accounts or more within 30 days: {named}{more}.",
            "Add your own mailboxes, aliases and lists to OWN_ADDRESSES, or their domains to "
            "OWN_DOMAINS: else mails go in circles. A vendor's address may stay.",
        )
    ]


async def mail(deployment: Deployment) -> Sequence[Finding]:
    """Check how many people on tickets are set to get no mail, and name where else to look."""
    contact = Participant.contact_id
    on = select(
        func.count(contact.distinct()),
        func.count(contact.distinct()).filter(Participant.muted.is_(True)),
    ).where(Participant.acted_at > func.now() - _DAYS, Participant.outcome.in_(ON_TICKET))
    async with deployment.records() as session:
        people, muted = (await session.execute(on)).one()
    rules = skipped(
        "mail_rules",
        "Whether additional contacts get mail depends on Autotask's notifications, which the API "
        "does not show.",
        "In each workflow rule, incoming-mail rule and technician's default that mails the "
        "ticket's contact, tick additional contacts as well: docs/setup/autotask.md, step 6. "
        "`autotask-cc watch` ends with a checklist.",
    )
    if not people:
        return [skipped("mail_muted", "No one was added to a ticket within 30 days."), rules]
    text = f"Of {people} people on tickets within 30 days, {muted} are set to get no mail."
    if muted < _MANY_MUTED * people:
        return [ok("mail_muted", text), rules]
    cure = (
        "Untick `Contact does not accept task and ticket email notifications` where it is not "
        "intended; GET /admin/tickets/{id} shows who is `muted`."
    )
    return [warning("mail_muted", text, cure), rules]
