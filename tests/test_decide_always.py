"""What no decision ever does, whatever the list, facts and policy: I2, I3, lines 9 and 15."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.addresses import Address, Rejected
from app.autotask.protocol import MAX_ADDITIONAL_CONTACTS
from app.decide import (
    Candidate,
    Decision,
    Facts,
    Reason,
    Us,
    Verdict,
    belongs_to,
    decide,
    is_machine,
)
from app.policy import Policy

_LOCALS = st.sampled_from("ana jörg noreply help tech x".split())
_DOMAINS = st.sampled_from("alpine.example west.alpine.example msp.example else.example".split())
_KEYS = st.builds("{}@{}".format, _LOCALS, _DOMAINS)
_IDS = st.integers(1, 40)
_ENTRIES = st.lists(
    st.one_of(
        st.builds(Address, _KEYS),
        st.builds(Address, st.integers(0, 150).map("p{}@else.example".format)),
        st.builds(Rejected, st.text(max_size=5), st.just("no_address")),
    ),
    max_size=140,
)
_CANDIDATES = st.lists(
    st.builds(Candidate, _IDS, st.booleans(), st.booleans(), st.booleans()), max_size=3
)
_LISTED = st.lists(_KEYS | _DOMAINS, max_size=2).map(tuple)
_ACTS = st.sampled_from(["create", "hold", "ignore"])
POLICIES = st.builds(
    Policy,
    off=st.booleans(),
    inside=_ACTS,
    outside=_ACTS,
    other_client=_ACTS,
    inactive=st.sampled_from(["hold", "reactivate", "ignore"]),
    own_domains=st.lists(_DOMAINS, max_size=2).map(tuple),
    allowed=_LISTED,
    denied=_LISTED,
    max_new_per_ticket=st.integers(0, 30),
)
_FACTS: st.SearchStrategy[Facts] = st.builds(
    Facts,
    us=st.builds(
        Us,
        st.frozensets(_KEYS, max_size=2),
        st.frozensets(st.just("msp.example"), max_size=1),
        st.frozensets(_KEYS, max_size=2),
    ),
    contact_id=st.none() | _IDS,
    contact_keys=st.frozensets(_KEYS, max_size=2),
    linked=st.frozensets(st.integers(1, 60), max_size=30),
    removed=st.frozensets(_IDS, max_size=3),
    candidates=st.dictionaries(
        _KEYS | st.integers(0, 150).map("p{}@else.example".format), _CANDIDATES, max_size=40
    ),
    account_domains=st.frozensets(st.just("alpine.example"), max_size=1),
    created=st.frozensets(_IDS, max_size=12),
    unlisted=st.frozensets(_KEYS, max_size=2),
    automatic=st.booleans(),
    policy=POLICIES,
    other_clients=st.frozensets(_DOMAINS, max_size=2),
    forgotten=st.frozensets(_KEYS, max_size=2),
    approved=st.frozensets(_KEYS, max_size=4),
    rejected=st.frozensets(_KEYS, max_size=2),
    new_left=st.none() | st.integers(-2, 5),
)


def _acts(decision: Decision) -> bool:
    return decision.verdict in (Verdict.LINK, Verdict.CREATE)


def _nobody_of_ours(entries: Sequence[Address | Rejected], known: Facts) -> bool:
    """Own addresses, technicians and machines are never brought."""
    ours = known.us.addresses | known.us.technicians
    return not any(
        one.key in ours
        or belongs_to(one.key.rpartition("@")[2], known.us.domains)
        or is_machine(one.key)
        for one in decide(entries, known)
        if _acts(one)
    )


def _not_the_tickets_contact(entries: Sequence[Address | Rejected], known: Facts) -> bool:
    return not any(
        one.key in known.contact_keys
        or (known.contact_id is not None and one.contact_id == known.contact_id)
        for one in decide(entries, known)
        if _acts(one)
    )


def _only_candidates(entries: Sequence[Address | Rejected], known: Facts) -> bool:
    """A link names one of the address's own candidates; an inactive one by its own line only."""
    return all(
        any(
            c.contact_id == one.contact_id
            and (c.active or one.reason in (Reason.ALREADY_LINKED, Reason.INACTIVE))
            for c in known.candidates.get(one.key, ())
        )
        for one in decide(entries, known)
        if one.verdict is Verdict.LINK
    )


def _creates_only_unknown(entries: Sequence[Address | Rejected], known: Facts) -> bool:
    return not any(
        known.candidates.get(one.key) or one.contact_id is not None
        for one in decide(entries, known)
        if one.verdict is Verdict.CREATE
    )


def _nobody_who_was_removed(entries: Sequence[Address | Rejected], known: Facts) -> bool:
    return not any(
        one.contact_id in known.removed - known.linked
        for one in decide(entries, known)
        if one.verdict is Verdict.LINK
    )


def _thirty_at_most(entries: Sequence[Address | Rejected], known: Facts) -> bool:
    decisions = decide(entries, known)
    links = {one.contact_id for one in decisions if one.verdict is Verdict.LINK}
    creates = sum(one.verdict is Verdict.CREATE for one in decisions)
    return len(known.linked | links) + creates <= MAX_ADDITIONAL_CONTACTS


def _new_ones_within_the_policys_limit(entries: Sequence[Address | Rejected], known: Facts) -> bool:
    unasked = sum(
        one.verdict is Verdict.CREATE and one.key not in known.approved
        for one in decide(entries, known)
    )
    return unasked <= max(known.policy.max_new_per_ticket - len(known.created), 0)


def _new_outside_within_the_days_limit(entries: Sequence[Address | Rejected], known: Facts) -> bool:
    new = sum(
        one.is_new_outside and one.key not in known.approved for one in decide(entries, known)
    )
    return known.new_left is None or new <= max(known.new_left, 0)


def _nobody_new_of_automatic_mail(entries: Sequence[Address | Rejected], known: Facts) -> bool:
    return not known.automatic or all(
        one.reason is Reason.ALREADY_LINKED or one.key in known.approved
        for one in decide(entries, known)
        if _acts(one)
    )


def _no_second_link(entries: Sequence[Address | Rejected], known: Facts) -> bool:
    """I2: who is on the ticket is told to be there, and nothing else."""
    return all(
        (one.reason is Reason.ALREADY_LINKED) == (one.contact_id in known.linked)
        for one in decide(entries, known)
        if _acts(one) and one.contact_id is not None
    )


def _nobody_against_peoples_word(entries: Sequence[Address | Rejected], known: Facts) -> bool:
    """Off, denied, forgotten and rejected bring nobody, approved or not."""
    policy = known.policy
    return not any(
        policy.off
        or policy.says(one.key) == "denied"
        or one.key in known.forgotten | known.rejected
        for one in decide(entries, known)
        if _acts(one) and one.reason is not Reason.ALREADY_LINKED
    ) and not any(one.key in known.forgotten for one in decide(entries, known) if _acts(one))


def _in_the_lists_order(entries: Sequence[Address | Rejected], known: Facts) -> bool:
    """One decision for each key, where it stood first."""
    keys = [entry.key if isinstance(entry, Address) else entry.text for entry in entries]
    return [one.key for one in decide(entries, known)] == list(dict.fromkeys(keys))


@pytest.mark.parametrize(
    "holds",
    [
        _nobody_of_ours,
        _not_the_tickets_contact,
        _only_candidates,
        _creates_only_unknown,
        _nobody_who_was_removed,
        _thirty_at_most,
        _new_ones_within_the_policys_limit,
        _new_outside_within_the_days_limit,
        _no_second_link,
        _nobody_against_peoples_word,
        _nobody_new_of_automatic_mail,
        _in_the_lists_order,
    ],
)
def test_what_always_holds(
    holds: Callable[[Sequence[Address | Rejected], Facts], bool],
) -> None:
    """I2, I3 and line 15, for lists, facts and policies of any kind."""

    @settings(max_examples=150, deadline=None)
    @given(_ENTRIES, _FACTS)
    def check(entries: list[Address | Rejected], known: Facts) -> None:
        assert holds(entries, known)

    check()
