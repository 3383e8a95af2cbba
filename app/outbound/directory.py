"""What changes slowly at Autotask, kept for a while: technicians and companies' domains."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from app.autotask.client import Autotask
from app.autotask.models import Choice, Company
from app.autotask.protocol import OWN_ORGANISATION, STATUS_COMPLETE
from app.decide import and_parents
from app.mail.addresses import address_key

T = TypeVar("T")

_TECHNICIANS_SECONDS = 600.0  # with a look's own duration less than the 15 minutes promised
_COMPANY_SECONDS = 86_400.0
_CONTACT_SECONDS = 600.0
_RECORDS = 10_000  # kept of each kind


class Directory:
    """A process's own copy of slow facts. Each method raises what the client raises."""

    def __init__(self) -> None:
        self._technicians: _Kept[frozenset[str]] = _Kept(_TECHNICIANS_SECONDS)
        self._domains: dict[int, _Kept[frozenset[str]]] = {}
        self._contacts: dict[int, _Kept[frozenset[str]]] = {}
        self._clients: _Kept[Clients] = _Kept(_COMPANY_SECONDS)
        self._complete: _Kept[frozenset[int]] = _Kept(_COMPANY_SECONDS)
        self._contact_udfs: _Kept[dict[str, str | None]] = _Kept(_COMPANY_SECONDS)
        self._note_choices: _Kept[dict[str, tuple[Choice, ...]]] = _Kept(_COMPANY_SECONDS)

    async def technicians(self, autotask: Autotask) -> frozenset[str]:
        """Give the addresses of all active resources, as keys; never older than ten minutes."""

        async def read() -> frozenset[str]:
            emails = [e for r in await autotask.active_resources() for e in r.emails]
            return frozenset(key for email in emails if (key := address_key(email)))

        return await self._technicians.get(read)

    async def own_domains(self, autotask: Autotask) -> frozenset[str]:
        """Give the MSP's own domain, from the web address of its organisation (company 0)."""
        return await self.company_domains(autotask, OWN_ORGANISATION)

    async def company_domains(self, autotask: Autotask, company_id: int) -> frozenset[str]:
        """Give the domains that a company's web address names: one, or none."""

        async def read() -> frozenset[str]:
            company = await autotask.company(company_id)
            domain = web_domain(company.web_address if company else None)
            return frozenset([domain] if domain else [])

        return await _kept_in(self._domains, company_id, _COMPANY_SECONDS).get(read)

    async def clients(self, autotask: Autotask) -> Clients:
        """Give all active companies' domains and families; a day old at most."""

        async def read() -> Clients:
            return Clients(await autotask.active_companies())

        return await self._clients.get(read)

    async def note_choices(self, autotask: Autotask) -> dict[str, tuple[Choice, ...]]:
        """Give what a note's `publish` and `noteType` can be; a day old at most."""
        return await self._note_choices.get(autotask.note_picklists)

    async def complete_statuses(self, autotask: Autotask, named: Sequence[str]) -> frozenset[int]:
        """Give the statuses of a ticket that is over; a day old at most. named: see which_end."""

        async def read() -> frozenset[int]:
            return which_end(await autotask.status_choices(), named)[0]

        return await self._complete.get(read)

    async def contact_udfs(self, autotask: Autotask) -> dict[str, str | None]:
        """Give what a new contact has in its user-defined fields; a day old at most."""
        return await self._contact_udfs.get(autotask.contact_udf_defaults)

    async def contact_keys(self, autotask: Autotask, contact_id: int) -> frozenset[str]:
        """Give a contact's addresses, as keys: to recognise whom a message is from, no more."""

        async def read() -> frozenset[str]:
            contact = await autotask.contact(contact_id)
            emails = contact.emails if contact else ()
            return frozenset(key for email in emails if (key := address_key(email)))

        return await _kept_in(self._contacts, contact_id, _CONTACT_SECONDS).get(read)


class Clients:
    """The domains of all active companies, and who belongs together."""

    def __init__(self, companies: Sequence[Company]) -> None:
        self._parents = {one.id: one.parent_id for one in companies if one.parent_id}
        self._by_domain: dict[str, set[int]] = {}
        for one in companies:
            domain = web_domain(one.web_address)
            if domain and one.id != OWN_ORGANISATION:
                self._by_domain.setdefault(domain, set()).add(self._family(one.id))

    def others(self, company_id: int, domains: Iterable[str]) -> frozenset[str]:
        """Of these domains and those above them, name the ones that are other customers' alone.

        Parent and sub-organisations of a company are one customer.
        """
        family = self._family(company_id)
        found = {part for domain in domains for part in and_parents(domain)}
        return frozenset(
            part for part in found if (of := self._by_domain.get(part)) and family not in of
        )

    def _family(self, company_id: int) -> int:
        seen = {company_id}
        while (parent := self._parents.get(company_id)) and parent not in seen:
            seen.add(parent)
            company_id = parent
        return company_id


def which_end(choices: Sequence[Choice], named: Sequence[str]) -> tuple[frozenset[int], list[str]]:
    """Pick the statuses that end a ticket: Complete, and those named by label or id.

    Gives with them the names that the picklist does not have.
    """
    by_name: dict[str, set[int]] = {}
    for one in choices:
        for name in (one.label.strip().casefold(), str(one.value)):
            by_name.setdefault(name, set()).add(one.value)
    found = {name: by_name.get(name.strip().casefold(), set()) for name in ("Complete", *named)}
    ids = frozenset().union(*found.values()) | {STATUS_COMPLETE}
    return ids, [name for name in named if not found[name]]


class _Kept(Generic[T]):
    """One value that is read again when it is too old; readers wait for one another."""

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


def web_domain(web_address: str | None) -> str | None:
    """Read the mail domain that a web address suggests: `http://www.client.com/x` is client.com."""
    text = (web_address or "").strip()
    try:
        host = urlsplit(text if "://" in text else f"//{text}").hostname or ""
    except ValueError:
        return None
    key = address_key(f"x@{host.removeprefix('www.')}") if "." in host else None
    return key.removeprefix("x@") if key else None
