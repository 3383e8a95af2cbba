"""Gather what a decision needs to know, from our records and in as few calls as possible."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.client import Autotask
from app.autotask.models import Contact
from app.autotask.protocol import LOOKUP_ADDRESSES, LOOKUP_IDS
from app.db.states import Origin
from app.decide import Candidate, not_customer
from app.decide.policy import PolicyDocument
from app.looks import read
from app.looks.on_record import Gathered, read_records
from app.looks.read import Reading
from app.mail.addresses import address_key, address_keys, spellings
from app.records import absences, forgotten, links, mappings
from app.records.absences import Missed
from app.records.ledger import creating, restoring
from app.services import Services
from app.sources import Found

log = structlog.get_logger()


async def gather(
    services: Services,
    autotask: Autotask,
    reading: Reading,
    found: Found,
    *,
    ask: bool,
    policy: PolicyDocument | None = None,
) -> Gathered:
    """Return the facts about a ticket's list; nothing is changed, here or at Autotask.

    ask: ask Autotask for the contacts even where our records suffice. policy: in place of the
    account's own, to see what it would do.
    """
    linked = await read.linked(autotask, reading.ticket)
    help_desk = await services.help_desk(autotask)
    gathered = await read_records(services, reading, linked, found, help_desk, policy)
    company_id = reading.ticket.company_id
    domains = {key.rpartition("@")[2] for key in gathered.keys}
    gathered = replace(
        gathered,
        account_domains=await services.account_domains(autotask, company_id),
        other_clients=await services.other_clients(autotask, company_id, domains),
    )
    ask = ask or not gathered.suffices or await _may_be_a_relatives(services, autotask, gathered)
    if gathered.keys and ask:
        contacts = await _look_up(autotask, gathered)
        missing = gathered.asked_ids() - {*contacts}
        async with services.sessions() as session:
            missed = await absences.judge(session, absences.Kind.CONTACT, missing, reading.read_at)
        return _with_contacts(gathered, contacts, missed)
    return gathered


async def _may_be_a_relatives(services: Services, autotask: Autotask, gathered: Gathered) -> bool:
    """Return whether a mapped contact that is to be linked may be one of a parent or child company.

    Whether Autotask refuses a parent's contact on a ticket is unknown. Another company's is refused
    (.../REST/Entities/TicketAdditionalContactsEntity.htm), and then the contacts are read.
    """
    if {row.contact_id for row in gathered.mappings.values()} <= gathered.linked:
        return False
    clients = await services.directory.clients(autotask)
    return clients.has_family(gathered.ticket.company_id)


async def _look_up(autotask: Autotask, gathered: Gathered) -> dict[int, Contact]:
    """Read every contact that the list could mean: one query per hundred addresses."""
    ticket = gathered.ticket
    own = [ticket.contact_id] if ticket.contact_id else []
    ids = [*own, *sorted(gathered.asked_ids() - set(own))]
    addresses = [spelling for key in gathered.keys for spelling in spellings(key)]
    contacts: dict[int, Contact] = {}
    while addresses or ids:
        next_addresses, addresses = addresses[:LOOKUP_ADDRESSES], addresses[LOOKUP_ADDRESSES:]
        next_ids, ids = ids[:LOOKUP_IDS], ids[LOOKUP_IDS:]
        for contact in await autotask.contacts(ticket.company_id, next_addresses, next_ids):
            contacts[contact.id] = contact
    return contacts


def _with_contacts(gathered: Gathered, contacts: Mapping[int, Contact], missed: Missed) -> Gathered:
    """Replace what our records said by what Autotask says."""
    ticket = gathered.ticket
    # An inactive contact can show company 0, whatever its company is; the query's filter knew it.
    here = {
        contact.id: contact
        for contact in contacts.values()
        if contact.company_id == ticket.company_id
        or (not contact.active and not contact.company_id)
    }
    own = contacts.get(ticket.contact_id) if ticket.contact_id else None
    retired = set(gathered.restorable.values())
    taken_off = {i for i in gathered.gone if i in here and (here[i].active or i in retired)}
    return replace(
        gathered,
        contacts=contacts,
        missed_contacts=missed,
        contact_keys=address_keys(own.emails) if own else gathered.contact_keys,
        removed=gathered.removed | taken_off,
        candidates=_candidates(gathered, here, missed),
        # A contact to which a person has given another address is another person's now.
        retired={
            key: contact_id
            for key, contact_id in gathered.restorable.items()
            if contact_id in here and address_keys(here[contact_id].emails) <= {key}
        },
    )


def _candidates(
    gathered: Gathered, here: Mapping[int, Contact], missed: Missed
) -> dict[str, list[Candidate]]:
    candidates: dict[str, list[Candidate]] = {}
    keys_of = {contact.id: address_keys(contact.emails) for contact in here.values()}
    for key in gathered.keys:
        mapping = gathered.mappings.get(key)
        for contact in here.values():
            carries = key in keys_of[contact.id]
            mapped = mapping is not None and mapping.contact_id == contact.id
            # A contact may be given another address; only a person's mapping holds without it.
            by_person = mapped and mapping is not None and mapping.origin == Origin.MANUAL
            if carries or by_person:
                candidate = Candidate(
                    contact.id,
                    active=contact.active,
                    mapped=mapped,
                    primary=address_key(contact.email or "") == key,
                    muted=None if contact.gets_mail is None else not contact.gets_mail,
                    not_customer=not_customer(keys_of[contact.id], gathered.help_desk),
                )
                candidates.setdefault(key, []).append(candidate)
        if mapping is not None and mapping.contact_id in missed.unsure:
            on_record = Candidate(mapping.contact_id, mapped=True, muted=mapping.muted)
            candidates.setdefault(key, []).append(on_record)
    return candidates


async def record(session: AsyncSession, gathered: Gathered, settle: timedelta) -> None:
    """Store what was seen: who is on the ticket, who was taken off, and which mappings hold.

    settle: how long a create without an answer may still take effect.
    """
    ticket, account_id, read_at = gathered.ticket, gathered.ticket.company_id, gathered.read_at
    missed = gathered.missed_links
    missing = missed.gone | missed.unsure
    await absences.record(session, absences.Kind.LINK, missing, gathered.seen, read_at, ticket.id)
    await links.saw_linked(session, ticket.id, account_id, gathered.seen)
    await links.forget_other_accounts(session, ticket.id, account_id)
    await links.saw_removed(session, ticket.id, gathered.removed)
    if ticket.contact_id:
        await links.saw_as_contact(session, ticket.id, ticket.contact_id)
    if gathered.contacts is None:
        return
    if ticket.contact_id and ticket.contact_id in gathered.contacts:
        keys = gathered.contact_keys
        keys -= await forgotten.forgotten(session, keys)
        await mappings.remember_contact(session, ticket.contact_id, keys)
    missed = gathered.missed_contacts
    missing = missed.gone | missed.unsure
    await absences.record(session, absences.Kind.CONTACT, missing, gathered.contacts, read_at)
    await restoring.saw_deleted(session, missed.gone & {*gathered.restorable.values()})
    await _forget_vanished(session, gathered)
    contacts = gathered.contacts
    carrying = {
        key: [contacts[c.contact_id] for c in candidates if c.contact_id in contacts]
        for key, candidates in gathered.candidates.items()
    }
    active = {contact.id for some in carrying.values() for contact in some if contact.active}
    await restoring.saw_restored(session, active)
    await creating.recognise(session, account_id, carrying, settle=settle, read_at=read_at)


async def _forget_vanished(session: AsyncSession, gathered: Gathered) -> None:
    """Delete the mappings whose contact has no longer the address, or is gone."""
    hold = {
        key
        for key, candidates in gathered.candidates.items()
        if any(candidate.mapped for candidate in candidates)
    }
    rows = gathered.mappings.values()
    vanished = {row.email: row.contact_id for row in rows if row.email not in hold}
    if vanished:
        account_id = gathered.ticket.company_id
        log.info("mapped_contacts_vanished", account=account_id, count=len(vanished))
        await mappings.forget(session, account_id, vanished)
