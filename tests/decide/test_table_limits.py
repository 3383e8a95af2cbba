"""Line 15 of the decision table: how many there is room for, and who gets it."""

from __future__ import annotations

from app.decide import LIST_LIMIT, Candidate, Facts, Reason, Verdict, decide
from app.decide.policy import Policy
from app.mail.addresses import Address, Rejected
from tests.decide.test_table import KEY, NOBODY, Entry, X, facts


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
    strangers = numbered(Policy().max_new_per_ticket)
    inside = Address("new@inside.example")
    decisions = decide([*strangers, inside], facts(account_domains=frozenset(["inside.example"])))
    held = [d.key for d in decisions if d.reason is Reason.OVER_LIMIT]
    assert held == [strangers[-1].key]
    assert decisions[-1].verdict is Verdict.CREATE


def test_contacts_that_earlier_looks_created_count_among_the_ten() -> None:
    """Line 15 is about the ticket: what was created before leaves less to create."""
    before = facts(created=frozenset(range(Policy().max_new_per_ticket - 1)))
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
        help_desk=NOBODY,
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
        help_desk=NOBODY,
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
        help_desk=NOBODY,
        linked=frozenset(range(100, 129)),
        candidates={a.key: [Candidate(1)], b.key: [Candidate(1)]},
    )
    assert [d.reason for d in decide([a, b], known)] == [Reason.KNOWN, Reason.KNOWN]


def test_those_above_the_days_limit_are_held_in_the_lists_order() -> None:
    """Line 15: two strangers may still come today; people of the account do not count."""
    inside = Address("new@inside.example")
    known = facts(account_domains=frozenset(["inside.example"]), new_left=2)
    reasons = [one.reason for one in decide([*numbered(3), inside], known)]
    assert reasons == [Reason.OUTSIDE, Reason.OUTSIDE, Reason.OVER_DAILY_LIMIT, Reason.INSIDE]


def test_each_side_has_a_cap_of_its_own() -> None:
    """Line 15: neither strangers nor colleagues come without end."""
    colleagues = [Address(f"new{n}@inside.example") for n in range(3)]
    inside = frozenset(["inside.example"])
    known = facts(new_left=1, new_inside_left=2, account_domains=inside)
    reasons = [one.reason for one in decide([*colleagues, *numbered(2)], known)]
    assert reasons == [
        Reason.INSIDE,
        Reason.INSIDE,
        Reason.OVER_DAILY_LIMIT,
        Reason.OUTSIDE,
        Reason.OVER_DAILY_LIMIT,
    ]


def test_who_is_counted_already_takes_no_second_place_of_the_day() -> None:
    """Line 15: a create that had no answer was announced, and so was counted."""
    first, second = numbered(2)
    known = facts(new_left=0, begun=frozenset([second.key]))
    assert [one.verdict for one in decide([first, second], known)] == [Verdict.HOLD, Verdict.CREATE]


def test_who_was_approved_takes_nobodys_place_of_the_day() -> None:
    """Line 15: a person's word does not count among the new people of the day."""
    approved, other = numbered(2)
    known = facts(new_left=1, approved=frozenset([approved.key]))
    assert [one.verdict for one in decide([approved, other], known)] == [Verdict.CREATE] * 2


def test_approved_people_pass_the_limits_and_leave_the_others_theirs_no_more() -> None:
    """Line 15: a person's word adds one; the ticket's limit counts all the same."""
    first, second, approved = numbered(3)
    known = facts(policy=Policy(max_new_per_ticket=1), approved=frozenset([approved.key]))
    verdicts = [one.verdict for one in decide([first, second, approved], known)]
    assert verdicts == [Verdict.CREATE, Verdict.HOLD, Verdict.CREATE]


def test_who_was_approved_passes_the_limit_of_a_hundred() -> None:
    """Line 15: somebody looked at this very address."""
    last = Address("last@people.example")
    known = facts(approved=frozenset([last.key]))
    rejected = [Rejected(f"word {n}", "no_address") for n in range(LIST_LIMIT)]
    assert decide([*rejected, last], known)[-1].verdict is Verdict.CREATE


def test_another_ticket_limit_is_the_policys() -> None:
    """Line 15: three may be new, one was created earlier."""
    known = facts(policy=Policy(max_new_per_ticket=3), created=frozenset([7]))
    verdicts = [one.verdict for one in decide(numbered(3), known)]
    assert verdicts == [Verdict.CREATE, Verdict.CREATE, Verdict.HOLD]
