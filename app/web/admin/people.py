"""People over HTTP: one address over all accounts, and forgetting it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import WAS_CREATED, EndedBy, LedgerState
from app.db.tables import Ledger, Mapping, Participant
from app.mail.addresses import mask
from app.records import audit, forgetting, forgotten
from app.web.admin import views
from app.web.admin.common import Email, key_of, services_of, who
from app.web.admin.mappings import is_created
from app.web.auth import AdminRoute

router = APIRouter(prefix="/admin", route_class=AdminRoute)

LIST_TICKETS = 100
"""Tickets that a person's page shows, the latest first."""


class OnTicketView(views.View):
    """An address on one ticket."""

    ticket_id: int
    account_id: int
    name: str
    decision: str
    reason: str
    outcome: str | None
    """Null until the decision is carried out."""
    contact_id: int | None
    decided_at: datetime
    acted_at: datetime | None


class ContactView(views.View):
    """A contact that the service created for an address, and how long it is kept."""

    account_id: int
    contact_id: int
    ticket_id: int
    state: str
    """`created`, `retiring`, `retired`, or `restoring` (being brought back)."""
    lifetime: str | None
    """`inside` or `outside`: that lifetime of the policy ends it; null for a permanent contact."""
    ended_by: str | None = Field(validation_alias="end_why")
    """Why it is, or was, retired."""
    kept: str | None
    """Why it is never retired by itself."""
    ends_after: datetime | None = Field(validation_alias="end_at")
    """When it is considered for retirement next."""
    delayed_by: str | None = None
    """Why it was not retired the last time."""

    @classmethod
    def of(cls, row: Ledger) -> Self:
        """Return a contact's view; an error without a time to retire it is of its creation."""
        delayed_by = mask(row.error) if row.error and row.end_at else None
        return cls.model_validate(row).model_copy(update={"delayed_by": delayed_by})


class AddressView(views.View):
    """What is known of an address in all accounts."""

    address: str
    forgotten_at: datetime | None
    """The address is ignored since then."""
    mappings: list[views.MappingView]
    created: list[ContactView]
    tickets: list[OnTicketView]


class ForgottenContactView(ContactView):
    """A contact that we created for a forgotten address, and what becomes of it.

    becomes: `retired`, it was ended before; `retiring`, it is taken off its tickets, loses its
    address and is deactivated, within minutes of Autotask's being there; `kept`, a person has made
    it their own, or it was asked for.
    """

    becomes: Literal["retired", "retiring", "kept"] = "kept"

    @classmethod
    def of(cls, row: Ledger) -> Self:
        """Show a contact, and what becomes of it."""
        view = super().of(row)
        if row.state == LedgerState.RETIRED:
            return view.model_copy(update={"becomes": "retired"})
        retiring = row.end_why == EndedBy.FORGOTTEN and row.kept is None
        return view.model_copy(update={"becomes": "retiring" if retiring else "kept"})


class ForgottenView(BaseModel):
    """What was forgotten: on how many tickets, how many mappings and policies.

    created: the contacts that we created for the address. One that turns out to be changed or
    linked by a person stays: GET shows it as `kept`.
    """

    tickets: int
    mappings: int
    policies: int
    created: list[ForgottenContactView]


@router.get("/people/{email:path}")
async def get_person(request: Request, email: Email) -> AddressView:
    """Return an address over all accounts: its mappings, contacts and latest tickets.

    A forgotten address has no mappings, and its tickets show no name.
    """
    key = key_of(email)
    keys = (key, forgotten.alias(key))
    mappings = (
        select(Mapping, is_created()).where(Mapping.email == key).order_by(Mapping.account_id)
    )
    tickets = (
        select(Participant)
        .where(Participant.key.in_(keys))
        .order_by(Participant.id.desc())
        .limit(LIST_TICKETS)
    )
    async with services_of(request).sessions() as session:
        return AddressView(
            address=key,
            forgotten_at=await forgotten.forgotten_at(session, key),
            mappings=[
                views.MappingView.of(row, created)
                for row, created in await session.execute(mappings)
            ],
            created=[ContactView.of(row) for row in await _created(session, key)],
            tickets=[
                OnTicketView.model_validate(row)
                for row in (await session.execute(tickets)).scalars()
            ],
        )


@router.delete("/people/{email:path}")
async def forget_person(
    request: Request,
    email: Email,
    keep_contacts: Annotated[
        bool, Query(description="leave the contacts that we created for it as they are")
    ] = False,
) -> ForgottenView:
    """Forget an address in all accounts, for good: no look adds it to a ticket again.

    Mappings, names and entries in policies are deleted; tickets, ledger and audit keep what was
    done without the address. Contacts that we created for it are retired, and come off open
    tickets, too; a contact that a person has changed or linked stays.
    """
    key = key_of(email)
    sessions = services_of(request).sessions
    async with sessions() as session, session.begin():
        await forgotten.remember(session, key)
    async with sessions() as session, session.begin():
        await forgotten.wait_for_writers(session)
    # From here on no one stores the address, so that it stays deleted.
    async with sessions() as session, session.begin():
        forgot = await forgetting.forget(session, key, keep_contacts=keep_contacts)
        counts = {
            "tickets": forgot.tickets,
            "mappings": forgot.mappings,
            "policies": forgot.policies,
        }
        audit.record(
            session, who(request), "person_forgotten", **counts, keep_contacts=keep_contacts
        )
        created = [ForgottenContactView.of(row) for row in await _created(session, key)]
        return ForgottenView(**counts, created=created)


async def _created(session: AsyncSession, key: str) -> list[Ledger]:
    rows = await session.execute(
        select(Ledger)
        .where(Ledger.email.in_((key, forgotten.alias(key))))
        .where(Ledger.state.in_(WAS_CREATED), Ledger.contact_id.is_not(None))
        .order_by(Ledger.id)
        .execution_options(populate_existing=True)
    )
    return list(rows.scalars())
