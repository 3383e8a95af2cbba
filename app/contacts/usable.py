"""Find why a contact cannot be mapped in an account."""

from __future__ import annotations

from app.autotask.models import Contact
from app.decide import HelpDesk, not_customer
from app.mail.addresses import address_keys


def unusable(
    contact: Contact | None, contact_id: int, account_id: int, help_desk: HelpDesk
) -> str | None:
    """Return why the contact cannot be mapped in the account; None if it can."""
    if contact is None:
        return f"Autotask has no contact {contact_id}."
    if not contact.active:
        return f"Contact {contact_id} is inactive: activate it first."
    if contact.company_id != account_id:
        return (
            f"Contact {contact_id} is of account {contact.company_id}: only a ticket's own "
            "account's contacts can be on it."
        )
    reason = not_customer(address_keys(contact.emails), help_desk)
    return reason and f"Mail to contact {contact_id} comes to the help desk ({reason})."
