"""What our records say of a ticket and its list, before Autotask is asked for contacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.models import Contact, Ticket
from app.db.tables import LinkRecord
from app.db.tables import Mapping as MappingRow
from app.decide import Candidate, Facts, HelpDesk, listed, needs_contacts
from app.decide.policy import PolicyDocument, in_effect
from app.looks.read import Reading
from app.looks.room import room_of
from app.records import absences, forgotten, mappings, participants, policies, tickets
from app.records import links as link_records
from app.records.absences import NOTHING, Missed
from app.records.ledger import creating, restoring
from app.services import Services
from app.sources import Found


class Said(NamedTuple):
    """What people had said about the addresses of a list."""

    approved: frozenset[str]
    rejected: frozenset[str]
    forgotten: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered(Facts):
    """The facts that decisions are made on, and the readings and records that they come from."""

    ticket: Ticket
    asked_at: float
    """time.monotonic() when the request left that read the ticket."""
    read_at: datetime
    """The database's clock before that request."""
    listed: Sequence[str]
    """Each address, and each other text, that is decided about, and so is recorded."""
    seen: frozenset[int]
    """Contacts on the ticket, as the reading showed them; `linked` adds the missed ones."""
    missed_links: Missed = NOTHING
    """Contacts that were on the ticket and were not shown."""
    missed_contacts: Missed = NOTHING
    """Contacts that were asked for by their ids and were not shown."""
    keys: Sequence[str]
    """The addresses whose decision depends on Autotask's contacts."""
    mappings: Mapping[str, MappingRow]
    links: Mapping[int, LinkRecord]
    restorable: Mapping[str, int]
    """Contacts that we retired, by the address that they had."""
    standing: Mapping[str, int]
    """Contacts that we created, by their addresses."""
    contact_is_known: bool
    """Whether our records have the addresses of the ticket's own contact, or it has none."""
    policy_changed_at: datetime | None = None
    """When the account's own policy was changed; None: it has none."""
    chain_id: int = 0
    """The contact who answers for new people of this ticket, see caps.chain_of."""
    observed: bool = False
    """Whether the ticket was first decided on in observe mode."""
    contacts: Mapping[int, Contact] | None = None
    """What Autotask answered; None: our records sufficed, and it was not asked."""

    @property
    def observes(self) -> bool:
        """Whether decisions are recorded only, and nothing is written to Autotask."""
        return self.observed or self.policy.act == "observe"

    @property
    def said(self) -> Said:
        """What people had said about the list's addresses."""
        return Said(self.approved, self.rejected, self.forgotten)

    @property
    def gone(self) -> set[int]:
        """Contacts that were on the ticket in this account and are not now."""
        return _gone(self.ticket, self.linked, self.links)

    @property
    def again_at(self) -> datetime | None:
        """When the ticket has to be read again, as something was not shown."""
        times = (self.missed_links.again_at, self.missed_contacts.again_at)
        return min((at for at in times if at), default=None)

    def asked_ids(self) -> set[int]:
        """Return the contacts that the list could mean, as far as our records know them."""
        mapped = {row.contact_id for row in self.mappings.values()}
        ours = {*self.restorable.values(), *self.standing.values()}
        return mapped | ours | self._on_ticket()

    def _on_ticket(self) -> set[int]:
        own = {self.ticket.contact_id} if self.ticket.contact_id else set()
        return {*self.linked, *self.gone, *own}

    def is_unsure(self, key: str) -> bool:
        """Return whether the address may mean a contact that was not shown, and is not gone yet."""
        mapped = self.mappings[key].contact_id if key in self.mappings else None
        its = {mapped, self.restorable.get(key), self.standing.get(key), *self._on_ticket()}
        return bool(self.missed_contacts.unsure & its)

    @property
    def suffices(self) -> bool:
        """Whether the records are fresh and complete enough to decide without asking Autotask."""
        verified_since = self.read_at - mappings.VERIFIED_FOR
        mapped = {row.email: row.contact_id for row in self.mappings.values()}
        return (
            all(key in mapped for key in self.keys)
            and all(row.verified_at > verified_since for row in self.mappings.values())
            and self.contact_is_known
            # A contact on the ticket that no mapping explains may be one of these people, too.
            and self.linked <= set(mapped.values())
            and not self.gone & set(mapped.values())
        )


def _gone(ticket: Ticket, linked: frozenset[int], links: Mapping[int, LinkRecord]) -> set[int]:
    return {
        contact_id
        for contact_id, link in links.items()
        if link.first_seen_linked_at
        and link.unlinked_at is None
        and link.account_id == ticket.company_id
        # A contact that becomes the ticket's own is no additional contact any more.
        and contact_id not in {*linked, ticket.contact_id}
    }


async def read_records(
    services: Services,
    reading: Reading,
    linked: frozenset[int],
    found: Found,
    help_desk: HelpDesk,
    document: PolicyDocument | None,
) -> Gathered:
    """Return the facts as our records have them. document: in place of the account's policy."""
    ticket, account_id = reading.ticket, reading.ticket.company_id
    async with services.sessions() as session:
        names = listed(found.entries)
        said = await what_people_said(session, ticket, names)
        keys = needs_contacts(found.entries, help_desk, said.approved)
        rows = await mappings.of_addresses(session, account_id, keys)
        contact_keys = await _contact_keys(session, ticket.contact_id)
        by_records = Gathered(
            ticket=ticket,
            asked_at=reading.asked_at,
            read_at=reading.read_at,
            listed=names,
            seen=linked,
            keys=keys,
            mappings=rows,
            links=await link_records.links_of(session, ticket.id),
            restorable=await restoring.restorable(session, account_id, keys),
            standing=await creating.standing(session, account_id, keys),
            contact_is_known=contact_keys is not None,
            help_desk=help_desk,
            contact_id=ticket.contact_id,
            contact_keys=contact_keys or frozenset(),
            created=frozenset(await creating.contacts_created_for(session, ticket.id)),
            candidates={email: [_mapped(row)] for email, row in rows.items()},
            unlisted=found.unlisted,
            automatic=found.automatic,
            unknown_sender=found.unknown_sender,
            **said._asdict(),
        )
        facts = await _with_links(session, by_records)
        return await _with_instructions(session, services, facts, document)


async def what_people_said(session: AsyncSession, ticket: Ticket, names: Sequence[str]) -> Said:
    """Return which addresses were approved and rejected on a ticket, and which are forgotten.

    names: the addresses and other texts of its list. Decisions are made on this, and recorded only
    if it is the same then.
    """
    account_id = ticket.company_id
    approved, rejected = await participants.approved_and_rejected(session, ticket.id, account_id)
    return Said(approved, rejected, await forgotten.forgotten(session, names))


async def _with_links(session: AsyncSession, facts: Gathered) -> Gathered:
    """Add the links that are there, or are not shown and not believed to be gone."""
    gone = _gone(facts.ticket, facts.seen, facts.links)
    removed = frozenset(contact for contact in gone if facts.links[contact].removed_seen_at)
    kind, ticket_id = absences.Kind.LINK, facts.ticket.id
    missed = await absences.judge(session, kind, gone - removed, facts.read_at, of=ticket_id)
    linked = facts.seen | missed.unsure
    return replace(facts, missed_links=missed, linked=linked, removed=removed)


async def _with_instructions(
    session: AsyncSession, services: Services, facts: Gathered, document: PolicyDocument | None
) -> Gathered:
    """Add what holds for the whole ticket: the account's policy, today's caps, a move."""
    ticket, account_id, settings = facts.ticket, facts.ticket.company_id, services.settings
    # Before the policy is read: a policy that is newer than its time would never be noticed.
    changed_at = await policies.changed_at(session, account_id)
    if document is None:
        document = await policies.document_of(session, account_id)
    origin = await tickets.origin_of(session, ticket.id)
    room = await room_of(session, settings, ticket)
    return replace(
        facts,
        chain_id=room.chain_id,
        new_left=room.outside,
        new_inside_left=room.inside,
        begun=await creating.begun(
            session, account_id, facts.keys, services.create_settle, facts.read_at
        ),
        policy=in_effect(settings.default_policy, document).policy,
        policy_changed_at=changed_at,
        observed=await tickets.is_observed(session, ticket.id),
        moved=origin not in (None, account_id),
        removed_elsewhere=await participants.removed_elsewhere(session, ticket.id, account_id),
    )


async def _contact_keys(session: AsyncSession, contact_id: int | None) -> frozenset[str] | None:
    """Return the addresses of the ticket's contact as last read; None: they are not known."""
    if not contact_id:
        return frozenset()
    return await mappings.contact_addresses(session, contact_id)


def _mapped(row: MappingRow) -> Candidate:
    return Candidate(row.contact_id, mapped=True, muted=row.muted)
