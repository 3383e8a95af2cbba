"""Facts that change slowly at Autotask: technicians, domains, picklists.

app/outbound/facts.py says how old each may be, and what is done without it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from app.autotask.client import Autotask
from app.autotask.errors import Unanswered
from app.autotask.models import Choice, Company, Threshold
from app.db.database import Sessions
from app.mail.addresses import address_keys
from app.outbound import facts
from app.outbound.clients import Clients, which_are_customers, which_end
from app.outbound.known import Known

T = TypeVar("T")

_TECHNICIANS_SECONDS = 600.0  # with the time of a look below the promised 15 minutes
_CONTACT_SECONDS = 600.0
_RECORDS = 10_000  # kept of each kind


class Directory:
    """One process's copy of slow facts.

    What is needed raises what the client raises; what is only good to know raises only where no
    call would succeed, and there is no value.
    """

    def __init__(self, sessions: Sessions, calm: Callable[[], Awaitable[Autotask]]) -> None:
        """Ask for what is only good to know with `calm` clients."""
        self._known = Known(sessions, calm)
        self._technicians: _Kept[frozenset[str]] = _Kept(_TECHNICIANS_SECONDS)
        self._contacts: dict[int, _Kept[frozenset[str]]] = {}
        self._clients: tuple[Sequence[Company], Clients] = ((), Clients(()))

    # --- needed ----------------------------------------------------------------------------------

    async def technicians(self, autotask: Autotask) -> frozenset[str]:
        """Return the addresses of all active technicians, as keys; at most ten minutes old."""

        async def read() -> frozenset[str]:
            resources = await autotask.active_resources()
            return address_keys(e for one in resources if one.is_technician for e in one.emails)

        return await self._technicians.get(read)

    async def contact_keys(self, autotask: Autotask, contact_id: int) -> frozenset[str]:
        """Return a contact's addresses, as keys, to recognise the sender of a message."""

        async def read() -> frozenset[str]:
            contact = await autotask.contact(contact_id)
            emails = contact.emails if contact else ()
            return address_keys(emails)

        return await _kept_in(self._contacts, contact_id, _CONTACT_SECONDS).get(read)

    # --- good to know ----------------------------------------------------------------------------

    def lacks(self, autotask: Autotask) -> list[str]:
        """Return what a caller asked for that could not be read, and has never been."""
        return self._known.lacks(autotask)

    async def company_domains(self, autotask: Autotask, company_id: int) -> frozenset[str]:
        """Return the domain that a company's web address names, or an empty set."""
        domain = await self._known.get(facts.WEB_DOMAIN, autotask, company_id)
        return frozenset([domain] if domain else [])

    async def clients(self, autotask: Autotask) -> Clients:
        """Return all active companies' domains and families; none if they are not known."""
        companies = await self._known.get(facts.COMPANIES, autotask) or ()
        if companies is not self._clients[0]:
            self._clients = companies, Clients(companies)
        return self._clients[1]

    async def customer_types(self, autotask: Autotask) -> frozenset[int]:
        """Return the types of companies that are customers."""
        types = await self._known.get(facts.COMPANY_TYPES, autotask, matters=False)
        return which_are_customers(types or ())

    async def field_lengths(self, autotask: Autotask, *, user_defined: bool) -> dict[str, int]:
        """Return the characters that a ticket's fields hold, by lower-case name, where told."""
        fact = facts.UDF_LENGTHS if user_defined else facts.FIELD_LENGTHS
        return await self._known.get(fact, autotask, matters=False) or {}

    async def note_choices(self, autotask: Autotask) -> dict[str, tuple[Choice, ...]] | None:
        """Return the choices of a note's `publish` and `noteType`; None if they are not known."""
        return await self._known.get(facts.NOTE_CHOICES, autotask, matters=False)

    async def complete_statuses(self, autotask: Autotask, named: Sequence[str]) -> frozenset[int]:
        """Return the statuses that end a ticket. For `named` see which_end."""
        choices = await self._known.get(facts.STATUSES, autotask, matters=bool(named))
        return which_end(choices or (), named)[0]

    async def contact_udfs(self, autotask: Autotask) -> dict[str, str | None]:
        """Return the defaults of a contact's user-defined fields; raise Unanswered without them."""
        defaults = await self._known.get(facts.CONTACT_FIELDS, autotask, matters=False)
        if defaults is None:
            raise Unanswered("the fields of contacts cannot be read; see /health/work")
        return defaults

    async def use(self) -> Threshold | None:
        """Return how many calls all of the tenant's tools make; None if that cannot be read."""
        return await self._known.renew(facts.USE)

    async def renew(self) -> None:
        """Read again what will soon be too old, or could not be read."""
        await self._known.renew_all()


class _Kept(Generic[T]):
    """One value that is read again when it is too old. Concurrent readers wait for one reading."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._value: T | None = None
        self._read_at = 0.0

    async def get(self, read: Callable[[], Awaitable[T]]) -> T:
        async with self._lock:
            asked_at = time.monotonic()
            if self._value is None or asked_at - self._read_at > self._seconds:
                self._value = await read()
                self._read_at = asked_at
            return self._value


def _kept_in(
    kept: dict[int, _Kept[frozenset[str]]], record_id: int, seconds: float
) -> _Kept[frozenset[str]]:
    if len(kept) > _RECORDS:
        kept.clear()
    return kept.setdefault(record_id, _Kept(seconds))
