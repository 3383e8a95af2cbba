"""What no decision ever does, whatever the list, facts and policy: I2, I3, lines 9 and 15."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from app.autotask.protocol import MAX_ADDITIONAL_CONTACTS
from app.decide import (
    Candidate,
    Decision,
    Facts,
    HelpDesk,
    Reason,
    Verdict,
    belongs_to,
    decide,
    is_machine,
    listed,
)
from app.decide.policy import Policy
from app.mail.addresses import Address, Rejected

_LOCALS = st.sampled_from("ana jörg noreply x".split())
_DOMAINS = st.sampled_from("alpine.example west.alpine.example msp.example else.example".split())
_KEYS = st.builds("{}@{}".format, _LOCALS, _DOMAINS)
_IDS = st.integers(1, 8)
_SELDOM = st.sampled_from([False, False, False, True])  # what ends most ways through the table
_CANDIDATES = st.lists(
    st.builds(
        Candidate,
        _IDS,
        st.booleans(),
        st.booleans(),
        st.booleans(),
        not_customer=st.sampled_from([None, None, Reason.OWN_ADDRESS, Reason.TECHNICIAN]),
    ),
    max_size=3,
    unique_by=lambda one: one.contact_id,
)
_LINKED = st.builds(
    lambda known, size: known.union(range(100, 100 + size - len(known))),
    st.frozensets(_IDS, max_size=3),
    st.sampled_from([3, 3, 3, 3, 29, 30]),
)
_ACTS = st.sampled_from(["create", "hold", "ignore"])
_WORDS = "own technician contact forgotten unlisted rejected denied allowed begun".split()
_PERSON = st.tuples(st.sets(st.sampled_from(_WORDS), max_size=2), st.booleans(), _CANDIDATES)


@st.composite
def _cases(draw: st.DrawFn) -> tuple[Sequence[Address | Rejected], Facts]:
    """Draw a list and what is known: a few well-known people, strangers, and nonsense."""
    people = draw(st.dictionaries(_KEYS, _PERSON, min_size=1, max_size=6))
    strangers = [f"p{n}@else.example" for n in range(draw(st.sampled_from([0, 1, 12, 99])))]
    nonsense = draw(st.lists(st.text(max_size=5), max_size=3))
    parts: list[list[Address | Rejected]] = [
        [Address(key) for key in people],
        [Address(key) for key in strangers],
        [Rejected(text, "no_address") for text in nonsense],
    ]
    entries = [entry for part in draw(st.permutations(parts)) for entry in part]
    said = {
        word: frozenset(key for key, (words, *_) in people.items() if word in words)
        for word in _WORDS
    }
    approved = frozenset(key for key, (_, is_approved, _) in people.items() if is_approved)
    contacts = {key: candidates for key, (*_, candidates) in people.items()}
    return entries, draw(_facts(said | {"approved": approved}, contacts))


def _facts(
    said: Mapping[str, frozenset[str]], contacts: Mapping[str, Sequence[Candidate]]
) -> st.SearchStrategy[Facts]:
    """Give what else may be known of a ticket and its account."""
    domains = st.frozensets(_DOMAINS, max_size=2)
    return st.builds(
        Facts,
        help_desk=st.builds(
            HelpDesk,
            st.just(said["own"]),
            st.frozensets(st.just("msp.example"), max_size=1),
            st.just(said["technician"]),
        ),
        contact_id=st.none() | _IDS,
        contact_keys=st.just(said["contact"]),
        linked=_LINKED,
        removed=st.frozensets(_IDS, max_size=3),
        created=st.frozensets(_IDS, max_size=3),
        candidates=st.just(contacts),
        account_domains=domains,
        unlisted=st.just(said["unlisted"]),
        automatic=_SELDOM,
        policy=st.builds(
            Policy,
            off=_SELDOM,
            inside=_ACTS,
            outside=_ACTS,
            other_client=_ACTS,
            inactive=st.sampled_from(["hold", "reactivate", "ignore"]),
            own_domains=domains.map(tuple),
            allowed=domains.map(lambda some: (*said["allowed"], *some)),
            denied=domains.map(lambda some: (*said["denied"], *some)),
            max_new_per_ticket=st.sampled_from([10, 0, 1, 30]),
        ),
        other_clients=domains,
        forgotten=st.just(said["forgotten"]),
        approved=st.just(said["approved"]),
        rejected=st.just(said["rejected"]),
        new_left=st.sampled_from([None, -1, 0, 1, 5]),
        new_inside_left=st.sampled_from([None, -1, 0, 1, 5]),
        begun=st.just(said["begun"]),
        unknown_sender=_SELDOM,
    )


def _acts(decision: Decision) -> bool:
    return decision.verdict in (Verdict.LINK, Verdict.CREATE)


def _nobody_of_ours(entries: Sequence[Address | Rejected], known: Facts) -> bool:
    """Own addresses, technicians and machines are never brought."""
    ours = known.help_desk.addresses | known.help_desk.technicians
    return not any(
        one.key in ours
        or belongs_to(one.key.rpartition("@")[2], known.help_desk.domains)
        or is_machine(one.key)
        for one in decide(entries, known)
        if _acts(one)
    )


def _no_contact_that_is_one_of_us(entries: Sequence[Address | Rejected], known: Facts) -> bool:
    """I3: nor by another address of a contact; a ticket that has it already keeps it."""
    return not any(
        one.contact_id == c.contact_id and c.not_customer
        for one in decide(entries, known)
        if _acts(one) and one.reason is not Reason.ALREADY_LINKED
        for c in known.candidates.get(one.key, ())
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


def _new_ones_within_the_days_caps(entries: Sequence[Address | Rejected], known: Facts) -> bool:
    """Of each side; the approved pass, and who is counted already takes nothing away."""
    decisions = decide(entries, known)
    counted = known.approved | known.begun
    new: list[str] = [one.whose for one in decisions if one.creates and one.key not in counted]
    caps = (("outside", known.new_left), ("inside", known.new_inside_left))
    return all(left is None or new.count(whose) <= max(left, 0) for whose, left in caps)


def _what_is_recorded_is_what_was_asked_about(
    entries: Sequence[Address | Rejected], known: Facts
) -> bool:
    """A guard that asks about more than the facts know would have it decided for ever."""
    return [one.key for one in decide(entries, known)] == listed(entries)


def _each_forgotten_address_is_ignored_as_such(
    entries: Sequence[Address | Rejected], known: Facts
) -> bool:
    """Whatever else it is: our own, a technician's, a machine's, beyond the hundredth place."""
    addresses = {entry.key for entry in entries if isinstance(entry, Address)}
    return all(
        one.reason is Reason.FORGOTTEN
        for one in decide(entries, known)
        if one.key in known.forgotten & addresses
    )


def _nobody_new_of_automatic_mail(entries: Sequence[Address | Rejected], known: Facts) -> bool:
    return not known.automatic or all(
        one.reason is Reason.ALREADY_LINKED or one.key in known.approved
        for one in decide(entries, known)
        if _acts(one)
    )


def _nobody_new_from_outside_of_an_unknown_sender(
    entries: Sequence[Address | Rejected], known: Facts
) -> bool:
    """Unless a person has said so, for this ticket or for the account."""
    return not known.unknown_sender or all(
        one.whose == "inside" or one.key in known.approved or known.policy.says(one.key)
        for one in decide(entries, known)
        if one.creates
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


ALWAYS: list[Callable[[Sequence[Address | Rejected], Facts], bool]] = [
    _nobody_of_ours,
    _no_contact_that_is_one_of_us,
    _not_the_tickets_contact,
    _only_candidates,
    _creates_only_unknown,
    _nobody_who_was_removed,
    _thirty_at_most,
    _new_ones_within_the_policys_limit,
    _new_ones_within_the_days_caps,
    _what_is_recorded_is_what_was_asked_about,
    _each_forgotten_address_is_ignored_as_such,
    _no_second_link,
    _nobody_against_peoples_word,
    _nobody_new_of_automatic_mail,
    _nobody_new_from_outside_of_an_unknown_sender,
    _in_the_lists_order,
]


@settings(max_examples=600, deadline=None)
@given(_cases())
def test_what_always_holds(case: tuple[Sequence[Address | Rejected], Facts]) -> None:
    """I2, I3 and line 15, for lists, facts and policies of any kind; the broken ones are named."""
    assert [holds.__name__ for holds in ALWAYS if not holds(*case)] == []
