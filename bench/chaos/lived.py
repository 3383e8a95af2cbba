"""Judge the tickets that people changed, and the contacts that are kept for a time.

Where the outcome depends on timing, only what must hold either way is judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from bench.chaos.lives import Life
from bench.chaos.ran import Ran
from bench.chaos.world import HELP, TECHNICIANS, Case, Firm, is_nobodys
from sandbox.model import COMPLETE, Record
from sandbox.store import EMAIL_FIELDS
from sandbox.tenant import OUR_NOTE, Tenant

_ON = {"linked", "already_linked", "created_and_linked"}
_LEFT_OUT = {"ignored", "held"}


def as_made(ran: Ran, number: int) -> Case | None:
    """Return the exact expectation for a ticket; None if it depends on timing."""
    case, life = ran.world.cases[number], ran.lives.of[number]
    if (
        life.absorbed
        or life.merged_into is not None
        or _is_complete(ran, number) != (case.result == "complete")
    ):
        return None
    if life.companies:
        assigned = case.afterwards and life.companies == [case.afterwards.company_id]
        alone = case.result == "parked" and life.contact_id is None and not life.completed
        return case.afterwards if assigned and alone else None
    if life.reopened_at is None:
        return None if life.completed else case
    return case if was_told(ran, number, life.reopened_at) and case.result == "done" else None


def was_told(ran: Ran, number: int, since: datetime) -> bool:
    """Return whether we accepted a callout about a change since then."""
    return any(
        attempt.payload["Id"] == ran.ids[number]
        and attempt.payload["Action"] == "Update"
        and attempt.status in (200, 202)
        and attempt.at >= since
        for attempt in ran.tenant.callout_attempts
    )


def always(ran: Ran, number: int) -> Iterator[str]:
    """Yield what is wrong with a ticket, however the race ended."""
    case, life, tenant = ran.world.cases[number], ran.lives.of[number], ran.tenant
    ticket = tenant.tickets[ran.ids[number]]
    own = life.contact_id if life.companies else case.contact_id
    if ticket["contactID"] != own:
        yield f"its contact was {own} and is {ticket['contactID']}"
    listed = case.listed.union(*(ran.world.cases[one].listed for one in life.absorbed))
    linked = Counter(tenant.linked_contacts(ticket["id"]))
    for contact_id, times in linked.items():
        contact = tenant.contacts[contact_id]
        keys = addresses_of(tenant, {contact_id})
        if times > 1:
            yield f"contact {contact_id} is linked {times} times"
        if contact["companyID"] != ticket["companyID"]:
            yield f"contact {contact_id} is of another company"
        if contact_id == own:
            yield f"its own contact {contact_id} is on it"
        if keys & {HELP, *TECHNICIANS}:
            yield f"mail to contact {contact_id} comes to the help desk"
        if not keys & listed:
            yield f"wrongly on it: {sorted(keys)} ({contact_id})"
    if life.off & set(linked) and not life.off_first:
        yield f"on it again, though taken off by hand: {sorted(life.off & set(linked))}"
    yield from _known_there(ran, number, ticket, set(linked))
    yield from _in_books(ran, number, ticket, set(linked))


def _known_there(ran: Ran, number: int, ticket: Record, linked: set[int]) -> Iterator[str]:
    """Yield contacts of the ticket's present company that are listed and not on it."""
    case, life = ran.world.cases[number], ran.lives.of[number]
    firm = _firm(ran, ticket["companyID"])
    if firm is None or life.completed or case.result in ("complete", "no_list"):
        return
    if _may_look_taken_off(ran, number):
        return
    for address in sorted(case.listed):
        contact_id = {**firm.people, **firm.second}.get(address)
        if contact_id and contact_id not in (ticket["contactID"], *linked, *life.off):
            yield f"not on it: {address} ({contact_id}), who is of this company"


def _in_books(ran: Ran, number: int, ticket: Record, linked: set[int]) -> Iterator[str]:
    case, life, books = ran.world.cases[number], ran.lives.of[number], ran.books
    if ticket["id"] not in books.results:
        yield "the product does not know it"
        return
    result, allowed = books.results[ticket["id"]], _results(ran, case, life, ticket)
    if result not in allowed:
        yield f"its result is {result}, not one of {sorted(allowed)}"
    outcomes = books.outcomes.get(ticket["id"], {})
    for address in sorted(one for one, outcome in outcomes.items() if outcome is None):
        yield f"nothing came of {address}"
    for address in sorted(_handed_on(ran, number) - set(outcomes)):
        yield f"nothing is said of {address}, of a ticket that was merged into it"
    if result != "done" or ticket["status"] == COMPLETE:
        return
    for address in sorted(case.listed - set(outcomes)):
        yield f"nothing is said of {address}"
    on_it = addresses_of(ran.tenant, linked)
    taken_off = addresses_of(ran.tenant, life.off)
    for address, outcome in outcomes.items():
        if outcome not in _ON | _LEFT_OUT:
            yield f"the outcome of {address} is {outcome}"
        off = _may_look_taken_off(ran, number) or address in taken_off
        if outcome in _ON and address not in on_it and not off:
            yield f"the outcome of {address} is {outcome}, and they are not on it"


def _results(ran: Ran, case: Case, life: Life, ticket: Record) -> set[str]:
    """Return the results a ticket may have: it is followed only while people are on it."""
    unnoticed = {case.result} if case.result == "no_list" else set()
    if ticket["status"] == COMPLETE:
        return {"complete"} | unnoticed
    if life.reopened_at:
        unnoticed |= {"complete"}
    if ticket["companyID"] == ran.world.catch_all:
        return {"parked"} | unnoticed
    return {"done"} | unnoticed


def _handed_on(ran: Ran, number: int) -> set[str]:
    """Return the addresses a ticket must know of because of merges, unless it was moved."""
    if ran.lives.of[number].companies:
        return set()
    sources = ran.lives.of[number].absorbed
    return {key for one in sources for key in ran.lives.of[one].handed_on}


# --- contacts ------------------------------------------------------------------------------------


def wanted(ran: Ran) -> set[tuple[int, str]]:
    """Return the companies and addresses for which we may have created a contact."""
    found: set[tuple[int, str]] = set()
    for number in ran.ids:
        case, life = ran.world.cases[number], ran.lives.of[number]
        found |= {(case.company_id, address) for address in case.ours}
        if case.afterwards and life.reopened_at:
            found |= {(case.afterwards.company_id, one) for one in case.afterwards.ours}
        for company_id in set(life.companies) - {ran.world.catch_all}:
            firm = _firm(ran, company_id)
            found |= {(company_id, one) for one in case.listed if not is_nobodys(one, firm)}
    return found


def contacts(ran: Ran) -> Iterator[str]:
    """Yield the contacts of ours that should have been retired, or should not."""
    on: dict[int, set[int]] = {}
    numbers = {ticket_id: number for number, ticket_id in ran.ids.items()}
    for row in ran.tenant.links.values():
        on.setdefault(row["contactID"], set()).add(numbers[row["ticketID"]])
    unnoticed = _unnoticed(ran)
    for contact in ran.tenant.contacts.values():
        if not is_ours(contact):
            continue
        tickets = on.get(contact["id"], set())
        who = f"contact {contact['id']}"
        yield from _of_contact(ran, contact, tickets)
        kept = ran.lives.touched | ran.lives.carried
        if ran.plan.lives and contact["id"] not in kept and contact["emailAddress"]:
            key = (contact["companyID"], contact["emailAddress"].lower())
            if all(_is_complete(ran, number) for number in tickets) and key not in unnoticed:
                yield f"{who} is on no open ticket and not ended: {key[1]}"


def _of_contact(ran: Ran, contact: Record, tickets: set[int]) -> Iterator[str]:
    who = f"contact {contact['id']}"
    if contact["emailAddress"] and not contact["isActive"]:
        yield f"{who} is inactive with its address: its mail is refused"
    if contact["isActive"] and not contact["emailAddress"]:
        yield f"{who} is active without its address"
    if is_ended(contact) and contact["id"] in ran.lives.touched:
        yield f"{who} is ended, though a technician has changed it"
    why = ran.books.kept.get(contact["id"])
    if why and contact["id"] not in ran.lives.touched | ran.lives.carried:
        yield f"{who} is kept for good, though no person has touched it: {why}"
    if is_ended(contact) and tickets:
        yield f"{who} is ended and still on tickets {sorted(tickets)}"


def _unnoticed(ran: Ran) -> set[tuple[int, str]]:
    """Return the addresses that may be kept: those of open tickets, and those taken off there.

    A ticket may have been opened again without a callout: a contact retired by then stays so.
    """
    found: set[tuple[int, str]] = set()
    for number, ticket_id in ran.ids.items():
        life, company_id = ran.lives.of[number], ran.tenant.tickets[ticket_id]["companyID"]
        if _is_complete(ran, number):
            continue
        found |= {(company_id, one) for one in addresses_of(ran.tenant, life.off)}
        if life.reopened_at or _may_look_taken_off(ran, number):
            found |= {(company_id, one) for one in ran.world.cases[number].listed}
    return found


def _may_look_taken_off(ran: Ran, number: int) -> bool:
    """Return whether a ticket moved and came back where a move drops its contacts.

    If the product did not see it elsewhere, a person seems to have taken them off.
    """
    been = [ran.world.cases[number].company_id, *ran.lives.of[number].companies]
    return ran.tenant.switches.moved_links == "dropped" and len(set(been)) < len(been)


def at_once(tenant: Tenant) -> Iterator[str]:
    """Yield what must not hold even for a moment; to be called before each request is served."""
    with tenant.lock:
        for contact in tenant.insane_contacts():
            yield f"contact {contact['id']} was inactive with its address for a moment"
        ours = [one for one in tenant.contacts.values() if is_ours(one) and one["emailAddress"]]
        doubles = Counter((one["companyID"], one["emailAddress"].lower()) for one in ours)
        for (company_id, address), times in doubles.items():
            if times > 1:
                yield f"{address} had {times} contacts of ours in company {company_id} at a time"
        links = Counter((row["ticketID"], row["contactID"]) for row in tenant.links.values())
        for (ticket_id, contact_id), times in links.items():
            if times > 1:
                yield f"contact {contact_id} was on ticket {ticket_id} twice at a time"


def is_ours(contact: Record) -> bool:
    """Return whether the product has created a contact."""
    return str(contact["note"] or "").startswith(OUR_NOTE)


def is_ended(contact: Record) -> bool:
    """Return whether a contact is inactive and has no address."""
    return not contact["isActive"] and not any(contact[name] for name in EMAIL_FIELDS)


def addresses_of(tenant: Tenant, contact_ids: set[int]) -> set[str]:
    """Return all addresses of some contacts."""
    carriers = [tenant.contacts[one] for one in contact_ids]
    return {one[name].lower() for one in carriers for name in EMAIL_FIELDS if one[name]}


def _is_complete(ran: Ran, number: int) -> bool:
    return bool(ran.tenant.tickets[ran.ids[number]]["status"] == COMPLETE)


def _firm(ran: Ran, company_id: int) -> Firm | None:
    return next((firm for firm in ran.world.firms if firm.id == company_id), None)
