"""The decision table: every line, every pair of lines whose order matters, and what never happens.

A case puts one address, `x@people.example`, into a situation in which one or several lines apply.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from app.addresses import Address, Rejected
from app.decide import (
    LIST_LIMIT,
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
    is_own,
    needs_contacts,
    not_customer,
)

KEY = "x@people.example"
OWN_CONTACT, SOMEBODY, COLLEAGUE = 1, 2, 3
NOBODY = Us(frozenset(), frozenset(), frozenset())


def facts(candidates: Sequence[Candidate] = (), us: Us = NOBODY, **known: Any) -> Facts:
    """Give facts in which `KEY` has these candidates."""
    return Facts(us=us, candidates={KEY: list(candidates)} if candidates else {}, **known)


def us(addresses: str = "", domains: str = "", technicians: str = "") -> Us:
    """Say who we are, from words."""
    return Us(
        frozenset(addresses.split()), frozenset(domains.split()), frozenset(technicians.split())
    )


Known = dict[str, Any]
OURS, TECH = us(KEY), us(technicians=KEY)
ACTIVE, INACTIVE = Candidate(SOMEBODY), Candidate(SOMEBODY, active=False)
OWN: Known = {"contact_id": OWN_CONTACT, "contact_keys": frozenset([KEY])}
LINKED: Known = {"linked": frozenset([SOMEBODY])}
REMOVED: Known = {"removed": frozenset([SOMEBODY])}
FULL: Known = {"linked": frozenset(range(100, 130))}
INSIDE: Known = {"account_domains": frozenset(["people.example"])}
UNLISTED: Known = {"unlisted": frozenset([KEY])}
AUTOMATIC: Known = {"automatic": True}
X, MACHINE = Address(KEY), Address("noreply@people.example")
BAD, JORG = Rejected("alice@good)bob@evil", "ambiguous"), Address("jörg@people.example")

Entry = Address | Rejected
LINES: list[tuple[str, Entry, Facts, str, int | None]] = [
    ("1 invalid", BAD, facts(), "ignore invalid", None),
    ("3 own address", X, facts(us=OURS), "ignore own_address", None),
    ("3 own domain", X, facts(us=us(domains="people.example")), "ignore own_address", None),
    ("3 below an own domain", X, facts(us=us(domains="example")), "ignore own_address", None),
    ("3 intake", Address("a@ww5.autotask.net"), facts(), "ignore own_address", None),
    ("4 machine", MACHINE, facts(), "ignore machine", None),
    ("5 technician", X, facts(us=TECH), "ignore technician", None),
    ("6 by address", X, facts(**OWN), "ignore ticket_contact", OWN_CONTACT),
    ("6 by contact", X, facts([ACTIVE], contact_id=SOMEBODY), "ignore ticket_contact", SOMEBODY),
    ("7 linked", X, facts([ACTIVE], **LINKED), "link already_linked", SOMEBODY),
    ("8 removed", X, facts([ACTIVE], **REMOVED), "ignore removed_by_person", SOMEBODY),
    ("10 known", X, facts([ACTIVE]), "link known", SOMEBODY),
    ("11 inactive", X, facts([INACTIVE]), "hold inactive", SOMEBODY),
    ("non-ASCII", JORG, facts(), "hold non_ascii", None),
    ("not listed any more", X, facts(**UNLISTED), "ignore not_listed", None),
    ("automatic mail", X, facts(**AUTOMATIC), "hold automatic_mail", None),
    ("automatic mail, known", X, facts([ACTIVE], **AUTOMATIC), "hold automatic_mail", SOMEBODY),
    ("13 inside", X, facts(**INSIDE), "create inside", None),
    ("13 below", Address("x@west.people.example"), facts(**INSIDE), "create inside", None),
    ("14 outside", X, facts(account_domains=frozenset(["eople.example"])), "create outside", None),
    ("15 no room", X, facts([ACTIVE], **FULL), "hold over_limit", SOMEBODY),
    ("15 no room to create", X, facts(**FULL), "hold over_limit", None),
]


@pytest.mark.parametrize(
    ("entry", "known", "expected", "contact_id"),
    [pytest.param(*line, id=name) for name, *line in LINES],
)
def test_each_line_of_the_table(
    entry: Entry, known: Facts, expected: str, contact_id: int | None
) -> None:
    """Each line, where it alone applies, gives its decision, reason and contact."""
    [decision] = decide([entry], known)
    assert f"{decision.verdict} {decision.reason}" == expected
    assert decision.contact_id == contact_id


OTHER, MAPPED = Candidate(COLLEAGUE), Candidate(COLLEAGUE, mapped=True)
OTHER_REMOVED: Known = {"removed": frozenset([COLLEAGUE])}
OWN_TOO: Known = {"contact_id": SOMEBODY}
KNOWN_JORG = Facts(us=NOBODY, candidates={JORG.key: [ACTIVE]})

PAIRS: list[tuple[str, Entry, Facts, str]] = [
    ("1 before 3", Rejected(KEY, "ambiguous"), facts(us=OURS), "invalid"),
    ("1 before 10", Rejected(KEY, "ambiguous"), facts([ACTIVE]), "invalid"),
    ("3 before 4", MACHINE, facts(us=us(MACHINE.key)), "own_address"),
    ("3 before 5", X, facts(us=us(KEY, technicians=KEY)), "own_address"),
    ("3 before 6", X, facts(us=OURS, **OWN), "own_address"),
    ("3 before 7", X, facts([ACTIVE], us=OURS, **LINKED), "own_address"),
    ("3 before 8", X, facts([ACTIVE], us=OURS, **REMOVED), "own_address"),
    ("3 before 10", X, facts([ACTIVE], us=OURS), "own_address"),
    ("3 before 11", X, facts([INACTIVE], us=OURS), "own_address"),
    ("3 before 13", X, facts(us=OURS, **INSIDE), "own_address"),
    ("3 before 14", X, facts(us=OURS), "own_address"),
    ("4 before 5", MACHINE, facts(us=us(technicians=MACHINE.key)), "machine"),
    ("4 before 10", MACHINE, Facts(NOBODY, candidates={MACHINE.key: [ACTIVE]}), "machine"),
    ("4 before 13", MACHINE, facts(**INSIDE), "machine"),
    ("5 before 6", X, facts(us=TECH, **OWN), "technician"),
    ("5 before 7", X, facts([ACTIVE], us=TECH, **LINKED), "technician"),
    ("5 before 10", X, facts([ACTIVE], us=TECH), "technician"),
    ("5 before 13", X, facts(us=TECH, **INSIDE), "technician"),
    ("6 before 7", X, facts([ACTIVE], **OWN, **LINKED), "ticket_contact"),
    ("6 before 8", X, facts([ACTIVE], **OWN_TOO, **REMOVED), "ticket_contact"),
    ("6 before 10 and a mapping", X, facts([MAPPED, ACTIVE], **OWN_TOO), "ticket_contact"),
    ("6 before 11", X, facts([INACTIVE], **OWN_TOO), "ticket_contact"),
    ("6 before 13", X, facts(**OWN, **INSIDE), "ticket_contact"),
    ("7 before 8", X, facts([ACTIVE, OTHER], **LINKED, **OTHER_REMOVED), "already_linked"),
    ("7 before 10 and a mapping", X, facts([MAPPED, ACTIVE], **LINKED), "already_linked"),
    ("7 before 11", X, facts([INACTIVE], **LINKED), "already_linked"),
    (
        "7 before 15",
        X,
        facts([ACTIVE], linked=frozenset([SOMEBODY, *range(100, 129)])),
        "already_linked",
    ),
    ("8 before 10", X, facts([ACTIVE, OTHER], **OTHER_REMOVED), "removed_by_person"),
    ("8 before 11", X, facts([INACTIVE], **REMOVED), "removed_by_person"),
    ("10 before 11", X, facts([Candidate(COLLEAGUE, active=False), ACTIVE]), "known"),
    ("10 before 13", X, facts([ACTIVE], **INSIDE), "known"),
    ("10 before non-ASCII", JORG, KNOWN_JORG, "known"),
    ("11 before 14", X, facts([INACTIVE]), "inactive"),
    ("11 before 15", X, facts([INACTIVE], **FULL), "inactive"),
    ("non-ASCII before 13", JORG, facts(**INSIDE), "non_ascii"),
    ("non-ASCII before 15", JORG, facts(**FULL), "non_ascii"),
    ("7 before not listed", X, facts([ACTIVE], **LINKED, **UNLISTED), "already_linked"),
    ("8 before not listed", X, facts([ACTIVE], **REMOVED, **UNLISTED), "removed_by_person"),
    ("not listed before 10", X, facts([ACTIVE], **UNLISTED), "not_listed"),
    ("not listed before 14", X, facts(**UNLISTED), "not_listed"),
    ("13 before 14", X, facts(**INSIDE), "inside"),
    ("1 before automatic", BAD, facts(**AUTOMATIC), "invalid"),
    ("3 before automatic", X, facts(us=OURS, **AUTOMATIC), "own_address"),
    (
        "3 by another address before automatic",
        X,
        facts([Candidate(SOMEBODY, not_customer=Reason.OWN_ADDRESS)], **AUTOMATIC),
        "own_address",
    ),
    ("4 before automatic", MACHINE, facts(**AUTOMATIC), "machine"),
    ("5 before automatic", X, facts(us=TECH, **AUTOMATIC), "technician"),
    ("6 before automatic", X, facts(**OWN, **AUTOMATIC), "ticket_contact"),
    ("7 before automatic", X, facts([ACTIVE], **LINKED, **AUTOMATIC), "already_linked"),
    ("8 before automatic", X, facts([ACTIVE], **REMOVED, **AUTOMATIC), "removed_by_person"),
    ("not listed before automatic", X, facts(**UNLISTED, **AUTOMATIC), "not_listed"),
    ("automatic before 10", X, facts([ACTIVE], **AUTOMATIC), "automatic_mail"),
    ("automatic before 11", X, facts([INACTIVE], **AUTOMATIC), "automatic_mail"),
    ("automatic before non-ASCII", JORG, facts(**AUTOMATIC), "automatic_mail"),
    ("automatic before 13", X, facts(**INSIDE, **AUTOMATIC), "automatic_mail"),
    ("automatic before 15", X, facts(**FULL, **AUTOMATIC), "automatic_mail"),
]


@pytest.mark.parametrize(
    ("entry", "known", "reason"), [pytest.param(*pair, id=name) for name, *pair in PAIRS]
)
def test_of_two_lines_the_first_wins(entry: Entry, known: Facts, reason: str) -> None:
    """Where two lines apply, the one that stands first in the table decides."""
    [decision] = decide([entry], known)
    assert decision.reason == reason


@pytest.mark.parametrize(
    ("best", "other"),
    [
        (Candidate(9, mapped=True), Candidate(1, primary=True)),
        (Candidate(9, primary=True), Candidate(1)),
        (Candidate(9), Candidate(1, active=False, mapped=True, primary=True)),
        (Candidate(1), Candidate(9)),
        (Candidate(1, active=False, primary=True), Candidate(9, active=False, primary=True)),
    ],
    ids=["mapped", "first field", "active before an inactive mapped one", "lowest id", "inactive"],
)
@pytest.mark.parametrize("turned", [False, True])
def test_of_several_contacts_the_best_is_taken(
    best: Candidate, other: Candidate, turned: bool
) -> None:
    """The mapped one, then active ones, then the first field, then the lowest id."""
    candidates = [other, best] if turned else [best, other]
    [decision] = decide([X], facts(candidates))
    assert decision.contact_id == best.contact_id


@pytest.mark.parametrize("turned", [False, True])
def test_a_contact_that_is_also_one_of_us_is_taken_last(turned: bool) -> None:
    """Of two contacts, the customer's is meant, though the other would rank before it."""
    ours = Candidate(SOMEBODY, mapped=True, not_customer=Reason.OWN_ADDRESS)
    candidates = [OTHER, ours] if turned else [ours, OTHER]
    [decision] = decide([X], facts(candidates))
    assert (decision.reason, decision.contact_id) == (Reason.KNOWN, COLLEAGUE)


def test_a_contact_that_is_only_one_of_us_is_ignored_and_named() -> None:
    """Lines 3 and 5 hold for another address of the same contact; the best such one is told."""
    technician = Candidate(SOMEBODY, not_customer=Reason.TECHNICIAN)
    ours = Candidate(COLLEAGUE, not_customer=Reason.OWN_ADDRESS)
    [decision] = decide([X], facts([ours, technician]))
    expected = (Verdict.IGNORE, Reason.TECHNICIAN, SOMEBODY)
    assert (decision.verdict, decision.reason, decision.contact_id) == expected


def test_an_entry_that_is_no_address_keeps_what_is_wrong_with_it() -> None:
    """A rejected text is the key, has no name, and says why."""
    rejected = Decision(BAD.text, "", Verdict.IGNORE, Reason.INVALID, detail="ambiguous")
    assert decide([BAD], facts()) == [rejected]


@pytest.mark.parametrize("known", [facts(us=OURS), facts()], ids=["ignored", "created"])
def test_a_decision_carries_the_senders_name_for_the_person(known: Facts) -> None:
    """The name that stands in the list is kept, whichever line decides."""
    [decision] = decide([Address(KEY, "X. Ample")], known)
    assert decision.name == "X. Ample"


# --- limits --------------------------------------------------------------------------------------


def numbered(count: int, start: int = 0) -> list[Address]:
    """Give strangers."""
    return [Address(f"p{n}@people.example") for n in range(start, start + count)]


def test_what_comes_after_the_first_hundred_is_held() -> None:
    """Line 15: nobody after the hundredth entry gets a place, even where there is room."""
    refuse = [Rejected(f"word {n}", "no_address") for n in range(LIST_LIMIT - 1)]
    decisions = decide([*refuse, *numbered(2)], facts())
    assert [d.reason for d in decisions[LIST_LIMIT - 1 :]] == [Reason.OUTSIDE, Reason.OVER_LIMIT]


def test_only_ten_are_created_and_those_inside_come_first() -> None:
    """Line 15: the most that a ticket may create, colleagues before strangers."""
    strangers = numbered(MAX_NEW_PER_TICKET)
    inside = Address("new@inside.example")
    decisions = decide([*strangers, inside], facts(account_domains=frozenset(["inside.example"])))
    held = [d.key for d in decisions if d.reason is Reason.OVER_LIMIT]
    assert held == [strangers[-1].key]
    assert decisions[-1].verdict is Verdict.CREATE


def test_whom_earlier_looks_created_counts_among_the_ten() -> None:
    """Line 15 is about the ticket: what was created before leaves less to create."""
    before = facts(created=frozenset(range(MAX_NEW_PER_TICKET - 1)))
    reasons = [one.reason for one in decide(numbered(2), before)]
    assert reasons == [Reason.OUTSIDE, Reason.OVER_LIMIT]


def test_one_key_gets_one_decision_and_the_address_wins() -> None:
    """A text that is rejected here and an address there is the address, where it stood first."""
    entries: list[Entry] = [
        Rejected(KEY, "other_header"),
        *numbered(1),
        X,
        Rejected(KEY, "ambiguous"),
    ]
    decisions = decide(entries, facts())
    assert [(one.key, one.reason) for one in decisions] == [
        (KEY, Reason.OUTSIDE),
        ("p0@people.example", Reason.OUTSIDE),
    ]


def test_places_go_to_mapped_then_known_then_inside_then_outside() -> None:
    """Line 15: with one place left, the best-known person gets it wherever it stands."""
    outside, inside, known, mapped = (
        Address(f"{name}@{domain}.example")
        for name, domain in [("o", "out"), ("i", "in"), ("k", "out"), ("m", "out")]
    )
    everybody = [outside, inside, known, mapped]
    with_one_place = Facts(
        us=NOBODY,
        linked=frozenset(range(100, 129)),
        candidates={known.key: [Candidate(1)], mapped.key: [Candidate(2, mapped=True)]},
        account_domains=frozenset(["in.example"]),
    )
    order = []
    while everybody:
        decisions = decide(everybody, with_one_place)
        [placed] = [d.key for d in decisions if d.reason is not Reason.OVER_LIMIT]
        order.append(placed)
        everybody = [entry for entry in everybody if entry.key != placed]
    assert order == [mapped.key, known.key, inside.key, outside.key]


def test_as_many_are_placed_as_there_is_room_for() -> None:
    """Line 15: with two places left, two of three get one."""
    everybody = numbered(3)
    known = Facts(
        us=NOBODY,
        linked=frozenset(range(100, 128)),
        candidates={one.key: [Candidate(n)] for n, one in enumerate(everybody)},
    )
    assert [one.reason for one in decide(everybody, known)] == [
        Reason.KNOWN,
        Reason.KNOWN,
        Reason.OVER_LIMIT,
    ]


def test_two_addresses_of_one_contact_take_one_place() -> None:
    """With one place left, both addresses of the same contact fit."""
    a, b = numbered(2)
    known = Facts(
        us=NOBODY,
        linked=frozenset(range(100, 129)),
        candidates={a.key: [Candidate(1)], b.key: [Candidate(1)]},
    )
    assert [d.reason for d in decide([a, b], known)] == [Reason.KNOWN, Reason.KNOWN]


# --- whose addresses are not customers' ----------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "own"),
    [
        ("help@msp.example", True),
        ("help+ticket@msp.example", True),
        ("help+a+b@msp.example", True),
        ("x+help@msp.example", False),
        ("help@people.example", False),
        ("helper@msp.example", False),
    ],
)
def test_a_tag_does_not_hide_an_own_address(key: str, own: bool) -> None:
    """Mail to `help+x@` arrives where mail to `help@` does; what stands after the + is no name."""
    assert is_own(key, us("help@msp.example")) is own


def test_an_own_address_with_a_tag_is_own_as_written() -> None:
    """An own address may itself have a tag, and then only that one is meant."""
    tagged = us("desk+vip@msp.example")
    assert is_own("desk+vip@msp.example", tagged)
    assert not is_own("desk@msp.example", tagged)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (["ana@people.example"], None),
        ([], None),
        (["ana@people.example", "help+1@msp.example"], Reason.OWN_ADDRESS),
        (["ana@people.example", "tech@home.example"], Reason.TECHNICIAN),
        (["tech@home.example", "help@msp.example"], Reason.OWN_ADDRESS),
    ],
)
def test_a_contact_with_an_address_of_ours_is_no_customer(
    keys: list[str], reason: Reason | None
) -> None:
    """One of a contact's addresses is enough: what is sent to it would come back to us."""
    ours = us("help@msp.example", technicians="tech@home.example")
    assert not_customer(keys, ours) is reason


# --- whom Autotask is asked about ----------------------------------------------------------------


def test_only_those_who_may_be_somebody_are_looked_up() -> None:
    """Own addresses, machines, technicians, invalid entries, what follows a hundred: no query."""
    entries: list[Address | Rejected] = [
        Address("help@msp.example"),
        Address("noreply@people.example"),
        Address("tech@people.example"),
        Rejected("nonsense", "no_address"),
        *numbered(LIST_LIMIT),
    ]
    asked = needs_contacts(entries, us("help@msp.example", technicians="tech@people.example"))
    assert asked == [entry.key for entry in numbered(LIST_LIMIT - 4)]


# --- machines and domains ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "local",
    """
    noreply no-reply no_reply no.reply donotreply do-not-reply mailer-daemon postmaster bounce
    bounces null noreply+7 no-reply-orders bounce+abc bounces-list prvs=12ab=ana srs0=x=y=z=ana
    """.split(),
)
def test_machines_are_known_by_name_or_prefix(local: str) -> None:
    """Exact names and prefixes of what no person reads."""
    assert is_machine(f"{local}@people.example")


@pytest.mark.parametrize(
    "local",
    """
    noreply.smith anoreply nor noreplyx mynoreply post postmaster.jones null.pointer bouncer
    bounce.house reply anoreply+1 ana-bounce-x donotreplyhere daemon ana+noreply ana-no-reply srs
    """.split(),
)
def test_a_name_within_a_name_is_a_person(local: str) -> None:
    """Never by substring: people are called Bouncer, too."""
    assert not is_machine(f"{local}@people.example")


def test_the_domain_does_not_make_a_machine() -> None:
    """Only the part before the @ counts."""
    assert not is_machine("ana@noreply.example")


@pytest.mark.parametrize(
    ("domain", "belongs"),
    [
        ("client.com", True),
        ("mail.client.com", True),
        ("a.b.client.com", True),
        ("notclient.com", False),
        ("client.com.evil.com", False),
        ("com", False),
        ("", False),
    ],
)
def test_a_domain_belongs_to_itself_and_its_parents(domain: str, belongs: bool) -> None:
    """Whole labels from the right, never a part of one."""
    assert belongs_to(domain, {"client.com"}) is belongs
