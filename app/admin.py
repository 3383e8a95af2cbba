"""The admin API: what we know and why, and the mappings."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.security import HTTPBearer
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app import mappings, participants, tickets, views
from app.addresses import address_key
from app.auth import AdminRoute
from app.autotask.errors import AutotaskError
from app.decide import not_customer
from app.desk import Desk
from app.errors import NotNow
from app.models import Delivery, Due, Ledger, Look, Mapping, Participant, TicketRecord
from app.pages import Cursor, Limit, Page, after_number, after_text, page
from app.problems import Problem, ProblemDetails
from app.states import LedgerState, Origin, Outcome, Priority, Result
from app.tenant import WrongTenant
from app.us import who_is_us
from app.work import TICKET

log = structlog.get_logger()


def _problems(**statuses: str) -> dict[int | str, dict[str, Any]]:
    # Not `model`: FastAPI would declare it as application/json.
    content = {"application/problem+json": {"schema": ProblemDetails.model_json_schema()}}
    return {
        int(name.removeprefix("s")): {"description": text, "content": content}
        for name, text in statuses.items()
    }


# The scheme is declared for the documentation page; AdminRoute has checked the key before.
router = APIRouter(
    prefix="/admin",
    tags=["admin"],
    route_class=AdminRoute,
    dependencies=[Depends(HTTPBearer(auto_error=False, description="a key of API_KEYS"))],
    responses=_problems(
        s401="no key, or not one of ours",
        s403="the key's role is not enough",
        s422="the request is not understood",
        s503="the database does not answer",
    ),
)

AccountId = Annotated[int, Path(ge=0, lt=2**31, description="the company's id at Autotask")]
TicketId = Annotated[int, Path(ge=0, lt=2**63, description="the ticket's id at Autotask")]
Email = Annotated[str, Path(max_length=320, description="an e-mail address")]

LIST_LOOKS = 50
"""Looks and deliveries that a ticket's page shows, the latest first."""


# --- mappings ------------------------------------------------------------------------------------


@router.get("/accounts/{account_id}/contacts")
async def list_mappings(
    request: Request, account_id: AccountId, limit: Limit = 50, cursor: Cursor = None
) -> Page[views.MappingView]:
    """List an account's mappings, by address."""
    query = (
        select(Mapping, _is_created())
        .where(Mapping.account_id == account_id)
        .order_by(Mapping.email)
        .limit(limit + 1)
    )
    after = after_text(cursor)
    if after is not None:
        query = query.where(Mapping.email > after)
    async with _desk(request).sessions() as session:
        rows = [(row, created) for row, created in await session.execute(query)]
    return page(rows, limit, lambda one: views.MappingView.of(*one), lambda one: one[0].email)


@router.get(
    "/accounts/{account_id}/contacts/{email:path}", responses=_problems(s404="no such mapping")
)
async def get_mapping(request: Request, account_id: AccountId, email: Email) -> views.MappingView:
    """Show which contact an address means in an account."""
    async with _desk(request).sessions() as session:
        return await _mapping(session, account_id, _key(email))


@router.put(
    "/accounts/{account_id}/contacts/{email:path}",
    responses=_problems(
        s400="the body is not UTF-8",
        s404="no such path: an address has no line break",
        s422="not a contact that can be used, and why",
        s502="Autotask is away",
    ),
)
async def put_mapping(
    request: Request, account_id: AccountId, email: Email, body: views.MappingBody
) -> views.MappingView:
    """Say which contact an address means in an account, after a check at Autotask."""
    desk, key = _desk(request), _key(email)
    await _require_usable(desk, account_id, body.contact_id)
    async with desk.sessions() as session, session.begin():
        await mappings.remember(session, account_id, {key: body.contact_id}, Origin.MANUAL)
        shown = await _mapping(session, account_id, key)
    log.info("mapping_set", account=account_id, contact=body.contact_id)
    return shown


@router.delete(
    "/accounts/{account_id}/contacts/{email:path}",
    status_code=204,
    responses=_problems(s404="no such mapping"),
)
async def delete_mapping(request: Request, account_id: AccountId, email: Email) -> None:
    """Forget a mapping: the next ticket asks Autotask again whom the address means."""
    async with _desk(request).sessions() as session, session.begin():
        if not await mappings.delete_one(session, account_id, _key(email)):
            raise Problem(404, "There is no such mapping.")
    log.info("mapping_deleted", account=account_id)


async def _require_usable(desk: Desk, account_id: int, contact_id: int) -> None:
    """Refuse a contact that does not exist, is inactive or is of another account."""
    try:
        autotask = await desk.autotask()
        contact = await autotask.contact(contact_id)
        us = await who_is_us(desk, autotask)
    except NotNow as wait:
        raise Problem(
            503, f"Autotask cannot be asked now: {wait.reason}.", Retry_After="60"
        ) from None
    except (AutotaskError, WrongTenant) as error:
        log.warning("mapping_not_checked", error=str(error))
        raise Problem(502, f"Autotask could not be asked: {error}") from None
    if contact is None:
        raise Problem(422, f"Autotask has no contact {contact_id}.")
    if not contact.active:
        raise Problem(422, f"Contact {contact_id} is inactive: activate it first.")
    if contact.company_id != account_id:
        raise Problem(
            422,
            f"Contact {contact_id} is of account {contact.company_id}: only a ticket's own "
            "account's contacts can be on it.",
        )
    reason = not_customer([key for email in contact.emails if (key := address_key(email))], us)
    if reason:
        raise Problem(422, f"Mail to contact {contact_id} comes to the help desk ({reason}).")


async def _mapping(session: AsyncSession, account_id: int, key: str) -> views.MappingView:
    query = select(Mapping, _is_created()).where(
        Mapping.account_id == account_id, Mapping.email == key
    )
    found = (await session.execute(query)).one_or_none()
    if found is None:
        raise Problem(404, "There is no such mapping.")
    return views.MappingView.of(*found)


def _is_created() -> Any:
    """Tell whether a mapping's contact is one that we created."""
    return (
        select(Ledger.id)
        .where(Ledger.contact_id == Mapping.contact_id, Ledger.state == LedgerState.CREATED)
        .exists()
    )


# --- tickets -------------------------------------------------------------------------------------


@router.get("/tickets")
async def list_tickets(
    request: Request,
    result: Annotated[
        Result | Literal["open"] | None, Query(description="how it ended; open: it has not")
    ] = None,
    outcome: Annotated[
        Outcome | None, Query(description="with a participant of this outcome")
    ] = None,
    account: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
    since: Annotated[datetime | None, Query(description="first seen at or after this")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[views.TicketView]:
    """List tickets, the newest first."""
    query = select(TicketRecord).order_by(TicketRecord.id.desc()).limit(limit + 1)
    if result is not None:
        query = query.where(
            TicketRecord.result.is_(None) if result == "open" else TicketRecord.result == result
        )
    if outcome is not None:
        having = select(Participant.ticket_id).where(Participant.outcome == outcome)
        query = query.where(TicketRecord.id.in_(having))
    if account is not None:
        query = query.where(TicketRecord.account_id == account)
    if since is not None:
        query = query.where(TicketRecord.first_seen_at >= since)
    before = after_number(cursor)
    if before is not None:
        query = query.where(TicketRecord.id < before)
    async with _desk(request).sessions() as session:
        rows = list((await session.execute(query)).scalars())
    return page(rows, limit, views.TicketView.model_validate, lambda row: row.id)


@router.get("/tickets/{ticket_id}", responses=_problems(s404="never heard of"))
async def get_ticket(request: Request, ticket_id: TicketId) -> views.TicketDetails:
    """Show a ticket: its people with decision, reason and outcome, its looks and deliveries."""
    looks = select(Look).where(Look.ticket_id == ticket_id).order_by(Look.id.desc())
    deliveries = (
        select(Delivery).where(Delivery.entity_id == ticket_id).order_by(Delivery.id.desc())
    )
    async with _desk(request).sessions() as session:
        ticket = await session.get(TicketRecord, ticket_id)
        if ticket is None:
            raise Problem(
                404, "No callout of this ticket has come. POST …/process looks at it anyway."
            )
        return views.ticket_details(
            ticket,
            await session.get(Due, (TICKET, ticket_id)),
            await participants.of_ticket(session, ticket_id),
            await participants.links_of(session, ticket_id),
            list((await session.execute(looks.limit(LIST_LOOKS))).scalars()),
            list((await session.execute(deliveries.limit(LIST_LOOKS))).scalars()),
        )


@router.post("/tickets/{ticket_id}/process", status_code=202)
async def process_ticket(request: Request, ticket_id: TicketId) -> views.DueView:
    """Look at a ticket again, first of all; what had failed on it is tried again."""
    async with _desk(request).sessions() as session, session.begin():
        await tickets.want(session, ticket_id, timedelta(0), Priority.URGENT)
        await participants.forgive(session, ticket_id)
        due = await session.get_one(Due, (TICKET, ticket_id), populate_existing=True)
        shown = views.due_view(due)
    log.info("process_wanted", ticket=ticket_id)
    return shown


# --- deliveries ----------------------------------------------------------------------------------


@router.get("/deliveries")
async def list_deliveries(
    request: Request,
    ticket: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[views.DeliveryView]:
    """List stored callouts, the newest first."""
    query = select(Delivery).order_by(Delivery.id.desc()).limit(limit + 1)
    if ticket is not None:
        query = query.where(Delivery.entity_id == ticket)
    before = after_number(cursor)
    if before is not None:
        query = query.where(Delivery.id < before)
    async with _desk(request).sessions() as session:
        rows = list((await session.execute(query)).scalars())
    return page(rows, limit, views.DeliveryView.model_validate, lambda row: row.id)


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def _key(email: str) -> str:
    key = address_key(email)
    if key is None:
        raise Problem(422, "The last part of the path is not an e-mail address.")
    return key
