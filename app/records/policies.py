"""What accounts allow: their own policies. SQL only."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.tables import AccountPolicy
from app.decide.policy import ListName, PolicyDocument, in_effect

_LISTS: tuple[ListName, ...] = ("allowed", "denied")


async def document_of(
    session: AsyncSession, account_id: int, *, lock: bool = False
) -> PolicyDocument | None:
    """Return an account's own policy; None if it has none. lock: it is about to be changed."""
    query = select(AccountPolicy).where(AccountPolicy.account_id == account_id)
    row = (await session.execute(query.with_for_update() if lock else query)).scalar_one_or_none()
    return PolicyDocument.model_validate(row.document) if row else None


async def changed_at(session: AsyncSession, account_id: int) -> datetime | None:
    """Return when an account's own policy was last changed; None if it has none."""
    query = select(AccountPolicy.changed_at).where(AccountPolicy.account_id == account_id)
    return (await session.execute(query)).scalar_one_or_none()


async def store(session: AsyncSession, account_id: int, document: PolicyDocument, who: str) -> None:
    """Store an account's own policy, and replace the one it had."""
    values = {
        "document": document.model_dump(mode="json", exclude_none=True),
        "changed_at": func.clock_timestamp(),
        "changed_by": who,
    }
    row = insert(AccountPolicy).values(account_id=account_id, **values)
    await session.execute(
        row.on_conflict_do_update(index_elements=[AccountPolicy.account_id], set_=values)
    )


async def put_on_list(
    session: AsyncSession,
    account_id: int,
    entry: str,
    name: ListName,
    default: PolicyDocument,
    who: str,
) -> tuple[PolicyDocument, PolicyDocument]:
    """Put an address or a domain on one of an account's lists, and take it off the other one.

    default: the policy that accounts inherit. Return the account's own policy before and after.
    Raises pydantic's ValidationError if the list is full.
    """
    none = insert(AccountPolicy).values(account_id=account_id, document={}, changed_by=who)
    await session.execute(none.on_conflict_do_nothing())  # a row to lock
    document = await document_of(session, account_id, lock=True) or PolicyDocument()
    # The account's own list replaces the inherited one, whose entries must stay.
    now = in_effect(default, document).policy
    lists = {"allowed": now.allowed, "denied": now.denied}
    other: ListName = "denied" if name == "allowed" else "allowed"
    changes = {name: tuple(dict.fromkeys((*lists[name], entry)))}
    if entry in lists[other]:
        changes[other] = tuple(listed for listed in lists[other] if listed != entry)
    fields = document.model_dump(exclude_none=True) | changes
    changed = PolicyDocument.model_validate(fields)
    await store(session, account_id, changed, who)
    return document, changed


async def take_off_lists(session: AsyncSession, entry: str) -> int:
    """Take an entry off the lists of all accounts; return how many policies had it."""
    document = AccountPolicy.document
    listing = await session.execute(
        select(AccountPolicy)
        .where(or_(*(document[name].has_key(entry) for name in _LISTS)))
        .order_by(AccountPolicy.account_id)
        .with_for_update()
    )
    rows = list(listing.scalars())
    for row in rows:
        lists = {name: row.document[name] for name in _LISTS if name in row.document}
        kept = {name: [other for other in lists[name] if other != entry] for name in lists}
        row.document = row.document | kept
    return len(rows)


async def remove(session: AsyncSession, account_id: int) -> bool:
    """Delete an account's own policy, so that it has the default; return whether it had one."""
    deleted = await session.execute(
        delete(AccountPolicy)
        .where(AccountPolicy.account_id == account_id)
        .returning(AccountPolicy.account_id)
    )
    return deleted.scalar_one_or_none() is not None
