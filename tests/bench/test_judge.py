"""The judge of the chaos runs can fail: every kind of wrong, and no alarm where all is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from bench.chaos.plan import make_plan
from bench.chaos.ran import Books, Ran
from bench.chaos.struck import KINDS, Struck, callouts, table
from bench.chaos.verdict import limits, violations
from bench.chaos.world import Case, build
from sandbox.outbox import Attempt
from sandbox.switches import Fault
from sandbox.tenant import Tenant

TICKETS = 60


def as_it_should_be() -> Ran:
    """Make what a run without any fault leaves, by hand."""
    tenant, plan = Tenant(), make_plan(4, TICKETS, 6.0, lossy=True)
    world = build(tenant, 4, TICKETS)
    ids: dict[int, int] = {}
    books = Books({}, {})
    for number, case in enumerate(world.cases):
        ids[number] = ticket_id = tenant.new_ticket(
            case.company_id, contact_id=case.contact_id, cc=case.cc, status=case.status
        )
        for contact_id in case.there | {one_of_ours(tenant, case, it) for it in case.ours}:
            tenant.link(ticket_id, contact_id)
        books.results[ticket_id] = case.result
        books.outcomes[ticket_id] = {
            **dict.fromkeys(case.ours, "created_and_linked"),
            **dict.fromkeys(case.others, "ignored"),
        }
    return Ran(plan, world, tenant, ids, books, True, 1.0, Counter())


def one_of_ours(tenant: Tenant, case: Case, address: str) -> int:
    """Return the contact of an address in the ticket's company; create it as the product does."""
    found = tenant.contacts_with(address, case.company_id)
    if found:
        return int(found[0]["id"])
    return tenant.add_contact(case.company_id, address, note="autotask-cc 1: Cc of a ticket")


def busy(ran: Ran) -> tuple[int, Case]:
    """Return a ticket to which the service has added a new contact."""
    number, case = next((n, c) for n, c in enumerate(ran.world.cases) if c.ours and c.others)
    return ran.ids[number], case


def lose_a_person(ran: Ran) -> None:
    ticket_id, _ = busy(ran)
    tenant = ran.tenant
    del tenant.links[tenant.link_rows(ticket_id)[0]["id"]]


def link_twice(ran: Ran) -> None:
    ticket_id, _ = busy(ran)
    row = ran.tenant.link_rows(ticket_id)[0]
    ran.tenant.links[999_999] = row | {"id": 999_999}


def link_across_companies(ran: Ran) -> None:
    ticket_id, case = busy(ran)
    other = next(firm for firm in ran.world.firms if firm.id != case.company_id)
    row = ran.tenant.link_rows(ticket_id)[0]
    row["contactID"] = next(iter(other.people.values()))
    ran.tenant.links[row["id"]] = row


def double_a_contact(ran: Ran) -> None:
    _, case = busy(ran)
    ran.tenant.add_contact(case.company_id, min(case.ours))


def create_for_nobody(ran: Ran) -> None:
    _, case = busy(ran)
    ran.tenant.add_contact(case.company_id, "nobody@asked.example", note="autotask-cc 2: Cc")


def take_the_contact_away(ran: Ran) -> None:
    number = next(n for n, case in enumerate(ran.world.cases) if case.contact_id)
    ran.tenant.tickets[ran.ids[number]]["contactID"] = None


def keep_silent_on_a_ticket(ran: Ran) -> None:
    del ran.books.results[busy(ran)[0]]


def keep_silent_on_a_person(ran: Ran) -> None:
    ticket_id, case = busy(ran)
    del ran.books.outcomes[ticket_id][min(case.others)]


def leave_undone(ran: Ran) -> None:
    ran.books.results[busy(ran)[0]] = None


def say_what_is_not_so(ran: Ran) -> None:
    ticket_id, case = busy(ran)
    ran.books.outcomes[ticket_id][min(case.ours)] = "ignored"


def test_what_is_right_is_no_violation() -> None:
    """A judge that is never content proves nothing either."""
    assert list(violations(as_it_should_be())) == []


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lose_a_person, "not on it"),
        (link_twice, "is linked 2 times"),
        (link_across_companies, "is of another company"),
        (double_a_contact, "has 2 contacts in company"),
        (create_for_nobody, "was created without need"),
        (take_the_contact_away, "its contact was"),
        (keep_silent_on_a_ticket, "the product does not know it"),
        (keep_silent_on_a_person, "nothing is said of"),
        (leave_undone, "its result is None"),
        (say_what_is_not_so, "is ignored"),
    ],
)
def test_what_is_wrong_is_a_violation(spoil: Callable[[Ran], None], says: str) -> None:
    """One thing is spoiled, and it is named."""
    ran = as_it_should_be()
    spoil(ran)
    assert any(says in one for one in violations(ran))


def test_too_many_calls_are_a_violation() -> None:
    """At once for one entity, and within a window."""
    ran = as_it_should_be()
    ran.tenant.peak["Contacts"] = 4
    assert list(limits(ran.tenant, 10.0, 5)) == ["4 requests at once for Contacts"]
    assert len(list(limits(ran.tenant, 10.0, -1))) == 2


def test_only_what_hits_is_counted_as_struck() -> None:
    """By kind, and by whether it hit a read or a write; what waits for its call is none."""
    struck = Struck()
    struck.add(Fault("late_commit", method="POST", seconds=30.0), Fault("reset_after"))
    struck.add(Fault("garbage", entity="Nobody"))
    struck.take("GET", "Tickets", "/v1.0/Tickets/1")
    assert struck.all_took_effect()
    struck.take("POST", "Contacts", "/v1.0/Companies/1/Contacts")
    assert struck.counts == {"reset_after of a read": 1, "late_commit of a write": 1}
    assert not struck.all_took_effect()
    assert "| garbage of a read | NEVER |" in table(struck.counts)
    assert set(struck.counts) <= set(KINDS)


def test_callouts_are_counted_as_they_were_accepted() -> None:
    """A refused one did not come; a second one of a ticket neither overtakes nor is overtaken."""
    at = datetime(2026, 11, 24, tzinfo=UTC)
    came = ((1, 503), (2, 202), (1, 202), (2, 202), (3, 500))
    attempts = [
        Attempt(1, {"Id": ticket_id, "Action": "Create"}, status, at) for ticket_id, status in came
    ]
    assert callouts((1, 2, 3), attempts) == {
        "callout missing": 1,
        "callout twice": 1,
        "callout overtaken": 1,
    }
