"""How far the end of a call reaches: a request, an account, a kind of call, everybody. Pure.

A refusal reaches no further than it proves. Rights on contacts are given by type of organization,
so one account's refusal says nothing about another account:
https://ww4.autotask.net/help/Content/4_Admin/2SecurityLevels/Settings_CRM.htm
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.autotask.errors import (
    AutotaskError,
    Forbidden,
    NotSent,
    Overloaded,
    TooLate,
    Unanswered,
    Unauthorized,
)

_OF_EVERY_TICKET = ("Tickets", "Contacts", "TicketAdditionalContacts", "Resources")
_NEEDED = ("read", "create", "write")


class Reach(StrEnum):
    """Whose work an error keeps from going on."""

    REQUEST = "request"  # this request's person, or its ticket
    SILENCE = "silence"  # the same; after several in a row everybody's
    PLACE = "place"  # such calls about this account, or this record
    CALL = "call"  # such calls, which not every ticket needs
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Call:
    """A kind of call, and what it is about."""

    verb: str
    """`read`, `create`, `change` or `delete`; `write` if it is not known which."""

    entity: str
    about: str = ""
    """The account or else the record that it is about, as in `account 174`; empty: none."""

    @property
    def name(self) -> str:
        """Return how the call is named, whatever it is about."""
        return f"{self.verb} {self.entity}"


def reach(error: AutotaskError, call: Call, refused_elsewhere: int) -> Reach:
    """Return how far an error reaches.

    refused_elsewhere: the other accounts or records about which such a call was refused for a
    missing right, and has succeeded for nobody since.
    """
    if isinstance(error, Unauthorized | Overloaded):
        return Reach.ALL
    if isinstance(error, Forbidden):
        if call.about and not refused_elsewhere:
            return Reach.PLACE
        every = call.verb in _NEEDED and call.entity in _OF_EVERY_TICKET
        return Reach.ALL if every else Reach.CALL
    if isinstance(error, NotSent | Unanswered) and not isinstance(error, TooLate):
        return Reach.SILENCE
    return Reach.REQUEST
