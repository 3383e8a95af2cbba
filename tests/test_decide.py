"""The decision table: every line, every pair of lines whose order matters, and what never happens.

A case puts one address, `x@people.example`, into a situation in which one or several lines apply.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from app.addresses import Address, Rejected
from app.decide import (
    Candidate,
    Decision,
    Facts,
    Reason,
    Us,
    Verdict,
    decide,
)
from app.policy import Policy

KEY = "x@people.example"
OWN_CONTACT, SOMEBODY, COLLEAGUE = 1, 2, 3
NOBODY = Us(frozenset(), frozenset(), frozenset())


def facts(candidates: Sequence[Candidate] = (), us: Us = NOBODY, **known: Any) -> Facts:
    """Give facts in which `KEY` has these candidates."""
    return Facts(us=us, candidates={KEY: list(candidates)} if candidates else {}, **known)


def policy(candidates: Sequence[Candidate] = (), **values: Any) -> Facts:
    """Give facts of an account with this policy; what is no field of it is a fact."""
    names = {name for name in values if name in Policy.__slots__}
    allows = Policy(**{name: values.pop(name) for name in names})
    return facts(candidates, policy=allows, **values)


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
FORGOTTEN: Known = {"forgotten": frozenset([KEY])}
APPROVED: Known = {"approved": frozenset([KEY])}
REJECTED: Known = {"rejected": frozenset([KEY])}
OTHERS: Known = {"other_clients": frozenset(["people.example"])}
OFF: Known = {"policy": Policy(off=True)}
DENIED: Known = {"policy": Policy(denied=(KEY,))}
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
    ("2 forgotten", X, facts(**FORGOTTEN), "ignore forgotten", None),
    ("rejected", X, facts(**REJECTED), "ignore rejected", None),
    ("9 off", X, policy(off=True), "ignore policy_off", None),
    ("9 off, known", X, policy([ACTIVE], off=True), "ignore policy_off", SOMEBODY),
    ("9 denied", X, policy(denied=(KEY,)), "ignore denied", None),
    ("9 denied domain", X, policy(denied=("people.example",)), "ignore denied", None),
    ("9 below a denied domain", X, policy(denied=("example",)), "ignore denied", None),
    ("9 denied, known", X, policy([ACTIVE], denied=(KEY,)), "ignore denied", SOMEBODY),
    ("11 hold", X, policy([INACTIVE], inactive="hold"), "hold inactive", SOMEBODY),
    ("11 reactivate", X, policy([INACTIVE], inactive="reactivate"), "link inactive", SOMEBODY),
    ("11 ignore", X, policy([INACTIVE], inactive="ignore"), "ignore inactive", SOMEBODY),
    ("11 allowed", X, policy([INACTIVE], allowed=(KEY,)), "link inactive", SOMEBODY),
    ("12 default", X, facts(**OTHERS), "hold other_client", None),
    ("12 below", Address("x@a.people.example"), facts(**OTHERS), "hold other_client", None),
    ("12 hold", X, policy(other_client="hold", **OTHERS), "hold other_client", None),
    ("12 create", X, policy(other_client="create", **OTHERS), "create other_client", None),
    ("12 ignore", X, policy(other_client="ignore", **OTHERS), "ignore other_client", None),
    ("12 allowed", X, policy(allowed=(KEY,), **OTHERS), "create other_client", None),
    ("13 by own_domains", X, policy(own_domains=("people.example",)), "create inside", None),
    ("13 hold", X, policy(inside="hold", **INSIDE), "hold inside", None),
    ("13 ignore", X, policy(inside="ignore", **INSIDE), "ignore inside", None),
    ("13 allowed", X, policy(inside="ignore", allowed=(KEY,), **INSIDE), "create inside", None),
    ("14 hold", X, policy(outside="hold"), "hold outside", None),
    ("14 ignore", X, policy(outside="ignore"), "ignore outside", None),
    ("14 allowed", X, policy(outside="ignore", allowed=("example",)), "create outside", None),
    ("non-ASCII allowed", JORG, policy(allowed=("people.example",)), "create outside", None),
    ("15 none new", X, policy(max_new_per_ticket=0), "hold over_limit", None),
    ("15 none new, known", X, policy([ACTIVE], max_new_per_ticket=0), "link known", SOMEBODY),
    ("15 spent today", X, facts(new_left=0), "hold over_daily_limit", None),
    ("15 spent today, inside", X, facts(new_left=0, **INSIDE), "create inside", None),
    ("15 spent today, known", X, facts([ACTIVE], new_left=0), "link known", SOMEBODY),
    ("15 allowed", X, policy(max_new_per_ticket=0, allowed=(KEY,)), "hold over_limit", None),
    ("approved 11", X, facts([INACTIVE], **APPROVED), "link inactive", SOMEBODY),
    ("approved 12", X, facts(**APPROVED, **OTHERS), "create other_client", None),
    ("approved 13", X, policy(inside="ignore", **APPROVED, **INSIDE), "create inside", None),
    ("approved 14", X, policy(outside="ignore", **APPROVED), "create outside", None),
    ("approved 15", X, policy(max_new_per_ticket=0, **APPROVED), "create outside", None),
    ("approved today", X, facts(new_left=0, **APPROVED), "create outside", None),
    ("approved automatic", X, facts(**AUTOMATIC, **APPROVED), "create outside", None),
    ("approved, no room", X, facts(**FULL, **APPROVED), "hold over_limit", None),
    ("approved, non-ASCII", JORG, facts(approved=frozenset([JORG.key])), "create outside", None),
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
    ("1 before 2", Rejected(KEY, "ambiguous"), facts(**FORGOTTEN), "invalid"),
    ("2 before 3", X, facts(us=OURS, **FORGOTTEN), "forgotten"),
    ("2 before 4", MACHINE, facts(forgotten=frozenset([MACHINE.key])), "forgotten"),
    ("2 before 5", X, facts(us=TECH, **FORGOTTEN), "forgotten"),
    ("2 before 6", X, facts(**OWN, **FORGOTTEN), "forgotten"),
    ("2 before 7", X, facts([ACTIVE], **LINKED, **FORGOTTEN), "forgotten"),
    ("2 before 10", X, facts([ACTIVE], **FORGOTTEN), "forgotten"),
    ("2 before approved", X, facts(**APPROVED, **FORGOTTEN), "forgotten"),
    ("3 before 9", X, facts(us=OURS, **OFF), "own_address"),
    ("4 before 9", MACHINE, facts(**OFF), "machine"),
    ("5 before 9", X, facts(us=TECH, **OFF), "technician"),
    ("3 before approved", X, facts(us=OURS, **APPROVED), "own_address"),
    ("4 before approved", MACHINE, facts(approved=frozenset([MACHINE.key])), "machine"),
    ("5 before approved", X, facts(us=TECH, **APPROVED), "technician"),
    ("6 before 9", X, facts(**OWN, **OFF), "ticket_contact"),
    ("7 before 9", X, facts([ACTIVE], **LINKED, **OFF), "already_linked"),
    ("7 before denied", X, facts([ACTIVE], **LINKED, **DENIED), "already_linked"),
    ("7 before rejected", X, facts([ACTIVE], **LINKED, **REJECTED), "already_linked"),
    ("8 before 9", X, facts([ACTIVE], **REMOVED, **OFF), "removed_by_person"),
    ("8 before rejected", X, facts([ACTIVE], **REMOVED, **REJECTED), "removed_by_person"),
    ("8 before approved", X, facts([ACTIVE], **REMOVED, **APPROVED), "removed_by_person"),
    ("not listed before approved", X, facts(**UNLISTED, **APPROVED), "not_listed"),
    ("not listed before rejected", X, facts(**UNLISTED, **REJECTED), "not_listed"),
    ("rejected before approved", X, facts(**REJECTED, **APPROVED), "rejected"),
    ("rejected before 9", X, facts(**REJECTED, **OFF), "rejected"),
    ("rejected before 10", X, facts([ACTIVE], **REJECTED), "rejected"),
    ("rejected before 14", X, facts(**REJECTED), "rejected"),
    ("off before denied", X, policy(off=True, denied=(KEY,)), "policy_off"),
    ("off before allowed", X, policy(off=True, allowed=(KEY,)), "policy_off"),
    ("9 before approved", X, facts(**APPROVED, **OFF), "policy_off"),
    ("denied before approved", X, facts(**APPROVED, **DENIED), "denied"),
    ("denied before allowed", X, policy(denied=(KEY,), allowed=(KEY,)), "denied"),
    ("9 before automatic", X, facts(**AUTOMATIC, **OFF), "policy_off"),
    ("denied before automatic", X, facts(**AUTOMATIC, **DENIED), "denied"),
    ("9 before 10", X, facts([ACTIVE], **OFF), "policy_off"),
    ("denied before 10", X, facts([ACTIVE], **DENIED), "denied"),
    ("9 before 11", X, facts([INACTIVE], **DENIED), "denied"),
    ("9 before 12", X, facts(**DENIED, **OTHERS), "denied"),
    ("9 before 13", X, facts(**DENIED, **INSIDE), "denied"),
    ("9 before 14", X, facts(**DENIED), "denied"),
    ("9 before 15", X, facts(**DENIED, **FULL), "denied"),
    ("automatic before allowed", X, policy(allowed=(KEY,), **AUTOMATIC), "automatic_mail"),
    ("automatic before 12", X, facts(**AUTOMATIC, **OTHERS), "automatic_mail"),
    ("10 before 12", X, facts([ACTIVE], **OTHERS), "known"),
    ("11 before 12", X, facts([INACTIVE], **OTHERS), "inactive"),
    ("11 before 13", X, facts([INACTIVE], **INSIDE), "inactive"),
    (
        "11 reactivated before 15",
        X,
        policy([INACTIVE], inactive="reactivate", **FULL),
        "over_limit",
    ),
    (
        "non-ASCII before 12",
        JORG,
        facts(other_clients=frozenset(["people.example"])),
        "non_ascii",
    ),
    ("non-ASCII before 14", JORG, facts(), "non_ascii"),
    ("13 exactly before 12", X, facts(**INSIDE, **OTHERS), "inside"),
    (
        "12 below the account's own before 13",
        Address("x@west.people.example"),
        facts(other_clients=frozenset(["west.people.example"]), **INSIDE),
        "other_client",
    ),
    (
        "13 below another client's before 12",
        Address("x@west.people.example"),
        facts(account_domains=frozenset(["west.people.example"]), **OTHERS),
        "inside",
    ),
    ("12 before 14", X, facts(**OTHERS), "other_client"),
    ("12 before 15", X, facts(**OTHERS, **FULL), "other_client"),
    ("12 created before 15", X, policy(other_client="create", **OTHERS, **FULL), "over_limit"),
    ("13 held before 15", X, policy(inside="hold", **INSIDE, **FULL), "inside"),
    ("14 held before 15", X, policy(outside="hold", **FULL), "outside"),
    ("the ticket's limit before the day's", X, facts(new_left=0, **FULL), "over_limit"),
    ("11 before non-ASCII", JORG, Facts(NOBODY, candidates={JORG.key: [INACTIVE]}), "inactive"),
    ("9 before non-ASCII", JORG, facts(**OFF), "policy_off"),
    ("6 before 12", X, facts(**OWN, **OTHERS), "ticket_contact"),
    ("2 before 8", X, facts([ACTIVE], **REMOVED, **FORGOTTEN), "forgotten"),
    ("2 before 9", X, facts(**OFF, **FORGOTTEN), "forgotten"),
    ("2 before automatic", X, facts(**AUTOMATIC, **FORGOTTEN), "forgotten"),
    ("5 before 8", X, facts([ACTIVE], us=TECH, **REMOVED), "technician"),
    ("5 before 11", X, facts([INACTIVE], us=TECH), "technician"),
    ("4 before 6", MACHINE, Facts(NOBODY, contact_keys=frozenset([MACHINE.key])), "machine"),
    ("6 before rejected", X, facts(**OWN, **REJECTED), "ticket_contact"),
    ("6 before not listed", X, facts(**OWN, **UNLISTED), "ticket_contact"),
    ("not listed before 9", X, facts(**UNLISTED, **OFF), "not_listed"),
    ("rejected before 11", X, facts([INACTIVE], **REJECTED), "rejected"),
    ("rejected before automatic", X, facts(**REJECTED, **AUTOMATIC), "rejected"),
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


@pytest.mark.parametrize(
    "known",
    [
        facts([Candidate(SOMEBODY, muted=True)]),
        facts([Candidate(SOMEBODY, muted=True)], **LINKED),
        policy([Candidate(SOMEBODY, active=False, muted=True)], inactive="reactivate"),
    ],
    ids=["known", "linked already", "activated again"],
)
def test_a_muted_contact_is_linked_and_shown_as_muted(known: Facts) -> None:
    """It gets no mail by its own setting; that keeps nobody off a ticket."""
    [decision] = decide([X], known)
    assert (decision.verdict, decision.muted) == (Verdict.LINK, True)


@pytest.mark.parametrize("muted", [False, None])
def test_who_is_not_known_to_be_muted_is_not_shown_as_muted(muted: bool | None) -> None:
    """Not known is not the same as neither."""
    [decision] = decide([X], facts([Candidate(SOMEBODY, muted=muted)]))
    assert decision.muted is muted
