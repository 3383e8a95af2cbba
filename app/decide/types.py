"""The facts that decisions are made on, and decisions with their reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from app.decide.policy import Policy, Side
from app.mail.addresses import without_tag

_BUILT_IN = Policy()


class Verdict(StrEnum):
    """What to do about an address."""

    LINK = "link"
    CREATE = "create"
    HOLD = "hold"
    IGNORE = "ignore"


class Reason(StrEnum):
    """Why it was decided so: a reason for each line of the table."""

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
    UNKNOWN_SENDER = "unknown_sender"
    OVER_LIMIT = "over_limit"
    OVER_DAILY_LIMIT = "over_daily_limit"


NOT_CUSTOMER = (Reason.OWN_ADDRESS, Reason.MACHINE, Reason.TECHNICIAN)
"""The address is the help desk's or a machine's."""

NO_ADDRESS = (Reason.INVALID, Reason.FORGOTTEN)
"""The participant's key is no address: it is no usable one, or stands for a forgotten one."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A contact of the ticket's account that an address could mean."""

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
    """Addresses that are no customer's: the help desk's addresses, domains, and technicians.

    Addresses are kept without plus forms, as they are compared.
    """

    addresses: frozenset[str]
    domains: frozenset[str]
    technicians: frozenset[str]

    def __post_init__(self) -> None:
        for name, keys in (("addresses", self.addresses), ("technicians", self.technicians)):
            object.__setattr__(self, name, frozenset(map(without_tag, keys)))


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a ticket and the addresses in its list."""

    help_desk: HelpDesk
    contact_id: int | None = None
    """The ticket's own contact."""
    contact_keys: frozenset[str] = frozenset()
    """All addresses of the ticket's own contact."""
    linked: frozenset[int] = frozenset()
    """Contacts on the ticket."""
    removed: frozenset[int] = frozenset()
    """Contacts that were on the ticket, and that a person took off."""
    created: frozenset[int] = frozenset()
    """Contacts that earlier looks at this ticket created."""
    candidates: Mapping[str, Sequence[Candidate]] = field(default_factory=dict)
    """Contacts that an address could mean, by address."""
    account_domains: frozenset[str] = frozenset()
    """The account's own domains, by its web address."""
    unlisted: frozenset[str] = frozenset()
    """Addresses that were in the list earlier and are not any more."""
    automatic: bool = False
    """Whether a machine wrote the mail, so that new addresses are held."""
    unknown_sender: bool = False
    """Whether only the domain of the mail's sender says that it is the ticket's own."""
    policy: Policy = _BUILT_IN
    other_clients: frozenset[str] = frozenset()
    """Domains of other customer accounts."""
    forgotten: frozenset[str] = frozenset()
    """Addresses that were forgotten on request."""
    approved: frozenset[str] = frozenset()
    """Addresses that a person approved on this ticket, in this account."""
    rejected: frozenset[str] = frozenset()
    """Addresses that a person rejected on this ticket."""
    new_left: int | None = None
    """Contacts from outside that may still be created today; None: no limit."""
    new_inside_left: int | None = None
    """The same of contacts in the account's own domains."""
    begun: frozenset[str] = frozenset()
    """Addresses whose contact is being created, or was just now: they are counted already."""
    moved: bool = False
    """Whether the ticket was in another account when participants were first decided about."""
    removed_elsewhere: frozenset[str] = frozenset()
    """Addresses that a person took off while the ticket was in another account."""
    retired: Mapping[str, int] = field(default_factory=dict)
    """Contacts that we retired and can bring back, by address."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one entry of a list, and why."""

    key: str
    name: str
    verdict: Verdict
    reason: Reason
    contact_id: int | None = None
    """The contact that the address means; an inactive one is activated first."""
    detail: str | None = None
    """What is wrong with an entry that is no address."""
    muted: bool | None = None
    """Whether the contact is set to get no mail; None: not known."""
    restores: int | None = None
    """The retired contact to bring back, rather than create a new one."""

    @property
    def acts(self) -> bool:
        """Whether the address is to be put on the ticket."""
        return self.verdict in (Verdict.LINK, Verdict.CREATE)

    @property
    def whose(self) -> Side:
        """Whose lifetime a contact gets that is created, and which people it counts among."""
        return "inside" if self.reason is Reason.INSIDE else "outside"

    @property
    def creates(self) -> bool:
        """Whether a contact is to be created, or one that was ended to be brought back."""
        return self.verdict is Verdict.CREATE
