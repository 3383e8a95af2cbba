"""Read what retiring a contact depends on: our records of it, and the contact at Autotask."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.autotask.client import Autotask
from app.contacts.retire_steps import AtAutotask, OurRecord
from app.db import database
from app.db.states import EndedBy, LedgerState
from app.db.tables import Ledger, LinkRecord
from app.records import absences
from app.records import links as link_records
from app.records.absences import Kind, Missed
from app.records.ledger import candidates, common, ending
from app.services import Services


@dataclass(slots=True)
class ContactReader:
    """The readings of one contact that is being retired."""

    services: Services
    autotask: Autotask
    off: Collection[int]
    """Tickets whose links of the contact are left out."""
    portal: bool | None = field(default=None, init=False)
    """Whether the contact can use the client portal; read once."""
    read_at: datetime = field(init=False)
    """The database's clock before the latest reading."""

    async def row(self, ledger_id: int) -> Ledger:
        """Return the contact's row as it stands now."""
        async with self.services.sessions() as session:
            return await candidates.current(session, ledger_id)

    async def is_taken(self, row: Ledger) -> bool:
        """Return whether another contact that we created has the address."""
        async with self.services.sessions() as session:
            return await common.is_taken(session, row)

    async def is_needed(self, row: Ledger) -> bool:
        """Return whether a ticket has wanted the contact since its ending began."""
        async with self.services.sessions() as session:
            return await ending.is_needed(session, row)

    async def our_link(self, row: Ledger, ticket_id: int) -> LinkRecord | None:
        """Return what our records contain of the contact's link to a ticket."""
        async with self.services.sessions() as session:
            links = await link_records.links_of(session, ticket_id)
        return links.get(row.contact_id) if row.contact_id else None

    async def time_left(self, until: datetime | None) -> timedelta | None:
        """Return how long an unanswered request may still take effect, if at all."""
        if until is None:
            return None
        left = until - await database.now(self.services.sessions)
        return left if left > timedelta(0) else None

    async def our_record(
        self, row: Ledger, why: EndedBy, grace: timedelta, halt: str | None
    ) -> OurRecord:
        """Return what our records contain of the contact."""
        async with self.services.sessions() as session:
            history = await candidates.history(session, row)
        return OurRecord(
            account_id=row.account_id,
            why=why,
            sent=row.sent,
            begun=row.state in (LedgerState.RETIRING, LedgerState.RESTORING),
            links=history.links,
            grace=grace,
            over_at=history.over_at,
            by_person=history.by_person,
            udf_defaults=await self.services.directory.contact_udfs(self.autotask),
            halt=halt,
            unsure=row.unsure_until is not None or row.settled_at is None,
        )

    async def at_autotask(self, row: Ledger, stuck: Collection[int]) -> AtAutotask:
        """Return the contact as Autotask shows it. Raise what the client and throttle raise."""
        assert row.contact_id is not None
        self.read_at = await database.now(self.services.sessions)
        contact = await self.autotask.whole_contact(row.contact_id)
        if contact is None:
            return AtAutotask(None, missed=await self._missed(Kind.CONTACT, {row.contact_id}))
        if not contact.active:
            return AtAutotask(contact)
        if self.portal is None:
            calm = await self.services.autotask(calm=True)
            self.portal = await calm.is_portal_user(contact.id)
        links = await self.autotask.links_of(contact.id)
        links = [link for link in links if link.ticket_id not in self.off]
        on = sorted({link.ticket_id for link in links})
        read = await self.autotask.states_of(on) if on else []
        states = {state.id: state for state in read}
        return AtAutotask(
            contact,
            links,
            await self.autotask.own_tickets(contact.id),
            self.portal,
            states,
            stuck,
            missed_tickets=await self._missed(Kind.TICKET, {*on} - {*states}),
        )

    async def _missed(self, kind: Kind, missing: Collection[int]) -> Missed:
        async with self.services.sessions() as session:
            return await absences.judge(session, kind, missing, self.read_at)

    async def count(self, row: Ledger, actual: AtAutotask) -> None:
        """Store what the reading did not show, and what it did."""
        for kind, missed, there in (
            (Kind.CONTACT, actual.missed, {row.contact_id} if actual.contact else ()),
            (Kind.TICKET, actual.missed_tickets, actual.states),
        ):
            missing = missed.gone | missed.unsure
            shown = [ref for ref in there if ref is not None]
            async with self.services.sessions() as session, session.begin():
                await absences.record(session, kind, missing, shown, self.read_at)
