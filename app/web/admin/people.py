"""People over HTTP: one address over all accounts, and forgetting it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
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


class OnTicketView(BaseModel):
    """An address on one ticket. outcome null: not finished."""

    model_config = ConfigDict(from_attributes=True)
    ticket_id: int
    account_id: int
    name: str
    decision: str
    reason: str
    outcome: str | None
    contact_id: int | None
    decided_at: datetime
    acted_at: datetime | None


class ContactView(BaseModel):
    """A contact that we created for an address, and how long it is kept.

    state: created; retiring, retired: it is being ended, or was; restoring: it is being brought
    back. lifetime: `inside` or `outside`, by whose lifetime it is for its tickets only; null: it
    is there for good. ended_by: why it is, or was, ended. kept: why it is never ended. ends_after:
    not before that it is considered again; delayed_by: what was in the way the last time.
    """

    model_config = ConfigDict(from_attributes=True)
    account_id: int
    contact_id: int
    ticket_id: int
    state: str
    lifetime: str | None
    ended_by: str | None = Field(validation_alias="end_why")
    kept: str | None
    ends_after: datetime | None = Field(validation_alias="end_at")
    delayed_by: str | None = None

    @classmethod
    def of(cls, row: Ledger) -> Self:
        """Show a contact. What is wrong with one that is not to be ended is of its creation."""
        delayed_by = mask(row.error) if row.error and row.end_at else None
        return cls.model_validate(row).model_copy(update={"delayed_by": delayed_by})


class PersonView(BaseModel):
    """What is known of an address in all accounts. forgotten_at: it is ignored since then."""

    address: str
    forgotten_at: datetime | None
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
async def get_person(request: Request, email: Email) -> PersonView:
    """Show an address over all accounts: its mappings, and its latest tickets.

    Of a forgotten address the tickets without its name, and the contacts that we created.
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
        return PersonView(
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
