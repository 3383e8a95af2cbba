"""Gather what a decision needs to know, from our records and in as few calls as possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger, mappings, participants
from app.addresses import address_key, spellings
from app.autotask.client import Autotask
from app.autotask.models import Contact, Ticket
from app.autotask.protocol import LOOKUP_ADDRESSES, LOOKUP_IDS
from app.decide import Candidate, Facts, Us, needs_contacts, not_customer
from app.desk import Desk
from app.models import LinkRecord
from app.models import Mapping as MappingRow
from app.sources import Found
from app.states import Origin
from app.us import who_is_us

log = structlog.get_logger()


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
    created: frozenset[int]
    contact_keys: frozenset[str] | None

    def gone(self, reading: Reading) -> set[int]:
        """Contacts that were on the ticket in this account and are not now."""
        return {
            contact_id
            for contact_id, link in self.links.items()
            if link.first_seen_linked_at
            and link.account_id == reading.ticket.company_id
            # Becoming the ticket's own contact takes somebody off the additional ones.
            and contact_id not in {*reading.linked, reading.ticket.contact_id}
        }

    def suffices(self, reading: Reading) -> bool:
        """Tell whether the records are fresh and whole enough to do without asking Autotask."""
        verified_since = reading.read_at - mappings.VERIFIED_FOR
        fresh = {m.email: m.contact_id for m in self.mappings.values()}
        return (
            all(key in fresh for key in self.keys)
            and all(m.verified_at > verified_since for m in self.mappings.values())
            and (self.contact_keys is not None or reading.ticket.contact_id is None)
            # Somebody on the ticket whom no mapping explains may be one of these people, too.
            and reading.linked <= set(fresh.values())
            and not self.gone(reading) & set(fresh.values())
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen while the facts were gathered, to be recorded. contacts: None if not asked."""

    reading: Reading
    known: Known
    contacts: Mapping[int, Contact] | None
    facts: Facts


async def gather(
    desk: Desk, autotask: Autotask, reading: Reading, found: Found, *, ask: bool
) -> Seen:
    """Gather the facts about a ticket's list; nothing is changed, here or at Autotask.

    ask: ask Autotask for the contacts even where the records would do.
    """
    us = await who_is_us(desk, autotask)
    known = await _known(desk, reading, needs_contacts(found.entries, us))
    domains = await desk.directory.company_domains(autotask, reading.ticket.company_id)
    contacts = None
    facts = _facts_from_records(reading, known, us, domains)
    if known.keys and (ask or not known.suffices(reading)):
        contacts = await _look_up(autotask, reading, known)
        facts = _with_contacts(facts, reading, known, contacts)
    return Seen(
        reading, known, contacts, replace(facts, unlisted=found.unlisted, automatic=found.automatic)
    )


async def record(session: AsyncSession, seen: Seen, settle: timedelta) -> None:
    """Store what was seen: who is on the ticket, who was taken off, and which mappings hold.

    settle: how long a create without an answer may still take effect.
    """
    ticket, known = seen.reading.ticket, seen.known
    account_id = ticket.company_id
    await participants.saw_linked(session, ticket.id, account_id, seen.reading.linked)
    await participants.forget_other_accounts(session, ticket.id, account_id)
    await participants.saw_removed(session, ticket.id, seen.facts.removed)
    if ticket.contact_id:
        await participants.saw_as_contact(session, ticket.id, ticket.contact_id)
    if seen.contacts is None:
        return
    if ticket.contact_id and ticket.contact_id in seen.contacts:
        keys = seen.facts.contact_keys
        await mappings.remember_contact(session, ticket.contact_id, keys)
    candidates = seen.facts.candidates
    held = {key for key, found in candidates.items() if any(c.mapped for c in found)}
    vanished = {m.email: m.contact_id for m in known.mappings.values() if m.email not in held}
    if vanished:
        log.info("mapped_contacts_vanished", account=account_id, count=len(vanished))
        await mappings.forget(session, account_id, vanished)
    carrying = {
        key: [seen.contacts[c.contact_id] for c in candidates.get(key, ())] for key in known.keys
    }
    read_at = seen.reading.read_at
    await ledger.recognise(session, account_id, carrying, settle=settle, read_at=read_at)


async def _known(desk: Desk, reading: Reading, keys: Sequence[str]) -> Known:
    ticket = reading.ticket
    async with desk.sessions() as session:
        contact_id = ticket.contact_id
        return Known(
            keys=keys,
            mappings=await mappings.of_addresses(session, ticket.company_id, keys),
            links=await participants.links_of(session, ticket.id),
            created=frozenset(await ledger.contacts_created_for(session, ticket.id)),
            contact_keys=(
                await mappings.contact_addresses(session, contact_id) if contact_id else None
            ),
        )


async def _look_up(autotask: Autotask, reading: Reading, known: Known) -> dict[int, Contact]:
    """Read every contact that the list could mean: one query per hundred addresses."""
    own = [reading.ticket.contact_id] if reading.ticket.contact_id else []
    others = {row.contact_id for row in known.mappings.values()} | reading.linked
    ids = [*own, *sorted((others | known.gone(reading)) - set(own))]
    addresses = [spelling for key in known.keys for spelling in spellings(key)]
    found: dict[int, Contact] = {}
    while addresses or ids:
        some, addresses = addresses[:LOOKUP_ADDRESSES], addresses[LOOKUP_ADDRESSES:]
        some_ids, ids = ids[:LOOKUP_IDS], ids[LOOKUP_IDS:]
        for contact in await autotask.contacts(reading.ticket.company_id, some, some_ids):
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
        created=known.created,
        candidates={
            email: [Candidate(row.contact_id, mapped=True)] for email, row in known.mappings.items()
        },
        account_domains=account_domains,
    )


def _with_contacts(
    facts: Facts, reading: Reading, known: Known, contacts: Mapping[int, Contact]
) -> Facts:
    """Put what Autotask says in the place of what our records said."""
    ticket = reading.ticket
    # An inactive contact can show company 0, whatever its company is; the query's filter knew it.
    here = {
        contact.id: contact
        for contact in contacts.values()
        if contact.company_id == ticket.company_id
        or (not contact.active and not contact.company_id)
    }
    own = contacts.get(ticket.contact_id) if ticket.contact_id else None
    taken_off = {i for i in known.gone(reading) if i in here and here[i].active}
    return replace(
        facts,
        contact_keys=frozenset(_keys(own)) if own else facts.contact_keys,
        removed=facts.removed | taken_off,
        candidates=_candidates(known, here, facts.us),
    )


def _candidates(known: Known, here: Mapping[int, Contact], us: Us) -> dict[str, list[Candidate]]:
    candidates: dict[str, list[Candidate]] = {}
    keys_of = {contact.id: _keys(contact) for contact in here.values()}
    for key in known.keys:
        mapping = known.mappings.get(key)
        for contact in here.values():
            carries = key in keys_of[contact.id]
            mapped = mapping is not None and mapping.contact_id == contact.id
            # A contact may be given another address; only a person's word holds without it.
            by_person = mapped and mapping is not None and mapping.origin == Origin.MANUAL
            if carries or by_person:
                one = Candidate(
                    contact.id,
                    active=contact.active,
                    mapped=mapped,
                    primary=address_key(contact.email or "") == key,
                    not_customer=not_customer(keys_of[contact.id], us),
                )
                candidates.setdefault(key, []).append(one)
    return candidates


def _keys(contact: Contact) -> set[str]:
    return {key for email in contact.emails if (key := address_key(email))}
