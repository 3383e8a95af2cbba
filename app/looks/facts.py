"""Gather what a decision needs to know, from our records and in as few calls as possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.client import Autotask
from app.autotask.models import Contact, Ticket
from app.autotask.protocol import LOOKUP_ADDRESSES, LOOKUP_IDS
from app.contacts.usable import address_keys
from app.db.states import Origin
from app.decide import Candidate, Facts, HelpDesk, needs_contacts, not_customer
from app.decide.policy import PolicyDocument, in_effect
from app.looks.reading import Known, Reading, Words
from app.mail.addresses import address_key, spellings
from app.records import forgotten, mappings, participants, policies, tickets
from app.records import links as link_records
from app.records.ledger import creating, restoring
from app.services import Services
from app.sources import Found

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen while the facts were gathered, to be recorded. contacts: None if not asked."""

    reading: Reading
    known: Known
    contacts: Mapping[int, Contact] | None
    facts: Facts

    @property
    def observes(self) -> bool:
        """Whether nothing may be written: decided and recorded only."""
        return self.known.words.observed or self.facts.policy.act == "observe"


async def gather(
    services: Services,
    autotask: Autotask,
    reading: Reading,
    found: Found,
    *,
    ask: bool,
    policy: PolicyDocument | None = None,
) -> Seen:
    """Gather the facts about a ticket's list; nothing is changed, here or at Autotask.

    ask: ask Autotask for the contacts even where the records would do. policy: take this one for
    the account's own, to see what it would do.
    """
    help_desk = await services.help_desk(autotask)
    known = await _known(services, reading, found, help_desk, policy)
    company_id = reading.ticket.company_id
    clients = await services.directory.clients(autotask)
    contacts = None
    facts = replace(
        _facts_from_records(reading, known, help_desk),
        account_domains=await services.directory.company_domains(autotask, company_id),
        other_clients=clients.others(company_id, (key.rpartition("@")[2] for key in known.keys)),
    )
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
    await link_records.saw_linked(session, ticket.id, account_id, seen.reading.linked)
    await link_records.forget_other_accounts(session, ticket.id, account_id)
    await link_records.saw_removed(session, ticket.id, seen.facts.removed)
    if ticket.contact_id:
        await link_records.saw_as_contact(session, ticket.id, ticket.contact_id)
    if seen.contacts is None:
        return
    if ticket.contact_id and ticket.contact_id in seen.contacts:
        keys = seen.facts.contact_keys
        await mappings.remember_contact(session, ticket.contact_id, keys)
    await restoring.saw_deleted(session, set(known.retired.values()) - set(seen.contacts))
    candidates = seen.facts.candidates
    held = {key for key, found in candidates.items() if any(c.mapped for c in found)}
    vanished = {m.email: m.contact_id for m in known.mappings.values() if m.email not in held}
    if vanished:
        log.info("mapped_contacts_vanished", account=account_id, count=len(vanished))
        await mappings.forget(session, account_id, vanished)
    carrying = {
        key: [seen.contacts[c.contact_id] for c in candidates.get(key, ())] for key in known.keys
    }
    back = {contact.id for found in carrying.values() for contact in found if contact.active}
    await restoring.saw_restored(session, back)
    read_at = seen.reading.read_at
    await creating.recognise(session, account_id, carrying, settle=settle, read_at=read_at)


async def _known(
    services: Services,
    reading: Reading,
    found: Found,
    help_desk: HelpDesk,
    policy: PolicyDocument | None,
) -> Known:
    ticket = reading.ticket
    async with services.sessions() as session:
        judged = await participants.judged(session, ticket.id, ticket.company_id)
        keys = needs_contacts(found.entries, help_desk, judged[0])
        contact_id = ticket.contact_id
        return Known(
            keys=keys,
            mappings=await mappings.of_addresses(session, ticket.company_id, keys),
            links=await link_records.links_of(session, ticket.id),
            created=frozenset(await creating.contacts_created_for(session, ticket.id)),
            contact_keys=(
                await mappings.contact_addresses(session, contact_id) if contact_id else None
            ),
            words=await _words(session, services, ticket, keys, judged, policy),
            origin=await tickets.origin_of(session, ticket.id),
            removed_elsewhere=await participants.removed_elsewhere(
                session, ticket.id, ticket.company_id
            ),
            retired=await restoring.restorable(session, ticket.company_id, keys),
        )


async def _words(
    session: AsyncSession,
    services: Services,
    ticket: Ticket,
    keys: Sequence[str],
    judged: tuple[frozenset[str], frozenset[str]],
    document: PolicyDocument | None,
) -> Words:
    settings, account_id = services.settings, ticket.company_id
    policy_of = await policies.changed_at(session, account_id)  # before the policy: never younger
    if document is None:
        document = await policies.document_of(session, account_id)
    by_sender, in_all = await creating.new_outside(session, account_id, ticket.contact_id)
    left = min(settings.max_new_per_sender - by_sender, settings.max_new_per_day - in_all)
    return Words(
        policy=in_effect(settings.default_policy, document).policy,
        policy_of=policy_of,
        observed=await tickets.is_observed(session, ticket.id),
        forgotten=await forgotten.forgotten(session, keys),
        approved=judged[0],
        rejected=judged[1],
        new_left=left,
    )


async def _look_up(autotask: Autotask, reading: Reading, known: Known) -> dict[int, Contact]:
    """Read every contact that the list could mean: one query per hundred addresses."""
    own = [reading.ticket.contact_id] if reading.ticket.contact_id else []
    others = {row.contact_id for row in known.mappings.values()} | reading.linked
    others |= set(known.retired.values())
    ids = [*own, *sorted((others | known.gone(reading)) - set(own))]
    addresses = [spelling for key in known.keys for spelling in spellings(key)]
    found: dict[int, Contact] = {}
    while addresses or ids:
        some, addresses = addresses[:LOOKUP_ADDRESSES], addresses[LOOKUP_ADDRESSES:]
        some_ids, ids = ids[:LOOKUP_IDS], ids[LOOKUP_IDS:]
        for contact in await autotask.contacts(reading.ticket.company_id, some, some_ids):
            found[contact.id] = contact
    return found


def _facts_from_records(reading: Reading, known: Known, help_desk: HelpDesk) -> Facts:
    return Facts(
        help_desk=help_desk,
        contact_id=reading.ticket.contact_id,
        contact_keys=known.contact_keys or frozenset(),
        linked=reading.linked,
        removed=frozenset(i for i in known.gone(reading) if known.links[i].removed_seen_at),
        created=known.created,
        candidates={
            email: [Candidate(row.contact_id, mapped=True, muted=row.muted)]
            for email, row in known.mappings.items()
        },
        policy=known.words.policy,
        forgotten=known.words.forgotten,
        approved=known.words.approved,
        rejected=known.words.rejected,
        new_left=known.words.new_left,
        moved=known.origin not in (None, reading.ticket.company_id),
        removed_elsewhere=known.removed_elsewhere,
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
    ended = set(known.retired.values())
    taken_off = {i for i in known.gone(reading) if i in here and (here[i].active or i in ended)}
    return replace(
        facts,
        contact_keys=frozenset(address_keys(own)) if own else facts.contact_keys,
        removed=facts.removed | taken_off,
        candidates=_candidates(known, here, facts.help_desk),
        # One to which a person has given another address is somebody else.
        retired={
            k: i for k, i in known.retired.items() if i in here and address_keys(here[i]) <= {k}
        },
    )


def _candidates(
    known: Known, here: Mapping[int, Contact], help_desk: HelpDesk
) -> dict[str, list[Candidate]]:
    candidates: dict[str, list[Candidate]] = {}
    keys_of = {contact.id: address_keys(contact) for contact in here.values()}
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
                    muted=None if contact.gets_mail is None else not contact.gets_mail,
                    not_customer=not_customer(keys_of[contact.id], help_desk),
                )
                candidates.setdefault(key, []).append(one)
    return candidates
