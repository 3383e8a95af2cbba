"""The decision table: facts in, decisions out.

The numbers in comments are its lines, as in docs/decision-table.md. The first that matches wins.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TypeAlias

from app.autotask.protocol import MAX_ADDITIONAL_CONTACTS
from app.decide.owners import belongs_most_to, belongs_to, is_machine, is_own, is_technician
from app.decide.policy import Act, Side
from app.decide.types import Candidate, Decision, Facts, HelpDesk, Reason, Verdict
from app.mail.addresses import Address, Rejected, is_same_person

LIST_LIMIT = 100
"""Addresses of one list that are considered at all."""


def decide(entries: Sequence[Address | Rejected], facts: Facts) -> list[Decision]:
    """Decide about every entry of a list, in its order; one decision for each key."""
    # Addresses first: of two entries with one text, the usable one decides.
    decisions: dict[str, Decision] = {}
    for entry in sorted(entries, key=lambda entry: isinstance(entry, Rejected)):
        decision = _decide_alone(entry, facts)
        decisions.setdefault(decision.key, decision)
    return _within_limits([decisions[key] for key in listed(entries)], facts)


def listed(entries: Sequence[Address | Rejected]) -> list[str]:
    """Return the key of each decision about a list, in its order: an address, or another text."""
    return list(dict.fromkeys(_key(entry) for entry in entries))


def _key(entry: Address | Rejected) -> str:
    return entry.key if isinstance(entry, Address) else entry.text


def needs_contacts(
    entries: Sequence[Address | Rejected], help_desk: HelpDesk, approved: Collection[str] = ()
) -> list[str]:
    """Return the addresses whose decision depends on Autotask's contacts.

    Only the first hundred are considered, and those approved wherever they stand.
    """
    keys = listed(entries)
    order = keys[:LIST_LIMIT] + [key for key in keys[LIST_LIMIT:] if key in approved]
    addresses = {entry.key: entry for entry in entries if isinstance(entry, Address)}
    return [
        key
        for key in order
        if key in addresses and _without_contacts(addresses[key], help_desk) is None
    ]


def _decide_alone(entry: Address | Rejected, facts: Facts) -> Decision:
    """Go through lines 1 to 14."""
    if isinstance(entry, Rejected):  # 1
        return Decision(_key(entry), "", Verdict.IGNORE, Reason.INVALID, detail=entry.reason)
    if entry.key in facts.forgotten:  # 2
        return Decision(entry.key, entry.name, Verdict.IGNORE, Reason.FORGOTTEN)
    early = _without_contacts(entry, facts.help_desk)
    if early:
        verdict, reason = early
        return Decision(entry.key, entry.name, verdict, reason)
    verdict, reason, contact = _of_this_ticket(entry, facts) or _of_this_account(entry, facts)
    contact_id, muted = (contact.contact_id, contact.muted) if contact else (None, None)
    if reason is Reason.TICKET_CONTACT:
        contact_id = facts.contact_id
    restores = facts.retired.get(entry.key) if verdict is Verdict.CREATE else None
    return Decision(
        entry.key, entry.name, verdict, reason, contact_id, muted=muted, restores=restores
    )


def _without_contacts(address: Address, help_desk: HelpDesk) -> tuple[Verdict, Reason] | None:
    if is_own(address.key, help_desk):  # 3
        return Verdict.IGNORE, Reason.OWN_ADDRESS
    if is_machine(address.key):  # 4
        return Verdict.IGNORE, Reason.MACHINE
    if is_technician(address.key, help_desk):  # 5
        return Verdict.IGNORE, Reason.TECHNICIAN
    return None


_Verdict: TypeAlias = tuple[Verdict, Reason, Candidate | None]


def _of_this_ticket(  # noqa: PLR0911  a line of the table each
    address: Address, facts: Facts
) -> _Verdict | None:
    """Go through lines 6 to 8: what holds on this ticket, whatever the account allows."""
    candidates = sorted(facts.candidates.get(address.key, ()), key=Candidate.rank)
    by_id = {candidate.contact_id: candidate for candidate in candidates}
    if is_same_person(address.key, facts.contact_keys) or facts.contact_id in by_id:  # 6
        return Verdict.IGNORE, Reason.TICKET_CONTACT, None
    on_ticket = next((c for c in candidates if c.contact_id in facts.linked), None)
    if on_ticket is not None:  # 7
        return Verdict.LINK, Reason.ALREADY_LINKED, on_ticket
    taken_off = next((c for c in candidates if c.contact_id in facts.removed), None)
    ended = facts.retired.get(address.key) in facts.removed
    if taken_off is not None or ended or address.key in facts.removed_elsewhere:  # 8
        return Verdict.IGNORE, Reason.REMOVED_BY_PERSON, taken_off
    if address.key in facts.unlisted:
        return Verdict.IGNORE, Reason.NOT_LISTED, None
    if address.key in facts.rejected:
        return Verdict.IGNORE, Reason.REJECTED, None
    best = _best(candidates)
    if best and best.not_customer:  # 3, 5: by another address of the same contact
        return Verdict.IGNORE, best.not_customer, best
    return None


def _of_this_account(  # noqa: PLR0911  a line of the table each
    address: Address, facts: Facts
) -> _Verdict:
    """Go through lines 9 to 14: what the account's policy says."""
    policy, best = facts.policy, _best(facts.candidates.get(address.key, ()))
    said = policy.says(address.key)
    if policy.off:  # 9
        return Verdict.IGNORE, Reason.POLICY_OFF, best
    if said == "denied":
        return Verdict.IGNORE, Reason.DENIED, best
    approved = address.key in facts.approved
    if facts.automatic and not approved:
        return Verdict.HOLD, Reason.AUTOMATIC_MAIL, best
    if best and best.active:  # 10
        return Verdict.LINK, Reason.KNOWN, best
    wanted = approved or said == "allowed"
    if best:  # 11
        verdict = Verdict.LINK if wanted else _ON_INACTIVE[policy.inactive]
        return verdict, Reason.INACTIVE, best
    if not address.is_ascii and not wanted:
        # Letters can look alike, and few systems can send there: a person has to see it first.
        return Verdict.HOLD, Reason.NON_ASCII, None
    reason, act = _origin_of(address, facts)
    if act == "create" and not wanted and reason is not Reason.INSIDE:
        # Copied on another customer's ticket: no person has seen the address here yet.
        if facts.moved:
            return Verdict.HOLD, Reason.MOVED, None
        if facts.unknown_sender:
            return Verdict.HOLD, Reason.UNKNOWN_SENDER, None
    return Verdict.CREATE if wanted else Verdict(act), reason, None


def _origin_of(address: Address, facts: Facts) -> tuple[Reason, Act]:
    """Go through lines 12 to 14: where an unknown address is from, and what the policy says."""
    policy, own = facts.policy, {*facts.account_domains, *facts.policy.own_domains}
    # A domain that is also the account's own counts as its own: one customer has two accounts.
    if belongs_most_to(address.domain, own, facts.other_clients):  # 13
        return Reason.INSIDE, policy.inside
    if belongs_to(address.domain, facts.other_clients):  # 12
        return Reason.OTHER_CLIENT, policy.other_client
    return Reason.OUTSIDE, policy.outside  # 14


_ON_INACTIVE = {
    "hold": Verdict.HOLD,
    "reactivate": Verdict.LINK,
    "ignore": Verdict.IGNORE,
}


def _best(candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the best contact that is a customer's, else the best of all."""
    ranked = sorted(candidates, key=Candidate.rank)
    return next((c for c in ranked if not c.not_customer), next(iter(ranked), None))


def _within_limits(decisions: list[Decision], facts: Facts) -> list[Decision]:
    """Apply line 15: hold people beyond the limits; the best-known get a place first.

    The approved pass the policy's limits, but not Autotask's.
    """
    room = MAX_ADDITIONAL_CONTACTS - len(facts.linked)
    new = facts.policy.max_new_per_ticket - len(facts.created)
    today = _today(facts, len(decisions))
    placed = set(facts.linked)
    within = list(decisions)
    for position in sorted(range(len(decisions)), key=lambda p: _best_known(p, decisions, facts)):
        decision = decisions[position]
        if not decision.acts or decision.contact_id in placed:
            continue  # two addresses of one contact take one place
        creates, approved = decision.creates, decision.key in facts.approved
        over = not approved and (position >= LIST_LIMIT or (creates and new <= 0))
        counts = counts_today(decision, facts.approved) and decision.key not in facts.begun
        over_today = counts and today[decision.whose] <= 0
        if room <= 0 or over or over_today:
            reason = Reason.OVER_LIMIT if room <= 0 or over else Reason.OVER_DAILY_LIMIT
            within[position] = replace(decision, verdict=Verdict.HOLD, reason=reason)
            continue
        room -= 1
        new -= creates
        today[decision.whose] -= counts
        if decision.contact_id is not None:
            placed.add(decision.contact_id)
    return within


def counts_today(decision: Decision, approved: Collection[str]) -> bool:
    """Return whether a decision brings a new person of the day; an approved one does not count."""
    return decision.creates and decision.key not in approved


def _today(facts: Facts, no_limit: int) -> dict[Side, int]:
    left: dict[Side, int | None] = {"inside": facts.new_inside_left, "outside": facts.new_left}
    return {whose: no_limit if some is None else some for whose, some in left.items()}


def _best_known(position: int, decisions: Sequence[Decision], facts: Facts) -> tuple[int, int]:
    """Order decisions: mapped contacts, other contacts, inside, outside; then as listed."""
    decision = decisions[position]
    mapped = any(
        c.mapped and c.contact_id == decision.contact_id
        for c in facts.candidates.get(decision.key, ())
    )
    order = {Reason.KNOWN: 0 if mapped else 1, Reason.INACTIVE: 1, Reason.INSIDE: 2}
    return order.get(decision.reason, 3), position
