"""Check whether changes of contacts took effect that Autotask answered as done."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import AT_AUTOTASK, LedgerError
from app.db.tables import Ledger
from app.ops.checks.problem import WorkProblem

_NAMED = 5  # contacts


async def without_effect(session: AsyncSession) -> WorkProblem | None:
    """Check whether Autotask answers changes of contacts as done, and does not show them."""
    rows = await session.execute(
        select(Ledger.account_id, Ledger.contact_id, func.count().over())
        .where(
            Ledger.error_code == LedgerError.NO_EFFECT,
            Ledger.state.in_(AT_AUTOTASK),
            Ledger.kept.is_(None),
        )
        .order_by(Ledger.id)
        .limit(_NAMED)
    )
    found = rows.all()
    if not found:
        return None
    named = ", ".join(f"contact {contact} of account {account}" for account, contact, _ in found)
    return WorkProblem(
        code="no_effect",
        since=None,
        detail="Autotask answers changes of contacts as done, and does not show them, for "
        f"{found[0][2]} of our contacts: {named}.",
        cure="GET /admin/people/{email} says in `delayed_by` what has no effect: make that change "
        "in Autotask by hand, and look for a workflow rule that undoes it. It is looked for every "
        "six hours.",
    )
