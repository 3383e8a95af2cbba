"""What accounts allow, as people wrote it down, and whom we were told to forget. SQL only.

Of a forgotten address the SHA-256 is kept, to know it again; its alias stands in its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import AccountPolicy, Forgotten
from app.policy import Level, PolicyDocument, in_effect

_STORING = 7_301_001  # advisory lock: any number may store addresses, or one waits for them all


async def document_of(
    session: AsyncSession, account_id: int, *, lock: bool = False
) -> PolicyDocument | None:
    """Give an account's own policy, None if it has none. lock: it is about to be changed."""
    query = select(AccountPolicy).where(AccountPolicy.account_id == account_id)
    row = (await session.execute(query.with_for_update() if lock else query)).scalar_one_or_none()
    return PolicyDocument.model_validate(row.document) if row else None


async def changed_at(session: AsyncSession, account_id: int) -> datetime | None:
    """Give when an account's own policy was changed last, None if it has none."""
    query = select(AccountPolicy.changed_at).where(AccountPolicy.account_id == account_id)
    return (await session.execute(query)).scalar_one_or_none()


async def store(session: AsyncSession, account_id: int, document: PolicyDocument, who: str) -> None:
    """Store an account's own policy in the place of what it had."""
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
    level: Level,
    default: PolicyDocument,
    who: str,
) -> tuple[PolicyDocument, PolicyDocument]:
    """Put an address or a domain on one of an account's lists, and take it off the other one.

    default: what accounts inherit. Gives the account's own policy before and after. Raises
    pydantic's ValidationError where the list is full.
    """
    none = insert(AccountPolicy).values(account_id=account_id, document={}, changed_by=who)
    await session.execute(none.on_conflict_do_nothing())  # a row to lock
    document = await document_of(session, account_id, lock=True) or PolicyDocument()
    # A list of the account's own takes the place of the inherited one, whose entries must stay.
    now = in_effect(default, document).policy
    lists = {"allowed": now.allowed, "denied": now.denied}
    other: Level = "denied" if level == "allowed" else "allowed"
    changes = {level: tuple(dict.fromkeys((*lists[level], entry)))}
    if entry in lists[other]:
        changes[other] = tuple(one for one in lists[other] if one != entry)
    fields = document.model_dump(exclude_none=True) | changes
    changed = PolicyDocument.model_validate(fields)
    await store(session, account_id, changed, who)
    return document, changed


async def remove(session: AsyncSession, account_id: int) -> bool:
    """Let an account follow the default again; tells whether it had a policy of its own."""
    gone = await session.execute(
        delete(AccountPolicy)
        .where(AccountPolicy.account_id == account_id)
        .returning(AccountPolicy.account_id)
    )
    return gone.scalar_one_or_none() is not None


async def forgotten(session: AsyncSession, keys: Collection[str]) -> frozenset[str]:
    """Tell which of these addresses were forgotten on request.

    Until this transaction ends, whoever forgets one waits to see what it has stored.
    """
    await session.execute(select(func.pg_advisory_xact_lock_shared(_STORING)))
    by_digest = {_digest(key): key for key in keys}
    found = await session.execute(
        select(Forgotten.digest).where(Forgotten.digest.in_(list(by_digest)))
    )
    return frozenset(by_digest[digest] for digest in found.scalars())


async def forgotten_at(session: AsyncSession, key: str) -> datetime | None:
    """Give when an address was forgotten, None if it was not."""
    found = await session.execute(select(Forgotten.at).where(Forgotten.digest == _digest(key)))
    return found.scalar_one_or_none()


async def forget(session: AsyncSession, key: str) -> None:
    """Remember that an address is forgotten, for good."""
    row = insert(Forgotten).values(digest=_digest(key))
    await session.execute(row.on_conflict_do_nothing())


async def stored_by_others(session: AsyncSession) -> None:
    """Wait for all who asked what is forgotten before it was, and may be storing an address.

    In a transaction of its own, as they hold locks of other kinds.
    """
    await session.execute(select(func.pg_advisory_xact_lock(_STORING)))


def alias(key: str) -> str:
    """Give what stands in the place of a forgotten address; it is no address."""
    return f"forgotten {_digest(key)[:16]}"


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
