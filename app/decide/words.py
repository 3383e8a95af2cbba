"""Each reason of a decision in words; docs/decision-table.md has the whole rules."""

from __future__ import annotations

from collections.abc import Mapping

from app.decide.types import Reason

WHY: Mapping[str, str] = {
    Reason.INVALID: "it is no usable address",
    Reason.FORGOTTEN: "it was forgotten on request",
    Reason.OWN_ADDRESS: "it is an address of the help desk",
    Reason.MACHINE: "it is a machine's address",
    Reason.TECHNICIAN: "it is a technician's address",
    Reason.TICKET_CONTACT: "it is the ticket's own contact",
    Reason.ALREADY_LINKED: "the contact is on the ticket already",
    Reason.REMOVED_BY_PERSON: "a person took the contact off this ticket",
    Reason.NOT_LISTED: "it is not in the list any more",
    Reason.REJECTED: "a person rejected it on this ticket",
    Reason.POLICY_OFF: "the account's policy is off",
    Reason.DENIED: "the account's policy denies it",
    Reason.AUTOMATIC_MAIL: "a machine sent the mail",
    Reason.KNOWN: "a contact of the account has it",
    Reason.INACTIVE: "the contact that has it is inactive",
    Reason.NON_ASCII: "it has letters beyond ASCII, which can look like others",
    Reason.OTHER_CLIENT: "its domain is another customer's",
    Reason.INSIDE: "it is new, in the account's own domain",
    Reason.OUTSIDE: "it is new, from outside the account",
    Reason.MOVED: "it was copied while the ticket was another customer's",
    Reason.UNKNOWN_SENDER: "it is new, and the sender of the mail is no contact of the account",
    Reason.OVER_LIMIT: "there is no room: too many people on the ticket or in one mail",
    Reason.OVER_DAILY_LIMIT: "there are too many new people today",
}


def why(reason: str) -> str:
    """Return a reason as the end of a sentence: after "because", or after a colon."""
    return WHY.get(reason, reason.replace("_", " "))
