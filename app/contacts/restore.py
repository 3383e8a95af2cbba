"""Bring back a contact that we ended: active first, then its address, then read back.

The other way round the person's own mail would be refused in between. Each request may be repeated.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.client import Autotask
from app.autotask.errors import NoEffect
from app.autotask.models import Contact
from app.contacts.change import TRIES, until_shown
from app.contacts.changes import changed_by_person
from app.db.database import persist_with
from app.db.tables import Ledger
from app.mail.addresses import address_key, spellings
from app.outbound.rules import NotNow, leave_by
from app.records import forgotten, mappings
from app.records.ledger import restoring
from app.records.ledger.common import Pending
from app.records.ledger.restoring import Restore
from app.services import Services


async def restore_by_hand(
    services: Services, autotask: Autotask, account_id: int, contact_id: int
) -> str:
    """Bring a contact back for a person, and return the result in words.

    From then on it is never ended by itself. Raise NotNow while a request that ended it may still
    take effect, and what the client raises: then it has to be done again.
    """
    async with services.sessions() as session:
        row = await restoring.ended(session, account_id, contact_id)
    if row is None or address_key(row.email) is None:  # or forgotten: its alias is no address
        return "is not ended"
    if why := await _in_the_way(autotask, row):
        return why
    async with services.sessions() as session, session.begin():
        claim = await restoring.claim_by_hand(
            session, account_id, contact_id, services.create_settle
        )
    if claim is None:
        return "is not ended"
    if isinstance(claim, Pending):
        raise NotNow(claim.until, "what ended it may still take effect")
    await send_restore(autotask, claim, account_id)
    await persist_with(services.sessions, record_restored, claim, account_id)
    return "is back"


async def send_restore(
    autotask: Autotask, restore: Restore, account_id: int, tries: int = TRIES
) -> None:
    """Bring a contact back: active first, then its address. Raise NoEffect for one without effect.

    An address is never set at a contact that no reading shows as active. An inactive contact can
    show company 0; only once it is active it is certain that it is the account's.
    """
    contact_id, not_after = restore.contact_id, leave_by()

    async def activate() -> None:
        await autotask.activate_contact(account_id, contact_id, not_after)

    async def set_address() -> None:
        await autotask.set_address(account_id, contact_id, restore.email, not_after)

    def is_active(contact: Contact) -> bool:
        return contact.active and contact.company_id == account_id

    def is_back(contact: Contact) -> bool:
        return is_active(contact) and address_key(contact.email or "") == restore.email

    if not await until_shown(autotask, contact_id, activate, is_active, tries):
        raise NoEffect("it answers that the contact was activated, and does not show it active")
    if not await until_shown(autotask, contact_id, set_address, is_back, tries):
        raise NoEffect("it answers that the contact's address was set, and does not show it")


async def _in_the_way(autotask: Autotask, row: Ledger) -> str | None:
    """Return what a person has done since with the contact, or with its address."""
    assert row.contact_id is not None
    contact = await autotask.whole_contact(row.contact_id)
    if contact is None:
        return "does not exist any more"
    others = {address_key(email) for email in contact.emails} - {row.email}
    inactive_elsewhere = not contact.active and not contact.company_id  # it can show company 0
    account_id = contact.company_id or 0 if inactive_elsewhere else row.account_id
    if others or changed_by_person(contact, account_id, row.sent, cleared=not contact.email):
        return "is changed by a person"
    carriers = await autotask.contacts(row.account_id, spellings(row.email), [])
    if any(carrier.id != row.contact_id for carrier in carriers):
        return "has its address at another contact"
    return None


async def record_restored(session: AsyncSession, restore: Restore, account_id: int) -> None:
    """Record that the contact is back, and that its address means it, unless that is forgotten."""
    await restoring.restored(session, restore)
    if not await forgotten.forgotten(session, [restore.email]):
        await mappings.remember(session, account_id, {restore.email: restore.contact_id})
