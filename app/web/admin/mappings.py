"""Mappings over HTTP: the contact that an address means in an account."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.contacts.usable import unusable
from app.db.states import LedgerState, Origin
from app.db.tables import Ledger, Mapping
from app.records import audit, forgotten, mappings
from app.services import Services
from app.web.admin import views
from app.web.admin.common import (
    AccountId,
    Email,
    asking_autotask,
    key_of,
    problems,
    services_of,
    who,
)
from app.web.auth import AdminRoute
from app.web.paging import Cursor, Limit, Page, after_text, page
from app.web.problems import Problem

router = APIRouter(prefix="/admin", route_class=AdminRoute)


@router.get("/accounts/{account_id}/contacts")
async def list_mappings(
    request: Request, account_id: AccountId, limit: Limit = 50, cursor: Cursor = None
) -> Page[views.MappingView]:
    """List an account's mappings, by address."""
    query = (
        select(Mapping, is_created())
        .where(Mapping.account_id == account_id)
        .order_by(Mapping.email)
        .limit(limit + 1)
    )
    after = after_text(cursor)
    if after is not None:
        query = query.where(Mapping.email > after)
    async with services_of(request).sessions() as session:
        rows = [(row, created) for row, created in await session.execute(query)]
    return page(rows, limit, lambda row: views.MappingView.of(*row), lambda row: row[0].email)


@router.get(
    "/accounts/{account_id}/contacts/{email:path}", responses=problems(s404="no such mapping")
)
async def get_mapping(request: Request, account_id: AccountId, email: Email) -> views.MappingView:
    """Return the contact that an address means in an account."""
    async with services_of(request).sessions() as session:
        return await _mapping(session, account_id, key_of(email))


@router.put(
    "/accounts/{account_id}/contacts/{email:path}",
    responses=problems(
        s400="the body is not UTF-8",
        s404="no such path: an address has no line break",
        s422="why the contact cannot be used",
        s502="Autotask is away",
    ),
)
async def put_mapping(
    request: Request, account_id: AccountId, email: Email, body: views.MappingBody
) -> views.MappingView:
    """Set the contact that an address means in an account, after a check at Autotask."""
    services, key = services_of(request), key_of(email)
    await _require_usable(services, account_id, body.contact_id)
    async with services.sessions() as session, session.begin():
        if await forgotten.forgotten(session, [key]):
            raise Problem(422, "This address was forgotten on request: it is never added again.")
        await mappings.remember(session, account_id, {key: body.contact_id}, Origin.MANUAL)
        audit.record(
            session,
            who(request),
            "mapping_set",
            account_id=account_id,
            email=key,
            contact_id=body.contact_id,
        )
        return await _mapping(session, account_id, key)


@router.delete(
    "/accounts/{account_id}/contacts/{email:path}",
    status_code=204,
    responses=problems(s404="no such mapping"),
)
async def delete_mapping(request: Request, account_id: AccountId, email: Email) -> None:
    """Delete a mapping: the next ticket looks the address up at Autotask again."""
    key = key_of(email)
    async with services_of(request).sessions() as session, session.begin():
        if not await mappings.delete_one(session, account_id, key):
            raise Problem(404, "There is no such mapping.")
        audit.record(session, who(request), "mapping_deleted", account_id=account_id, email=key)


async def _require_usable(services: Services, account_id: int, contact_id: int) -> None:
    """Raise a Problem if the contact does not exist, is inactive or is of another account."""
    with asking_autotask("mapping"):
        autotask = await services.autotask()
        contact = await autotask.contact(contact_id)
        help_desk = await services.help_desk(autotask)
    wrong = unusable(contact, contact_id, account_id, help_desk)
    if wrong:
        raise Problem(422, wrong)


async def _mapping(session: AsyncSession, account_id: int, key: str) -> views.MappingView:
    query = select(Mapping, is_created()).where(
        Mapping.account_id == account_id, Mapping.email == key
    )
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise Problem(404, "There is no such mapping.")
    return views.MappingView.of(*row)


def is_created() -> Any:
    """Return the condition that the ledger has the mapping's contact as created."""
    return (
        select(Ledger.id)
        .where(Ledger.contact_id == Mapping.contact_id, Ledger.state == LedgerState.CREATED)
        .exists()
    )
