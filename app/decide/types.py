"""What a decision is made of, and what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from app.decide.policy import Policy, Side

_BUILT_IN = Policy()


class Verdict(StrEnum):
    """What is done about an address."""

    LINK = "link"
    CREATE = "create"
    HOLD = "hold"
    IGNORE = "ignore"


class Reason(StrEnum):
    """Why: one for each line of the table."""

    INVALID = "invalid"
    FORGOTTEN = "forgotten"
    OWN_ADDRESS = "own_address"
    MACHINE = "machine"
    TECHNICIAN = "technician"
    TICKET_CONTACT = "ticket_contact"
    ALREADY_LINKED = "already_linked"
    REMOVED_BY_PERSON = "removed_by_person"
    NOT_LISTED = "not_listed"
    REJECTED = "rejected"
    POLICY_OFF = "policy_off"
    DENIED = "denied"
    AUTOMATIC_MAIL = "automatic_mail"
    KNOWN = "known"
    INACTIVE = "inactive"
    NON_ASCII = "non_ascii"
    OTHER_CLIENT = "other_client"
    INSIDE = "inside"
    OUTSIDE = "outside"
    MOVED = "moved"
    OVER_LIMIT = "over_limit"
    OVER_DAILY_LIMIT = "over_daily_limit"


NO_ADDRESS = (Reason.INVALID, Reason.FORGOTTEN)
"""The participant's key is no address: it is no usable one, or stands for a forgotten one."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A contact of the ticket's company that an address could mean."""

    contact_id: int
    active: bool = True
    mapped: bool = False
    primary: bool = False  # the address is in its first e-mail field
    muted: bool | None = None  # it is set to get no mail; None: not known
    not_customer: Reason | None = None  # another of its addresses is our own or a technician's

    def rank(self) -> tuple[bool, bool, bool, int]:
        """Order candidates: the mapped one if active, active ones, first field, lowest id."""
        return (
            not (self.mapped and self.active),
            not self.active,
            not self.primary,
            self.contact_id,
        )


@dataclass(frozen=True, slots=True)
class HelpDesk:
    """Who is not a customer: the help desk's addresses and domains, and its technicians."""

    addresses: frozenset[str]
    domains: frozenset[str]
    technicians: frozenset[str]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a ticket and the people in its list.

    linked: contacts on the ticket. contact_keys: all addresses of the ticket's own contact.
    removed: contacts that were on it and that a person took off. created: contacts that earlier
    looks at this ticket created. candidates: by address key. account_domains: domains that are the
    account's own. unlisted: addresses that were in the list earlier and are not any more.
    automatic: the list is of a machine's mail, so nobody may be added unasked. other_clients:
    domains of other customer accounts. forgotten, approved, rejected: addresses, by people's word.
    new_left: outside people that may still be created today. moved: the ticket was another
    account's when people were first decided about. removed_elsewhere: addresses that a person took
    off while it was. retired: contacts of ours that were ended and can be brought back.
    """

    help_desk: HelpDesk
    contact_id: int | None = None
    contact_keys: frozenset[str] = frozenset()
    linked: frozenset[int] = frozenset()
    removed: frozenset[int] = frozenset()
    created: frozenset[int] = frozenset()
    candidates: Mapping[str, Sequence[Candidate]] = field(default_factory=dict)
    account_domains: frozenset[str] = frozenset()
    unlisted: frozenset[str] = frozenset()
    automatic: bool = False
    policy: Policy = _BUILT_IN
    other_clients: frozenset[str] = frozenset()
    forgotten: frozenset[str] = frozenset()
    approved: frozenset[str] = frozenset()
    rejected: frozenset[str] = frozenset()
    new_left: int | None = None
    moved: bool = False
    removed_elsewhere: frozenset[str] = frozenset()
    retired: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one entry of a list, and why.

    contact_id: where a contact is meant; one that is inactive is activated first. muted: it gets
    no mail. detail: what is wrong with an entry that is no address. restores: the contact of ours
    that is brought back rather than a new one created.
    """

    key: str
    name: str
    verdict: Verdict
    reason: Reason
    contact_id: int | None = None
    detail: str | None = None
    muted: bool | None = None
    restores: int | None = None

    @property
    def acts(self) -> bool:
        """Whether somebody is to be brought onto the ticket."""
        return self.verdict in (Verdict.LINK, Verdict.CREATE)

    @property
    def whose(self) -> Side:
        """Whose lifetime a contact has that is created for this."""
        return "inside" if self.reason is Reason.INSIDE else "outside"

    @property
    def is_new_outside(self) -> bool:
        """Whether somebody from outside the account is to be created."""
        return self.verdict is Verdict.CREATE and self.reason is not Reason.INSIDE
