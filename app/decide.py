"""Facts in, decisions out: the decision table, without I/O.

The table is in docs/decision-table.md; the numbers in comments are its lines. The first line that
matches wins. Lines 2, 9 and 12 belong to policies and are not here yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from app.addresses import Address, Rejected
from app.autotask.protocol import MAX_ADDITIONAL_CONTACTS

MAX_NEW_PER_TICKET = 10
"""People that one ticket may bring to be created."""

LIST_LIMIT = 100
"""Addresses of one list that are considered at all."""


class Verdict(StrEnum):
    """What is done about an address."""

    LINK = "link"
    CREATE = "create"
    HOLD = "hold"
    IGNORE = "ignore"


class Reason(StrEnum):
    """Why: one for each line of the table."""

    INVALID = "invalid"
    NON_ASCII = "non_ascii"
    OWN_ADDRESS = "own_address"
    MACHINE = "machine"
    TECHNICIAN = "technician"
    TICKET_CONTACT = "ticket_contact"
    ALREADY_LINKED = "already_linked"
    REMOVED_BY_PERSON = "removed_by_person"
    NOT_LISTED = "not_listed"
    AUTOMATIC_MAIL = "automatic_mail"
    KNOWN = "known"
    INACTIVE = "inactive"
    INSIDE = "inside"
    OUTSIDE = "outside"
    OVER_LIMIT = "over_limit"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A contact of the ticket's company that an address could mean."""

    contact_id: int
    active: bool = True
    mapped: bool = False
    primary: bool = False  # the address is in its first e-mail field
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
class Us:
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
    automatic: the list is of a machine's mail, so nobody may be added unasked.
    """

    us: Us
    contact_id: int | None = None
    contact_keys: frozenset[str] = frozenset()
    linked: frozenset[int] = frozenset()
    removed: frozenset[int] = frozenset()
    created: frozenset[int] = frozenset()
    candidates: Mapping[str, Sequence[Candidate]] = field(default_factory=dict)
    account_domains: frozenset[str] = frozenset()
    unlisted: frozenset[str] = frozenset()
    automatic: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one entry of a list, and why.

    contact_id: where a contact is meant. detail: what is wrong with an entry that is no address.
    """

    key: str
    name: str
    verdict: Verdict
    reason: Reason
    contact_id: int | None = None
    detail: str | None = None


def decide(entries: Sequence[Address | Rejected], facts: Facts) -> list[Decision]:
    """Decide about every entry of a list, in its order; one decision for each key."""
    # Addresses first: what two entries say alike is decided by the one that can be used.
    decisions: dict[str, Decision] = {}
    for entry in sorted(entries, key=lambda entry: isinstance(entry, Rejected)):
        one = _decide_alone(entry, facts)
        decisions.setdefault(one.key, one)
    order = list(dict.fromkeys(_key(entry) for entry in entries))
    return _within_limits([decisions[key] for key in order], facts)


def _key(entry: Address | Rejected) -> str:
    return entry.key if isinstance(entry, Address) else entry.text


def needs_contacts(entries: Sequence[Address | Rejected], us: Us) -> list[str]:
    """Name the addresses, of the first hundred, whose decision depends on Autotask's contacts."""
    order = list(dict.fromkeys(_key(entry) for entry in entries))[:LIST_LIMIT]
    addresses = {entry.key: entry for entry in entries if isinstance(entry, Address)}
    return [
        key for key in order if key in addresses and _without_contacts(addresses[key], us) is None
    ]


def _decide_alone(entry: Address | Rejected, facts: Facts) -> Decision:
    """Go through lines 1 to 14."""
    if isinstance(entry, Rejected):  # 1
        return Decision(_key(entry), "", Verdict.IGNORE, Reason.INVALID, detail=entry.reason)
    early = _without_contacts(entry, facts.us)
    if early:
        verdict, reason = early
        return Decision(entry.key, entry.name, verdict, reason)
    verdict, reason, contact_id = _with_contacts(entry, facts)
    return Decision(entry.key, entry.name, verdict, reason, contact_id)


def _without_contacts(address: Address, us: Us) -> tuple[Verdict, Reason] | None:
    if is_own(address.key, us):  # 3
        return Verdict.IGNORE, Reason.OWN_ADDRESS
    if is_machine(address.key):  # 4
        return Verdict.IGNORE, Reason.MACHINE
    if address.key in us.technicians:  # 5
        return Verdict.IGNORE, Reason.TECHNICIAN
    return None


def is_own(key: str, us: Us) -> bool:
    """Tell whether mail to an address comes to the help desk; `help+x@` goes where `help@` does."""
    local, _, domain = key.rpartition("@")
    without_tag = f"{local.partition('+')[0]}@{domain}"
    # Autotask's own intake addresses are the last ones.
    own_domain = belongs_to(domain, us.domains) or belongs_to(domain, ("autotask.net",))
    return own_domain or not us.addresses.isdisjoint((key, without_tag))


def not_customer(keys: Collection[str], us: Us) -> Reason | None:
    """Tell why a contact with these addresses is not a customer's: mail to it would come to us."""
    if any(is_own(key, us) for key in keys):
        return Reason.OWN_ADDRESS
    return None if us.technicians.isdisjoint(keys) else Reason.TECHNICIAN


def _with_contacts(  # noqa: PLR0911  a line of the table each
    address: Address, facts: Facts
) -> tuple[Verdict, Reason, int | None]:
    candidates = sorted(facts.candidates.get(address.key, ()), key=Candidate.rank)
    ids = [candidate.contact_id for candidate in candidates]
    if address.key in facts.contact_keys or facts.contact_id in ids:  # 6
        return Verdict.IGNORE, Reason.TICKET_CONTACT, facts.contact_id
    on_ticket = next((i for i in ids if i in facts.linked), None)
    if on_ticket is not None:  # 7
        return Verdict.LINK, Reason.ALREADY_LINKED, on_ticket
    taken_off = next((i for i in ids if i in facts.removed), None)
    if taken_off is not None:  # 8
        return Verdict.IGNORE, Reason.REMOVED_BY_PERSON, taken_off
    if address.key in facts.unlisted:
        return Verdict.IGNORE, Reason.NOT_LISTED, None
    best = next((one for one in candidates if not one.not_customer), next(iter(candidates), None))
    if best and best.not_customer:  # 3, 5: by another address of the same contact
        return Verdict.IGNORE, best.not_customer, best.contact_id
    if facts.automatic:
        return Verdict.HOLD, Reason.AUTOMATIC_MAIL, best.contact_id if best else None
    if best and best.active:  # 10
        return Verdict.LINK, Reason.KNOWN, best.contact_id
    if best:
        return Verdict.HOLD, Reason.INACTIVE, best.contact_id  # 11
    if not address.is_ascii:
        # Look-alike letters, and few systems can send there: a person has to see it first.
        return Verdict.HOLD, Reason.NON_ASCII, None
    inside = belongs_to(address.domain, facts.account_domains)  # 13, 14
    return Verdict.CREATE, Reason.INSIDE if inside else Reason.OUTSIDE, None


def _within_limits(decisions: list[Decision], facts: Facts) -> list[Decision]:
    """Apply line 15: hold what the ticket has no room for, the best-known people first."""
    room = MAX_ADDITIONAL_CONTACTS - len(facts.linked)
    new = MAX_NEW_PER_TICKET - len(facts.created)
    placed = set(facts.linked)
    within = list(decisions)
    for position in sorted(range(len(decisions)), key=lambda p: _best_known(p, decisions, facts)):
        one = decisions[position]
        creates = one.verdict is Verdict.CREATE
        if not (creates or one.verdict is Verdict.LINK) or one.contact_id in placed:
            continue  # two addresses of one contact take one place
        if position >= LIST_LIMIT or room <= 0 or (creates and new <= 0):
            within[position] = replace(one, verdict=Verdict.HOLD, reason=Reason.OVER_LIMIT)
            continue
        room -= 1
        new -= creates
        if one.contact_id is not None:
            placed.add(one.contact_id)
    return within


def _best_known(position: int, decisions: Sequence[Decision], facts: Facts) -> tuple[int, int]:
    """Order those who want a place: mapped, other contacts, inside, outside; then as listed."""
    one = decisions[position]
    mapped = any(
        c.mapped and c.contact_id == one.contact_id for c in facts.candidates.get(one.key, ())
    )
    order = {Reason.KNOWN: 0 if mapped else 1, Reason.INSIDE: 2}
    return order.get(one.reason, 3), position


# --- machines ------------------------------------------------------------------------------------

_MACHINES = frozenset(
    """
    noreply no-reply no_reply no.reply donotreply do-not-reply do_not_reply do.not.reply
    mailer-daemon mailerdaemon mail-daemon postmaster bounce bounces devnull null
    """.split()
)
_MACHINE_PREFIXES = tuple(
    """
    noreply+ noreply- no-reply+ no-reply- no_reply+ no_reply- no.reply+ donotreply+ do-not-reply+
    mailer-daemon+ bounce+ bounce- bounces+ bounces- prvs= msprvs1= srs0= srs1=
    """.split()
)


def is_machine(key: str) -> bool:
    """Tell whether an address is read by no person: exact names and prefixes, never substrings."""
    local = key.rpartition("@")[0]
    return local in _MACHINES or local.startswith(_MACHINE_PREFIXES)


# --- domains -------------------------------------------------------------------------------------


def belongs_to(domain: str, domains: Collection[str]) -> bool:
    """Tell whether a domain is one of these or lies below one."""
    return any(part in domains for part in _and_parents(domain))


def _and_parents(domain: str) -> Iterator[str]:
    while domain:
        yield domain
        domain = domain.partition(".")[2]
