"""The order of the decision table: every two of its lines that can meet for one address.

Here an address is in a situation in which two lines apply, each in its plainest form, under the
built-in policy; what a pair needs beside that stands in SPECIAL.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from app.decide import Candidate, Facts, HelpDesk, Reason, decide
from app.decide.policy import Policy
from app.mail.addresses import Address, Rejected
from tests.decide.test_table import (
    ACTIVE,
    AUTOMATIC,
    COLLEAGUE,
    FULL,
    INACTIVE,
    INSIDE,
    LINKED,
    OTHERS,
    REMOVED,
    SOMEBODY,
    Entry,
    Known,
    X,
    facts,
    policy,
)

LINES = {
    "1": "invalid",
    "2": "forgotten",
    "3": "own_address",
    "4": "machine",
    "5": "technician",
    "6": "ticket_contact",
    "7": "already_linked",
    "8": "removed_by_person",
    "not listed": "not_listed",
    "rejected": "rejected",
    "one of us": "own_address",  # by another address of the same contact
    "9 off": "policy_off",
    "9 denied": "denied",
    "automatic": "automatic_mail",
    "10": "known",
    "11": "inactive",
    "non-ASCII": "non_ascii",
    "12": "other_client",
    "13": "inside",
    "14": "outside",
    "moved": "moved",
    "unknown sender": "unknown_sender",
    "15": "over_limit",
    "15 today": "over_daily_limit",
}
CONTACTS = {
    "7": Candidate(7),
    "8": Candidate(8),
    "10": Candidate(10),
    "11": Candidate(11, active=False),
}
ABOVE_POLICY = list(LINES)[: list(LINES).index("automatic")]


def situation(*lines: str) -> tuple[Entry, Facts]:
    """Give an address to which these lines apply, and what is known."""
    local = ("noreply+" if "4" in lines else "") + ("ö" if "non-ASCII" in lines else "x")
    key, domain = f"{local}@people.example", frozenset(["people.example"])

    def mine(line: str) -> frozenset[str]:
        return frozenset([key] if line in lines else [])

    contacts = [CONTACTS[line] for line in lines if line in CONTACTS]
    if "one of us" in lines:
        ours = Reason.OWN_ADDRESS
        contacts = [replace(one, not_customer=ours) for one in contacts or [Candidate(1)]]
    linked = {7} if "7" in lines else set[int]()
    others = range(100, 130 - len(linked)) if "15" in lines else ()
    known = Facts(
        help_desk=HelpDesk(mine("3"), frozenset(), mine("5")),
        contact_keys=mine("6"),
        linked=frozenset({*linked, *others}),
        removed=frozenset({8} if "8" in lines else ()),
        candidates={key: contacts} if contacts else {},
        account_domains=domain if "13" in lines else frozenset(),
        unlisted=mine("not listed"),
        automatic="automatic" in lines,
        policy=Policy(
            off="9 off" in lines,
            denied=tuple(mine("9 denied")),
            allowed=tuple(mine("allowed")),
        ),
        other_clients=domain if "12" in lines else frozenset(),
        forgotten=mine("2"),
        approved=mine("approved"),
        rejected=mine("rejected"),
        new_left=0 if "15 today" in lines else None,
        moved="moved" in lines,
        unknown_sender="unknown sender" in lines,
    )
    return Rejected(key, "ambiguous") if "1" in lines else Address(key), known


def reason_of(entry: Entry, known: Facts) -> str:
    """Decide about one entry."""
    [decision] = decide([entry], known)
    return decision.reason


# These are about those that the lines before bring.
LAST_WINS = {
    *(("14", line) for line in ("moved", "unknown sender", "15", "15 today")),
    ("10", "15"),
    ("13", "15"),
}
# The longer of two domains counts, and of the same the account's own: see SPECIAL.
BY_LENGTH = {("12", "13")}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(*pair, id=f"{pair[0]} before {pair[1]}")
        for pair in combinations(LINES, 2)
        if pair not in LAST_WINS | BY_LENGTH
    ],
)
def test_of_two_lines_the_first_wins(first: str, second: str) -> None:
    """Where two lines apply, the one that stands first in the table decides."""
    assert reason_of(*situation(first, second)) == LINES[first]


@pytest.mark.parametrize(
    ("first", "last"),
    [pytest.param(*pair, id=f"{pair[1]} after {pair[0]}") for pair in sorted(LAST_WINS)],
)
def test_who_is_brought_by_a_line_may_find_no_place(first: str, last: str) -> None:
    """Line 15 comes after the others and holds those that they link or create."""
    assert reason_of(*situation(first, last)) == LINES[last]


MAPPED = Candidate(COLLEAGUE, mapped=True)
OWN_TOO: Known = {"contact_id": SOMEBODY}
WEST = Address("x@west.people.example")
WESTERN = frozenset(["west.people.example"])
SPECIAL: list[tuple[str, Entry, Facts, str]] = [
    ("6 by contact before 8", X, facts([ACTIVE], **OWN_TOO, **REMOVED), "ticket_contact"),
    ("6 by contact before a mapping", X, facts([MAPPED, ACTIVE], **OWN_TOO), "ticket_contact"),
    ("6 by contact before 11", X, facts([INACTIVE], **OWN_TOO), "ticket_contact"),
    ("7 before a mapping", X, facts([MAPPED, ACTIVE], **LINKED), "already_linked"),
    ("7 of an inactive contact before 11", X, facts([INACTIVE], **LINKED), "already_linked"),
    ("8 of an inactive contact before 11", X, facts([INACTIVE], **REMOVED), "removed_by_person"),
    ("automatic before allowed", X, policy(allowed=(X.key,), **AUTOMATIC), "automatic_mail"),
    ("13 of the same domain before 12", X, facts(**INSIDE, **OTHERS), "inside"),
    (
        "12 of a longer domain before 13",
        WEST,
        facts(other_clients=WESTERN, **INSIDE),
        "other_client",
    ),
    ("13 of a longer domain before 12", WEST, facts(account_domains=WESTERN, **OTHERS), "inside"),
    ("13 held before 15", X, policy(inside="hold", **INSIDE, **FULL), "inside"),
    ("14 held before 15", X, policy(outside="hold", **FULL), "outside"),
    ("15 after 11 reactivated", X, policy([INACTIVE], inactive="reactivate", **FULL), "over_limit"),
    ("15 after 12 created", X, policy(other_client="create", **OTHERS, **FULL), "over_limit"),
    (
        "15 today after 12 created",
        X,
        policy(other_client="create", new_left=0, **OTHERS),
        "over_daily_limit",
    ),
]


@pytest.mark.parametrize(
    ("entry", "known", "reason"), [pytest.param(*case, id=name) for name, *case in SPECIAL]
)
def test_of_two_lines_in_a_special_form_one_wins(entry: Entry, known: Facts, reason: str) -> None:
    """Where the policy, a mapping or the length of a domain has a say."""
    assert reason_of(entry, known) == reason


@pytest.mark.parametrize("word", ["approved", "allowed"])
@pytest.mark.parametrize("line", ABOVE_POLICY)
def test_nothing_overrides_lines_1_to_9(line: str, word: str) -> None:
    """Neither a person's word on the ticket nor the policy's list."""
    assert reason_of(*situation(line, word)) == LINES[line]


def test_each_line_applies_by_itself() -> None:
    """Else a pair would prove nothing."""
    assert {line: reason_of(*situation(line)) for line in LINES} == LINES


def test_the_page_has_the_same_lines_in_the_same_order() -> None:
    """docs/decision-table.md is what admins read."""
    page = (Path(__file__).parents[2] / "docs/decision-table.md").read_text()
    table = [line for line in page.split("\n\n")[2].splitlines() if "`" in line]
    reasons = [re.findall(r"`(\w+)`", line.rsplit("|", 2)[1]) for line in table]
    order = [reason for cell in reasons for reason in cell]
    by_contact = order.index("own_address", order.index("rejected"))
    assert order[by_contact + 1] == "technician"
    assert [one for n, one in enumerate(order) if n != by_contact + 1] == list(LINES.values())
