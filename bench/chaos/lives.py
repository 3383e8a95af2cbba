"""People's changes of tickets and contacts while a plan is played, and a record of them."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

import psycopg

from bench.chaos.plan import STORM, Event
from bench.chaos.world import Case, World
from sandbox.model import COMPLETE
from sandbox.store import EMAIL_FIELDS
from sandbox.tenant import OUR_NOTE, Tenant

Ask = Callable[[str, int], list[tuple[object, ...]]]
"""Asks the product's books about a ticket; nothing while the database is away."""

_SEEN_ON = (
    "SELECT contact_id FROM links WHERE ticket_id = %s AND unlinked_at IS NULL AND removed_seen_at"
    " IS NULL AND first_seen_linked_at >= coalesce(sent_at, first_seen_linked_at)"
)
_CARRIABLE = (
    "SELECT key FROM participants WHERE ticket_id = %s AND outcome IN"
    " ('linked', 'already_linked', 'created_and_linked')"
)

_SETTLED = (
    "SELECT t.id, t.result, EXISTS (SELECT FROM participants p WHERE p.ticket_id = t.id"
    " AND p.outcome = 'created_and_linked')"
    " FROM tickets t JOIN due d ON d.kind = 'ticket' AND d.ref = t.id"
    " WHERE d.due_at IS NULL AND d.holder IS NULL AND t.result IS NOT NULL AND t.id > %s"
)
WAIT_SECONDS = 40.0


@dataclass(slots=True)
class Life:
    """What was done to a ticket.

    `companies`: where it was moved to; `contact_id`: its own contact since. `off`: contacts that
    were taken off by hand while the product knew them to be on it; `off_first`: before a move.
    `handed_on`: addresses that were on it when it was merged.
    """

    companies: list[int] = field(default_factory=list)
    contact_id: int | None = None
    completed: bool = False
    reopened_at: datetime | None = None
    merged_into: int | None = None
    absorbed: set[int] = field(default_factory=set)
    handed_on: set[str] = field(default_factory=set)
    off: set[int] = field(default_factory=set)
    off_first: bool = False


@dataclass(slots=True)
class Lives:
    """All that was done. `touched`: contacts that a technician has changed.

    `carried`: contacts that a merge has put on a ticket, which looks like a person's doing.
    """

    of: dict[int, Life] = field(default_factory=lambda: defaultdict(Life))
    touched: set[int] = field(default_factory=set)
    carried: set[int] = field(default_factory=set)


class People:
    """The people who work with tickets in Autotask's own interface."""

    def __init__(self, tenant: Tenant, world: World, ids: dict[int, int], ask: Ask) -> None:
        self.lives = Lives()
        self._tenant, self._world, self._ids, self._ask = tenant, world, ids, ask

    def do(self, event: Event) -> None:
        """Apply an event of the plan to a ticket, where it makes sense."""
        case = self._world.cases[event.number]
        if case.afterwards and case.result == "parked" and event.what in ("touch", "take_off"):
            self._assign(event, case)  # no one is on it: it gets its account instead
        else:
            getattr(self, f"_{event.what}")(event, case)

    def _complete(self, event: Event, _case: Case) -> None:
        self._tenant.update_ticket(self._ids[event.number], event.told, status=COMPLETE)
        self.lives.of[event.number].completed = True

    def _reopen(self, event: Event, _case: Case) -> None:
        with self._tenant.lock:
            self.lives.of[event.number].reopened_at = self._tenant.clock()
            self._tenant.update_ticket(self._ids[event.number], event.told, status=1)

    def _assign(self, event: Event, case: Case) -> None:
        assert case.afterwards
        self._to(event, case.afterwards.company_id, None)

    def _move(self, event: Event, case: Case) -> None:
        if case.result == "parked" and self._company(event) == self._world.catch_all:
            self._assign(event, case)
            return
        firms = [firm for firm in self._world.firms if firm.id != self._company(event)]
        firm = firms[event.pick % len(firms)]
        contacts = [None, None, *firm.people.values()]
        # With a contact, a list that is not there would be waited for.
        chosen = None if case.result == "no_list" else contacts[event.pick % len(contacts)]
        self._to(event, firm.id, chosen)

    def _back(self, event: Event, case: Case) -> None:
        self._to(event, case.company_id, case.contact_id)

    def _to(self, event: Event, company_id: int, contact_id: int | None) -> None:
        life = self.lives.of[event.number]
        with self._tenant.lock:
            self._tenant.move_ticket(
                self._ids[event.number], company_id, contact_id=contact_id, callout=event.told
            )
            life.companies.append(company_id)
            life.contact_id, life.off_first = contact_id, bool(life.off)

    def _merge(self, event: Event, _case: Case) -> None:
        """Merge it into another one of its thread, if that is open and in the same company."""
        tenant, source = self._tenant, self._ids[event.number]
        first = event.number // STORM * STORM
        known = {str(key) for (key,) in self._ask(_CARRIABLE, source)}
        with tenant.lock:
            others = [
                number
                for number in range(first, first + STORM)
                if number != event.number
                and number in self._ids
                and self._is_open(number)
                and tenant.tickets[self._ids[number]]["companyID"] == self._company(event)
                and self._company(event) != self._world.catch_all
            ]
            if not others or not self._is_open(event.number):
                return
            chosen = others[event.pick % len(others)]
            on = {one for contact in tenant.linked_contacts(source) for one in self._keys(contact)}
            before = set(tenant.linked_contacts(self._ids[chosen]))
            tenant.merge_tickets(source, self._ids[chosen], event.told)
            after = set(tenant.linked_contacts(self._ids[chosen]))
            life = self.lives.of[event.number]
            life.completed, life.merged_into, life.handed_on = True, chosen, known & on
            self.lives.of[chosen].absorbed |= {event.number, *life.absorbed}
            self.lives.carried |= after - before

    def _touch(self, event: Event, _case: Case) -> None:
        """Set the telephone number of a contact that the product created."""
        with self._tenant.lock:
            ours = [one for one in self._linked(event) if self._is_ours(one)]
            if ours:
                chosen = ours[event.pick % len(ours)]
                self._tenant.change_contact(chosen, phone="555-0199")
                self.lives.touched.add(chosen)

    def _take_off(self, event: Event, _case: Case) -> None:
        """Take off a contact that the product knows to be on the ticket."""
        ticket_id = self._ids[event.number]
        seen = {contact_id for (contact_id,) in self._ask(_SEEN_ON, ticket_id)}
        with self._tenant.lock:
            known = [one for one in self._linked(event) if one in seen]
            if known and self._is_open(event.number):
                chosen = known[event.pick % len(known)]
                self._tenant.unlink(ticket_id, chosen)
                self.lives.of[event.number].off.add(chosen)

    def _linked(self, event: Event) -> list[int]:
        return sorted(set(self._tenant.linked_contacts(self._ids[event.number])))

    def _company(self, event: Event) -> int:
        return int(self._tenant.tickets[self._ids[event.number]]["companyID"])

    def _is_open(self, number: int) -> bool:
        return bool(self._tenant.tickets[self._ids[number]]["status"] != COMPLETE)

    def _is_ours(self, contact_id: int) -> bool:
        one = self._tenant.contacts[contact_id]
        lives = one["isActive"] and one["emailAddress"]
        return bool(lives and (one["note"] or "").startswith(OUR_NOTE))

    def _keys(self, contact_id: int) -> set[str]:
        contact = self._tenant.contacts[contact_id]
        return {contact[name].lower() for name in EMAIL_FIELDS if contact[name]}


class Patience:
    """Makes the changes of a ticket wait for the one before, and for us where a plan says so."""

    def __init__(self, ids: dict[int, int], ask: Ask) -> None:
        self._ids, self._ask = ids, ask
        self._first: dict[int, deque[Event]] = defaultdict(deque)
        self._since: dict[int, float] = {}
        self._results: dict[int, tuple[object, ...]] = {}
        self._read_at = -1.0

    def expect(self, event: Event) -> None:
        """Register a change to come."""
        self._first[event.number].append(event)

    def must_wait(self, event: Event, now: float) -> bool:
        """Return whether it is too early for a change; if not, let its ticket's next one come."""
        turn = self._first[event.number]
        if turn[0] is not event:
            return True
        began = self._since.setdefault(event.number, now)
        if event.settled and now - began < WAIT_SECONDS and not self._is_settled(event, now):
            return True
        turn.popleft()
        del self._since[event.number]
        return False

    def _is_settled(self, event: Event, now: float) -> bool:
        if now - self._read_at > 0.5:
            self._results = {cast(int, row[0]): row[1:] for row in self._ask(_SETTLED, 0)}
            self._read_at = now
        result, has_ours = self._results.get(self._ids.get(event.number, 0), (None, True))
        if event.what != "reopen":
            return result is not None
        # Every other time when its people are ended, so that they have to be brought back.
        return result == "complete" and not (has_ours and event.pick % 2)


def ask_at(url: str) -> Ask:
    """Ask these books, each time anew, as the database crashes."""
    plain = url.replace("postgresql+psycopg://", "postgresql://")

    def ask(query: str, ticket_id: int) -> list[tuple[object, ...]]:
        try:
            with psycopg.connect(plain, autocommit=True, connect_timeout=2) as books:
                return books.execute(query.encode(), (ticket_id,)).fetchall()
        except psycopg.OperationalError:
            return []

    return ask
