"""Judge the end of a run by Autotask's own records and by ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from bench.chaos import lived
from bench.chaos.ran import Books, Ran
from bench.chaos.world import Case
from sandbox.calls import THREADS
from sandbox.store import EMAIL_FIELDS
from sandbox.tenant import Tenant

_ON_TICKET = {"linked", "already_linked", "created_and_linked"}
_LEFT_OUT = {"ignored", "held"}


def violations(ran: Ran) -> Iterator[str]:
    """Return what is wrong with tickets and contacts; empty if nothing is."""
    if not ran.quiet:
        yield "it did not come to rest in time"
    for number, ticket_id in ran.ids.items():
        case, off = lived.as_made(ran, number), ran.lives.of[number].off
        if case is None:
            wrongs = list(lived.always(ran, number))
        else:
            wrongs = [*_on_ticket(ran.tenant, case, ticket_id, off)]
            wrongs += _in_books(case, ticket_id, ran.books, lived.addresses_of(ran.tenant, off))
        for wrong in wrongs:
            yield f"ticket {ticket_id} (number {number}): {wrong}"
    yield from _contacts(ran)
    yield from lived.contacts(ran)
    yield from ran.meanwhile


def limits(tenant: Tenant, window: float, allowed: int) -> Iterator[str]:
    """Return which of Autotask's limits was exceeded: three requests at once, calls in a window."""
    for entity, peak in tenant.peak.items():
        if peak > THREADS:
            yield f"{peak} requests at once for {entity}"
    busiest = busiest_window(tenant, window)
    if busiest > allowed:
        yield f"{busiest} calls within {window:.0f} s, of which {allowed} are our share"


def busiest_window(tenant: Tenant, window: float) -> int:
    """Count the calls of the window that had the most."""
    times = sorted(call.at for call in tenant.calls)
    most, first = 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - timedelta(seconds=window):
            first += 1
        most = max(most, last - first + 1)
    return most


def _on_ticket(tenant: Tenant, case: Case, ticket_id: int, off: set[int]) -> Iterator[str]:
    ticket = tenant.tickets[ticket_id]
    linked = Counter(tenant.linked_contacts(ticket_id))
    wanted = set(case.there)
    for address in case.ours:
        found = tenant.contacts_with(address, case.company_id)
        wanted |= {contact["id"] for contact in found[:1]}
        if not found and not off:
            yield f"no contact was created for {address}"
    wanted -= off
    for contact_id, times in linked.items():
        if times > 1:
            yield f"contact {contact_id} is linked {times} times"
        if tenant.contacts[contact_id]["companyID"] != ticket["companyID"]:
            yield f"contact {contact_id} is of another company"
    if lost := wanted - set(linked):
        yield f"not on it: {_named(tenant, lost)}"
    if surplus := set(linked) - wanted:
        yield f"wrongly on it: {_named(tenant, surplus)}"
    if ticket["contactID"] != case.contact_id:
        yield f"its contact was {case.contact_id} and is {ticket['contactID']}"


def _in_books(case: Case, ticket_id: int, books: Books, off: set[str]) -> Iterator[str]:
    if ticket_id not in books.results:
        yield "the product does not know it"
        return
    if (result := books.results[ticket_id]) != case.result:
        yield f"its result is {result}, not {case.result}"
    outcomes = books.outcomes.get(ticket_id, {})
    for address in sorted(case.addresses - set(outcomes)):
        yield f"nothing is said of {address}"
    for address, outcome in outcomes.items():
        allowed = _ON_TICKET if address in case.ours else _ON_TICKET | _LEFT_OUT
        allowed = _LEFT_OUT if address in case.others else allowed
        if outcome not in allowed and address not in off:
            yield f"the outcome of {address} is {outcome}"


def _contacts(ran: Ran) -> Iterator[str]:
    """Yield addresses with two contacts in a company, and contacts of ours without need."""
    tenant, wanted = ran.tenant, lived.wanted(ran)
    carriers: Counter[tuple[int, str]] = Counter()
    for contact in tenant.contacts.values():
        addresses = {contact[name].lower() for name in EMAIL_FIELDS if contact[name]}
        carriers.update((contact["companyID"], address) for address in addresses)
        for_somebody = any((contact["companyID"], one) in wanted for one in addresses)
        if lived.is_ours(contact) and not lived.is_ended(contact) and not for_somebody:
            yield f"contact {contact['id']} was created without need: {sorted(addresses)}"
    for (company_id, address), times in carriers.items():
        if times > 1:
            yield f"{address} has {times} contacts in company {company_id}"


def _named(tenant: Tenant, contact_ids: set[int]) -> str:
    return ", ".join(f"{tenant.contacts[one]['emailAddress']} ({one})" for one in contact_ids)
