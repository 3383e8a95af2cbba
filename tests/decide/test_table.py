"""The decision table: every line, where it alone applies.

A case puts one address, `x@people.example`, into such a situation. Which line wins where several
apply stands in test_table_order.py, how many there is room for in test_table_limits.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from app.decide import Candidate, Decision, Facts, HelpDesk, Reason, Verdict, decide
from app.decide.policy import Policy
from app.mail.addresses import Address, Rejected

KEY = "x@people.example"
OWN_CONTACT, SOMEBODY, COLLEAGUE = 1, 2, 3
NOBODY = HelpDesk(frozenset(), frozenset(), frozenset())


def facts(
    candidates: Sequence[Candidate] = (), help_desk: HelpDesk = NOBODY, **known: Any
) -> Facts:
    """Give facts in which `KEY` has these candidates."""
    return Facts(
        help_desk=help_desk, candidates={KEY: list(candidates)} if candidates else {}, **known
    )


def policy(candidates: Sequence[Candidate] = (), **values: Any) -> Facts:
    """Give facts of an account with this policy; what is no field of it is a fact."""
    names = {name for name in values if name in Policy.__slots__}
    allows = Policy(**{name: values.pop(name) for name in names})
    return facts(candidates, policy=allows, **values)


def help_desk(addresses: str = "", domains: str = "", technicians: str = "") -> HelpDesk:
    """Say who we are, from words."""
    return HelpDesk(
        frozenset(addresses.split()), frozenset(domains.split()), frozenset(technicians.split())
    )


Known = dict[str, Any]
OURS, TECH = help_desk(KEY), help_desk(technicians=KEY)
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
UNKNOWN: Known = {"unknown_sender": True}
BEGUN: Known = {"begun": frozenset([KEY])}
X, MACHINE = Address(KEY), Address("noreply@people.example")
BAD, JORG = Rejected("alice@good)bob@evil", "ambiguous"), Address("jörg@people.example")

Entry = Address | Rejected
LINES: list[tuple[str, Entry, Facts, str, int | None]] = [
    ("1 invalid", BAD, facts(), "ignore invalid", None),
    ("3 own address", X, facts(help_desk=OURS), "ignore own_address", None),
    (
        "3 own domain",
        X,
        facts(help_desk=help_desk(domains="people.example")),
        "ignore own_address",
        None,
    ),
    (
        "3 below an own domain",
        X,
        facts(help_desk=help_desk(domains="example")),
        "ignore own_address",
        None,
    ),
    ("3 intake", Address("a@ww5.autotask.net"), facts(), "ignore own_address", None),
    ("4 machine", MACHINE, facts(), "ignore machine", None),
    ("5 technician", X, facts(help_desk=TECH), "ignore technician", None),
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
    ("15 spent today, outside", X, facts(new_inside_left=0), "create outside", None),
    ("15 spent inside", X, facts(new_inside_left=0, **INSIDE), "hold over_daily_limit", None),
    ("15 spent, begun", X, facts(new_left=0, **BEGUN), "create outside", None),
    ("15 spent today, known", X, facts([ACTIVE], new_left=0), "link known", SOMEBODY),
    ("15 allowed", X, policy(max_new_per_ticket=0, allowed=(KEY,)), "hold over_limit", None),
    ("approved 11", X, facts([INACTIVE], **APPROVED), "link inactive", SOMEBODY),
    ("approved 12", X, facts(**APPROVED, **OTHERS), "create other_client", None),
    ("approved 13", X, policy(inside="ignore", **APPROVED, **INSIDE), "create inside", None),
    ("approved 14", X, policy(outside="ignore", **APPROVED), "create outside", None),
    ("approved 15", X, policy(max_new_per_ticket=0, **APPROVED), "create outside", None),
    ("approved today", X, facts(new_left=0, **APPROVED), "create outside", None),
    (
        "approved inside today",
        X,
        facts(new_inside_left=0, **APPROVED, **INSIDE),
        "create inside",
        None,
    ),
    ("unknown sender", X, facts(**UNKNOWN), "hold unknown_sender", None),
    ("unknown sender, inside", X, facts(**UNKNOWN, **INSIDE), "create inside", None),
    ("unknown sender, known", X, facts([ACTIVE], **UNKNOWN), "link known", SOMEBODY),
    ("unknown sender, allowed", X, policy(allowed=(KEY,), **UNKNOWN), "create outside", None),
    ("unknown sender, approved", X, facts(**UNKNOWN, **APPROVED), "create outside", None),
    ("unknown sender, ignored", X, policy(outside="ignore", **UNKNOWN), "ignore outside", None),
    (
        "unknown sender, 12",
        X,
        policy(other_client="create", **UNKNOWN, **OTHERS),
        "hold unknown_sender",
        None,
    ),
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


OTHER = Candidate(COLLEAGUE)


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


@pytest.mark.parametrize("known", [facts(help_desk=OURS), facts()], ids=["ignored", "created"])
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
