"""The judge of tickets that end, move and merge: every kind of wrong, and no false alarm."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.chaos.lived import at_once
from bench.chaos.ran import Ran
from bench.chaos.verdict import violations
from sandbox.model import COMPLETE
from tests.bench.test_judge import as_it_should_be, one_of_ours


def alone(ran: Ran) -> tuple[int, int]:
    """Return a ticket with a contact that the service created for it alone, and that contact."""
    for number, case in enumerate(ran.world.cases):
        for address in sorted(case.ours):
            if address.startswith("once"):
                return number, one_of_ours(ran.tenant, case, address)
    raise AssertionError("this seed has nobody who is copied once")


def end(ran: Ran, contact_id: int) -> None:
    for row in [one for one in ran.tenant.links.values() if one["contactID"] == contact_id]:
        del ran.tenant.links[row["id"]]
    ran.tenant.change_contact(contact_id, emailAddress=None, isActive=0)


def complete(ran: Ran, number: int) -> None:
    """Complete a ticket, and retire the contacts that nothing needs any more."""
    tenant, ticket_id = ran.tenant, ran.ids[number]
    tenant.update_ticket(ticket_id, callout=False, status=COMPLETE)
    ran.lives.of[number].completed = True
    ran.books.results[ticket_id] = "complete"
    for address in ran.world.cases[number].ours:
        contact_id = one_of_ours(tenant, ran.world.cases[number], address)
        on = [one["ticketID"] for one in tenant.links.values() if one["contactID"] == contact_id]
        if on == [ticket_id]:
            end(ran, contact_id)


def move(ran: Ran, number: int) -> None:
    """Move a ticket to another company, with only those participants that it knows."""
    tenant, case, ticket_id = ran.tenant, ran.world.cases[number], ran.ids[number]
    firm = next(one for one in ran.world.firms if one.id != case.company_id)
    for row in tenant.link_rows(ticket_id):
        contact = tenant.contacts[row["contactID"]]
        del tenant.links[row["id"]]
        on = [one for one in tenant.links.values() if one["contactID"] == contact["id"]]
        if not on and str(contact["note"] or "").startswith("autotask-cc "):
            end(ran, contact["id"])
    tenant.move_ticket(ticket_id, firm.id, callout=False)
    ran.lives.of[number].companies.append(firm.id)
    known = {**firm.people, **firm.second}
    for contact_id in {known[address] for address in case.listed & set(known)}:
        tenant.link(ticket_id, contact_id)
    here = case.listed & set(known)
    ran.books.outcomes[ticket_id] = {
        **dict.fromkeys(case.listed, "held"),
        **dict.fromkeys(here, "linked"),
    }


def moved(ran: Ran) -> int:
    """Move a ticket that names a contact of the firm into which it comes."""
    other = ran.world.firms[0]
    for number, case in enumerate(ran.world.cases):
        if (
            case.result == "done"
            and case.company_id != other.id
            and set(other.people) & case.listed
        ):
            move(ran, number)
            return number
    raise AssertionError("this seed has no such ticket")


def merge(ran: Ran) -> tuple[int, int]:
    """Merge a ticket into another one of its thread, people and all."""
    cases = ran.world.cases
    into = next(
        n
        for n in range(1, len(cases), 2)
        if cases[n].result == cases[n - 1].result == "done" and cases[n - 1].ours - cases[n].listed
    )
    source, life = into - 1, ran.lives.of[into - 1]
    for address in cases[source].ours:
        ran.tenant.link(ran.ids[into], one_of_ours(ran.tenant, cases[source], address))
        ran.books.outcomes[ran.ids[into]][address] = "linked"
    said = ran.books.outcomes[ran.ids[into]]
    said |= dict.fromkeys(cases[into].listed - set(said), "already_linked")
    complete(ran, source)
    life.merged_into, life.handed_on = into, set(cases[source].ours)
    ran.lives.of[into].absorbed.add(source)
    return source, into


def test_lives_as_they_should_be_are_no_violation() -> None:
    """A ticket that ended, one that moved and one that was merged, each alone."""
    for live in (lambda ran: complete(ran, alone(ran)[0]), moved, merge):
        ran = as_it_should_be()
        live(ran)
        assert list(violations(ran)) == []


def forget_to_end(ran: Ran) -> None:
    number, _ = alone(ran)
    ran.tenant.update_ticket(ran.ids[number], callout=False, status=COMPLETE)
    ran.lives.of[number].completed = True
    ran.books.results[ran.ids[number]] = "complete"


def end_half(ran: Ran) -> None:
    ran.tenant.change_contact(alone(ran)[1], isActive=0)


def take_the_address_of_who_is_needed(ran: Ran) -> None:
    ran.tenant.change_contact(alone(ran)[1], emailAddress=None)


def end_who_is_on_a_ticket(ran: Ran) -> None:
    ran.tenant.change_contact(alone(ran)[1], emailAddress=None, isActive=0)


def end_the_touched(ran: Ran) -> None:
    number, contact_id = alone(ran)
    complete(ran, number)
    ran.lives.touched.add(contact_id)


def keep_for_nothing(ran: Ran) -> None:
    ran.books.kept[alone(ran)[1]] = "somebody put it on a ticket"


def put_back_who_was_taken_off(ran: Ran) -> None:
    number, contact_id = alone(ran)
    ran.lives.of[number].off.add(contact_id)


def put_back_after_the_end(ran: Ran) -> None:
    number, contact_id = alone(ran)
    ran.lives.of[number].off.add(contact_id)
    forget_to_end(ran)


def leave_people_of_the_old_company(ran: Ran) -> None:
    number = moved(ran)
    case, ticket_id = ran.world.cases[number], ran.ids[number]
    row = {"ticketID": ticket_id, "contactID": next(iter(case.there | ran_old(ran, number)))}
    blank = dict.fromkeys(next(iter(ran.tenant.links.values())))
    ran.tenant.links[999_999] = {**blank, **row, "id": 999_999}


def ran_old(ran: Ran, number: int) -> set[int]:
    """Name the contacts of the firm that a ticket has left."""
    company = ran.world.cases[number].company_id
    return {one for firm in ran.world.firms if firm.id == company for one in firm.people.values()}


def lose_who_is_known_there(ran: Ran) -> None:
    number = moved(ran)
    for row in ran.tenant.link_rows(ran.ids[number]):
        del ran.tenant.links[row["id"]]


def keep_silent_after_a_move(ran: Ran) -> None:
    number = moved(ran)
    ran.books.outcomes[ran.ids[number]].popitem()


def leave_open_after_a_move(ran: Ran) -> None:
    ran.books.results[ran.ids[moved(ran)]] = None


def leave_a_person_open(ran: Ran) -> None:
    ticket_id = ran.ids[moved(ran)]
    ran.books.outcomes[ticket_id][next(iter(ran.books.outcomes[ticket_id]))] = None


def miss_that_it_is_over(ran: Ran) -> None:
    number, _ = alone(ran)
    complete(ran, number)
    ran.books.results[ran.ids[number]] = "done"


def take_its_contact(ran: Ran) -> None:
    ran.tenant.tickets[ran.ids[moved(ran)]]["contactID"] = 1


def lose_who_was_merged(ran: Ran) -> None:
    source, into = merge(ran)
    lost = min(ran.lives.of[source].handed_on - ran.world.cases[into].listed)
    del ran.books.outcomes[ran.ids[into]][lost]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (forget_to_end, "is on no open ticket and not ended"),
        (end_half, "its mail is refused"),
        (take_the_address_of_who_is_needed, "is active without its address"),
        (end_who_is_on_a_ticket, "is ended and still on tickets"),
        (end_the_touched, "though a technician has changed it"),
        (keep_for_nothing, "is kept for good"),
        (put_back_who_was_taken_off, "wrongly on it"),
        (put_back_after_the_end, "though taken off by hand"),
        (leave_people_of_the_old_company, "is of another company"),
        (lose_who_is_known_there, "who is of this company"),
        (keep_silent_after_a_move, "nothing is said of"),
        (leave_open_after_a_move, "its result is None"),
        (leave_a_person_open, "nothing came of"),
        (miss_that_it_is_over, "its result is done, not one of"),
        (take_its_contact, "its contact was None"),
        (lose_who_was_merged, "of a ticket that was merged into it"),
    ],
)
def test_what_is_wrong_with_lives_is_a_violation(spoil: Callable[[Ran], None], says: str) -> None:
    """One thing is spoiled, and it is named."""
    ran = as_it_should_be()
    spoil(ran)
    assert any(says in one for one in violations(ran))


def test_what_must_not_be_for_a_moment_is_seen() -> None:
    """Asked before every write: a mail refused, a second contact of ours, a second link."""
    ran = as_it_should_be()
    number, contact_id = alone(ran)
    assert list(at_once(ran.tenant)) == []
    address = ran.tenant.contacts[contact_id]["emailAddress"]
    company_id = ran.world.cases[number].company_id
    ran.tenant.add_contact(company_id, address, note="autotask-cc 9: Cc", active=0)
    row = next(one for one in ran.tenant.links.values() if one["contactID"] == contact_id)
    ran.tenant.links[999_999] = {**row, "id": 999_999}
    found = " ".join(at_once(ran.tenant))
    for says in ("inactive with its address", "2 contacts of ours", "twice at a time"):
        assert says in found
