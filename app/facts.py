"""Gather what a decision needs to know, from our records and in as few calls as possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from app import ledger, participants
from app.addresses import Address, Rejected, address_key
from app.autotask.client import Autotask
from app.autotask.models import Contact, Ticket
from app.autotask.protocol import LOOKUP_ADDRESSES
from app.decide import Candidate, Facts, Us, needs_contacts
from app.desk import Desk
from app.models import LinkRecord
from app.models import Mapping as MappingRow
from app.work import Lease, fenced

log = structlog.get_logger()

Entries = Sequence[Address | Rejected]


@dataclass(frozen=True, slots=True)
class Reading:
    """A ticket as it was read.

    asked_at: time.monotonic() when its request left. read_at: the database's clock before that.
    """

    ticket: Ticket
    linked: frozenset[int]
    asked_at: float
    read_at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """What our records say about a ticket's list."""

    keys: Sequence[str]
    mappings: Mapping[str, MappingRow]
    links: Mapping[int, LinkRecord]
    contact_keys: frozenset[str] | None

    def gone(self, reading: Reading) -> set[int]:
        """Contacts that were on the ticket in this account and are not now."""
        return {
            contact_id
            for contact_id, link in self.links.items()
            if link.first_seen_linked_at
            and link.account_id == reading.ticket.company_id
            and contact_id not in reading.linked
        }

    def suffices(self, reading: Reading) -> bool:
        """Tell whether the records are fresh and whole enough to do without asking Autotask."""
        verified_since = reading.read_at - participants.VERIFIED_FOR
        fresh = {m.email: m.contact_id for m in self.mappings.values()}
        return (
            all(key in fresh for key in self.keys)
            and all(m.verified_at > verified_since for m in self.mappings.values())
            and (self.contact_keys is not None or reading.ticket.contact_id is None)
            # Somebody on the ticket whom no mapping explains may be one of these people, too.
            and reading.linked <= set(fresh.values())
            and not self.gone(reading) & set(fresh.values())
        )


async def gather(
    desk: Desk, autotask: Autotask, lease: Lease, reading: Reading, entries: Entries, *, ask: bool
) -> Facts:
    """Give the facts for a ticket's list, and record what was seen.

    ask: ask Autotask for the contacts even where the records would do.
    """
    us = await _us(desk, autotask)
    known = await _known(desk, lease, reading, needs_contacts(entries, us))
    domains = await desk.directory.company_domains(autotask, reading.ticket.company_id)
    if known.keys and (ask or not known.suffices(reading)):
        contacts = await _look_up(autotask, reading, known)
        facts = _facts_from_contacts(reading, known, contacts, us, domains)
    else:
        contacts = None
        facts = _facts_from_records(reading, known, us, domains)
    await _record(desk, lease, reading, known, contacts, facts)
    return facts


async def _us(desk: Desk, autotask: Autotask) -> Us:
    technicians = await desk.directory.technicians(autotask)
    domains = await desk.directory.own_domains(autotask)
    settings = desk.settings
    return Us(
        addresses=frozenset(settings.own_addresses),
        domains=frozenset(settings.own_domains) | domains,
        technicians=technicians,
    )


async def _known(desk: Desk, lease: Lease, reading: Reading, keys: Sequence[str]) -> Known:
    ticket = reading.ticket
    async with fenced(desk.sessions, lease) as session:
        contact_id = ticket.contact_id
        return Known(
            keys=keys,
            mappings=await participants.mappings_of(session, ticket.company_id, keys),
            links=await participants.links_of(session, ticket.id),
            contact_keys=(
                await participants.contact_addresses(session, contact_id) if contact_id else None
            ),
        )


async def _look_up(autotask: Autotask, reading: Reading, known: Known) -> dict[int, Contact]:
    """Read every contact that the list could mean: one query per hundred addresses."""
    ids = {row.contact_id for row in known.mappings.values()} | reading.linked
    ids |= known.gone(reading)
    if reading.ticket.contact_id:
        ids.add(reading.ticket.contact_id)
    found: dict[int, Contact] = {}
    for start in range(0, len(known.keys), LOOKUP_ADDRESSES):
        part = known.keys[start : start + LOOKUP_ADDRESSES]
        by_id = sorted(ids)[:150] if start == 0 else ()
        for contact in await autotask.contacts(reading.ticket.company_id, part, by_id):
            found[contact.id] = contact
    return found


def _facts_from_records(
    reading: Reading, known: Known, us: Us, account_domains: frozenset[str]
) -> Facts:
    return Facts(
        us=us,
        contact_id=reading.ticket.contact_id,
        contact_keys=known.contact_keys or frozenset(),
        linked=reading.linked,
        removed=frozenset(i for i in known.gone(reading) if known.links[i].removed_seen_at),
        candidates={
            email: [Candidate(row.contact_id, mapped=True)] for email, row in known.mappings.items()
        },
        account_domains=account_domains,
    )


def _facts_from_contacts(
    reading: Reading,
    known: Known,
    contacts: Mapping[int, Contact],
    us: Us,
    account_domains: frozenset[str],
) -> Facts:
    ticket = reading.ticket
    # An inactive contact can show company 0, whatever its company is; the query's filter knew it.
    here = {
        contact.id: contact
        for contact in contacts.values()
        if contact.company_id == ticket.company_id
        or (not contact.active and not contact.company_id)
    }
    own = contacts.get(ticket.contact_id) if ticket.contact_id else None
    stands = {i for i in known.gone(reading) if i in here and here[i].active}
    removed = stands | {i for i in known.gone(reading) if known.links[i].removed_seen_at}
    return Facts(
        us=us,
        contact_id=ticket.contact_id,
        contact_keys=frozenset(_keys(own)) if own else frozenset(),
        linked=reading.linked,
        removed=frozenset(removed),
        candidates=_candidates(known, here),
        account_domains=account_domains,
    )


def _candidates(known: Known, here: Mapping[int, Contact]) -> dict[str, list[Candidate]]:
    candidates: dict[str, list[Candidate]] = {}
    keys_of = {contact.id: _keys(contact) for contact in here.values()}
    for key in known.keys:
        mapping = known.mappings.get(key)
        for contact in here.values():
            mapped = mapping is not None and mapping.contact_id == contact.id
            if mapped or key in keys_of[contact.id]:
                primary = address_key(contact.email or "") == key
                one = Candidate(contact.id, contact.active, mapped, primary)
                candidates.setdefault(key, []).append(one)
    return candidates


async def _record(
    desk: Desk,
    lease: Lease,
    reading: Reading,
    known: Known,
    contacts: Mapping[int, Contact] | None,
    facts: Facts,
) -> None:
    """Keep what was seen: who is on the ticket, who was taken off, and which mappings hold."""
    ticket = reading.ticket
    async with fenced(desk.sessions, lease) as session:
        await participants.saw_linked(session, ticket.id, ticket.company_id, reading.linked)
        await participants.saw_removed(session, ticket.id, facts.removed)
        if contacts is None:
            return
        if ticket.contact_id and ticket.contact_id in contacts:
            await participants.remember_contact(session, ticket.contact_id, facts.contact_keys)
        held = {key for key, found in facts.candidates.items() if any(c.mapped for c in found)}
        vanished = set(known.mappings) - held
        if vanished:
            log.info("mapped_contacts_vanished", account=ticket.company_id, count=len(vanished))
            await participants.forget(session, ticket.company_id, vanished)
        carrying: dict[str, list[Contact]] = {key: [] for key in known.keys}
        for key, found in facts.candidates.items():
            carrying[key] = [contacts[c.contact_id] for c in found]
        settle = desk.create_settle
        await ledger.recognise(
            session, ticket.company_id, carrying, settle=settle, read_at=reading.read_at
        )


def _keys(contact: Contact) -> set[str]:
    return {key for email in contact.emails if (key := address_key(email))}
