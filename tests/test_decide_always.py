"""What no decision ever does, whatever the list and the facts: I3 and line 15."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.addresses import Address, Rejected
from app.autotask.protocol import MAX_ADDITIONAL_CONTACTS
from app.decide import (
    MAX_NEW_PER_TICKET,
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
    """A link names one of the address's own candidates, an active one unless it is linked."""
    return all(
        any(
            c.contact_id == one.contact_id and (c.active or one.reason is Reason.ALREADY_LINKED)
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


def _ten_new_at_most(entries: Sequence[Address | Rejected], known: Facts) -> bool:
    creates = [one for one in decide(entries, known) if one.verdict is Verdict.CREATE]
    return not creates or len(creates) + len(known.created) <= MAX_NEW_PER_TICKET


def _nobody_new_of_automatic_mail(entries: Sequence[Address | Rejected], known: Facts) -> bool:
    return not known.automatic or all(
        one.reason is Reason.ALREADY_LINKED for one in decide(entries, known) if _acts(one)
    )


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
        _ten_new_at_most,
        _nobody_new_of_automatic_mail,
        _in_the_lists_order,
    ],
)
def test_what_always_holds(
    holds: Callable[[Sequence[Address | Rejected], Facts], bool],
) -> None:
    """I3 and line 15, for lists and facts of any kind."""

    @settings(max_examples=150, deadline=None)
    @given(_ENTRIES, _FACTS)
    def check(entries: list[Address | Rejected], known: Facts) -> None:
        assert holds(entries, known)

    check()
