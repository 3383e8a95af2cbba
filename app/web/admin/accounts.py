"""Accounts and their policies over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationInfo, field_validator
from sqlalchemy import func, select, union
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import Outcome
from app.db.tables import AccountPolicy, Mapping, Participant, TicketRecord
from app.decide.policy import Policy, PolicyDocument, in_effect
from app.records import audit, policies
from app.services import Services
from app.web.admin.common import AccountId, problems, services_of, who
from app.web.admin.views import View
from app.web.auth import AdminRoute
from app.web.paging import Cursor, Limit, Page, after_number, page
from app.web.problems import Problem

router = APIRouter(prefix="/admin", route_class=AdminRoute)


class AccountView(View):
    """An account, with the number of its records."""

    account_id: int
    tickets: int
    mappings: int
    held: int
    """Participants that wait for an approval."""
    own_policy: bool


class PolicyView(View):
    """The policy that is in effect for an account."""

    account_id: int
    policy: Policy
    origins: dict[str, str]
    """Where each field comes from: built-in, default (preset), account (preset)."""
    own: dict[str, Any] | None
    """The account's own policy as it was set; null if the account follows the default."""
    changed_at: datetime | None
    changed_by: str | None


class PolicyBody(PolicyDocument):
    """An account's own policy. It replaces the previous one as a whole."""

    @field_validator("denied")
    @classmethod
    def _not_both(
        cls, value: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        both = sorted({*(info.data.get("allowed") or ())} & {*(value or ())})
        if both:
            raise ValueError(f"{', '.join(both)} is in allowed, too")
        return value


@router.get("/accounts")
async def list_accounts(
    request: Request, limit: Limit = 50, cursor: Cursor = None
) -> Page[AccountView]:
    """List the accounts that have tickets, mappings or a policy here, by id."""
    ids = [TicketRecord.account_id, Mapping.account_id, AccountPolicy.account_id]
    after = after_number(cursor)
    known = union(
        *(select(i).where(i.is_not(None), i > (-1 if after is None else after)) for i in ids)
    )
    account_id = known.subquery("known").c.account_id
    held = Participant.outcome == Outcome.HELD
    query = select(
        account_id,
        _count(TicketRecord.account_id == account_id),
        _count(Mapping.account_id == account_id),
        _count(Participant.account_id == account_id, held),
        _count(AccountPolicy.account_id == account_id),
    )
    async with services_of(request).sessions() as session:
        rows = list(await session.execute(query.order_by(account_id).limit(limit + 1)))
    return page(
        rows,
        limit,
        lambda row: AccountView(
            account_id=row[0], tickets=row[1], mappings=row[2], held=row[3], own_policy=row[4] > 0
        ),
        lambda row: row[0],
    )


@router.get("/accounts/{account_id}/policy")
async def get_policy(request: Request, account_id: AccountId) -> PolicyView:
    """Return the policy in effect for an account, and where each field comes from."""
    services = services_of(request)
    async with services.sessions() as session:
        return await _policy(session, services, account_id)


@router.put("/accounts/{account_id}/policy", responses=problems(s400="the body is not UTF-8"))
async def put_policy(request: Request, account_id: AccountId, body: PolicyBody) -> PolicyView:
    """Set an account's own policy; fields that are left out are inherited from the default."""
    services = services_of(request)
    async with services.sessions() as session, session.begin():
        old = await policies.document_of(session, account_id, lock=True)
        await policies.store(session, account_id, body, who(request))
        audit.record(
            session,
            who(request),
            "policy_set",
            account_id=account_id,
            old=_written(old),
            new=_written(body),
        )
        return await _policy(session, services, account_id)


@router.delete(
    "/accounts/{account_id}/policy",
    status_code=204,
    responses=problems(s404="it has no policy of its own"),
)
async def delete_policy(request: Request, account_id: AccountId) -> None:
    """Delete an account's own policy: it follows the default again."""
    async with services_of(request).sessions() as session, session.begin():
        old = await policies.document_of(session, account_id, lock=True)
        if old is None:
            raise Problem(404, "This account has no policy of its own: it follows the default.")
        await policies.remove(session, account_id)
        audit.record(
            session, who(request), "policy_deleted", account_id=account_id, old=_written(old)
        )


async def _policy(session: AsyncSession, services: Services, account_id: int) -> PolicyView:
    row = await session.get(AccountPolicy, account_id, populate_existing=True)
    own = PolicyDocument.model_validate(row.document) if row else None
    effective = in_effect(services.settings.default_policy, own)
    return PolicyView(
        account_id=account_id,
        policy=effective.policy,
        origins=dict(effective.origins),
        own=_written(own),
        changed_at=row.changed_at if row else None,
        changed_by=row.changed_by if row else None,
    )


def _written(document: PolicyDocument | None) -> dict[str, Any] | None:
    return document.model_dump(mode="json", exclude_none=True) if document else None


def _count(*conditions: Any) -> Any:
    """Count the rows that match; the conditions refer to the row of the outer query."""
    return select(func.count()).where(*conditions).scalar_subquery()
