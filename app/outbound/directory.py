"""Facts that change slowly at Autotask, kept for a while: technicians, domains, picklists."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from app.autotask.client import Autotask
from app.autotask.errors import Refused, Unanswered
from app.autotask.models import Choice
from app.mail.addresses import address_keys
from app.outbound.clients import Clients, web_domain, which_are_customers, which_end

T = TypeVar("T")

_TECHNICIANS_SECONDS = 600.0  # with the time of a look below the promised 15 minutes
_COMPANY_SECONDS = 86_400.0
_CONTACT_SECONDS = 600.0
_RECORDS = 10_000  # kept of each kind


class Directory:
    """One process's copy of slow facts. Each method raises what the client raises."""

    def __init__(self) -> None:
        self._technicians: _Kept[frozenset[str]] = _Kept(_TECHNICIANS_SECONDS)
        self._domains: dict[int, _Kept[frozenset[str]]] = {}
        self._contacts: dict[int, _Kept[frozenset[str]]] = {}
        self._clients: _Kept[Clients] = _Kept(_COMPANY_SECONDS)
        self._customers: _Kept[frozenset[int]] = _Kept(_COMPANY_SECONDS)
        self._lengths: tuple[_Kept[dict[str, int]], ...] = (
            _Kept(_COMPANY_SECONDS),
            _Kept(_COMPANY_SECONDS),
        )
        self._complete: _Kept[frozenset[int]] = _Kept(_COMPANY_SECONDS)
        self._contact_udfs: _Kept[dict[str, str | None]] = _Kept(_COMPANY_SECONDS)
        self._note_choices: _Kept[dict[str, tuple[Choice, ...]]] = _Kept(_COMPANY_SECONDS)

    async def technicians(self, autotask: Autotask) -> frozenset[str]:
        """Return the addresses of all active technicians, as keys; at most ten minutes old."""

        async def read() -> frozenset[str]:
            resources = await autotask.active_resources()
            return address_keys(e for one in resources if one.is_technician for e in one.emails)

        return await self._technicians.get(read)

    async def company_domains(self, autotask: Autotask, company_id: int) -> frozenset[str]:
        """Return the domain that a company's web address names, or an empty set."""

        async def read() -> frozenset[str]:
            company = await autotask.company(company_id)
            domain = web_domain(company.web_address if company else None)
            return frozenset([domain] if domain else [])

        return await _kept_in(self._domains, company_id, _COMPANY_SECONDS).get(read)

    async def clients(self, autotask: Autotask) -> Clients:
        """Return all active companies' domains and families; at most a day old."""

        async def read() -> Clients:
            return Clients(await autotask.active_companies())

        return await self._clients.get(read)

    async def customer_types(self, autotask: Autotask) -> frozenset[int]:
        """Return the types of companies that are customers; at most a day old."""

        async def read() -> frozenset[int]:
            fields = await autotask.entity_info.fields("Companies")
            types = [
                choice for one in fields if one.name == "companyType" for choice in one.choices
            ]
            return which_are_customers(types)

        try:
            return await self._customers.get(read)
        except (Refused, Unanswered):
            return which_are_customers(())

    async def field_lengths(self, autotask: Autotask, *, user_defined: bool) -> dict[str, int]:
        """Return the characters that a ticket's fields hold, by lower-case name, where told.

        At most a day old.
        """

        async def read() -> dict[str, int]:
            info = autotask.entity_info
            ask = info.user_defined_fields if user_defined else info.fields
            return {one.name.casefold(): one.length for one in await ask("Tickets") if one.length}

        try:
            return await self._lengths[user_defined].get(read)
        except (Refused, Unanswered):
            return {}

    async def note_choices(self, autotask: Autotask) -> dict[str, tuple[Choice, ...]]:
        """Return the choices of a note's `publish` and `noteType`; at most a day old."""
        return await self._note_choices.get(autotask.note_picklists)

    async def complete_statuses(self, autotask: Autotask, named: Sequence[str]) -> frozenset[int]:
        """Return the statuses that end a ticket; at most a day old. For `named` see which_end."""

        async def read() -> frozenset[int]:
            return which_end(await autotask.status_choices(), named)[0]

        return await self._complete.get(read)

    async def contact_udfs(self, autotask: Autotask) -> dict[str, str | None]:
        """Return the defaults of a contact's user-defined fields; at most a day old."""
        return await self._contact_udfs.get(autotask.contact_udf_defaults)

    async def contact_keys(self, autotask: Autotask, contact_id: int) -> frozenset[str]:
        """Return a contact's addresses, as keys, to recognise the sender of a message."""

        async def read() -> frozenset[str]:
            contact = await autotask.contact(contact_id)
            emails = contact.emails if contact else ()
            return address_keys(emails)

        return await _kept_in(self._contacts, contact_id, _CONTACT_SECONDS).get(read)


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
