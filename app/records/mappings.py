"""Which contact an address means in an account, and the addresses of a ticket's contact."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from collections.abc import Mapping as MappingOf
from datetime import datetime, timedelta

from sqlalchemy import delete, func, not_, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.database import db_now
from app.db.states import Origin
from app.db.tables import Mapping, TicketContact

VERIFIED_FOR = timedelta(hours=1)
"""How long a mapping that was seen to hold is used without asking Autotask."""

PAGE = 1_000
"""Rows that are read or written at a time."""

_NOT_SEEN: MappingOf[str, bool | None] = {}


async def of_addresses(
    session: AsyncSession, account_id: int, emails: Collection[str]
) -> dict[str, Mapping]:
    """Return an account's mappings for these addresses."""
    rows = await session.execute(
        select(Mapping).where(Mapping.account_id == account_id, Mapping.email.in_(list(emails)))
    )
    return {row.email: row for row in rows.scalars()}


async def remember(
    session: AsyncSession,
    account_id: int,
    contacts: MappingOf[str, int],
    origin: Origin = Origin.FOUND,
    muted: MappingOf[str, bool | None] = _NOT_SEEN,
) -> None:
    """Store which contacts addresses were just seen to mean; a manual mapping stays manual.

    muted: by address, whether the contact is set to get no mail.
    """
    for email, contact_id in sorted(contacts.items()):
        now = func.clock_timestamp()
        row = insert(Mapping).values(
            account_id=account_id,
            email=email,
            contact_id=contact_id,
            origin=origin,
            verified_at=now,
            muted=muted.get(email),
        )
        # A manual mapping stands until a person changes it, or its contact is gone.
        manual = Mapping.origin == Origin.MANUAL
        by_person = origin is Origin.MANUAL
        await session.execute(
            row.on_conflict_do_update(
                index_elements=[Mapping.account_id, Mapping.email],
                set_={
                    "contact_id": contact_id,
                    "verified_at": now,
                    "muted": muted.get(email),
                    "origin": origin if by_person else Mapping.origin,
                },
                where=None if by_person else or_(not_(manual), Mapping.contact_id == contact_id),
            )
        )


async def page(session: AsyncSession, after: tuple[int, str] | None) -> Sequence[Mapping]:
    """Return up to PAGE mappings of all accounts, by account and address, after one of them."""
    place = tuple_(Mapping.account_id, Mapping.email)
    query = select(Mapping).order_by(Mapping.account_id, Mapping.email).limit(PAGE)
    return (await session.scalars(query if after is None else query.where(place > after))).all()


async def of_accounts(
    session: AsyncSession, account_ids: Collection[int]
) -> dict[tuple[int, str], tuple[int, str]]:
    """Return contact and origin of accounts' mappings, by account and address."""
    columns = (Mapping.account_id, Mapping.email, Mapping.contact_id, Mapping.origin)
    found = await session.execute(select(*columns).where(Mapping.account_id.in_(list(account_ids))))
    return {(row.account_id, row.email): (row.contact_id, row.origin) for row in found}


async def set_all(
    session: AsyncSession,
    contacts: MappingOf[tuple[int, str], tuple[int, bool | None]],
    seen_at: datetime,
) -> None:
    """Store the contacts that a person maps addresses to, and whether each is muted.

    contacts: by account and address. seen_at: the database's clock before they were read.
    """
    entries = sorted(contacts.items())
    for start in range(0, len(entries), PAGE):
        rows = insert(Mapping).values(
            [
                {
                    "account_id": account_id,
                    "email": email,
                    "contact_id": contact_id,
                    "origin": Origin.MANUAL,
                    "verified_at": seen_at,
                    "muted": muted,
                }
                for (account_id, email), (contact_id, muted) in entries[start : start + PAGE]
            ]
        )
        names = ("contact_id", "origin", "verified_at", "muted")
        await session.execute(
            rows.on_conflict_do_update(
                index_elements=[Mapping.account_id, Mapping.email],
                set_={name: rows.excluded[name] for name in names},
            )
        )


async def forget(session: AsyncSession, account_id: int, contacts: MappingOf[str, int]) -> None:
    """Delete mappings to contacts that are gone, unless they were set anew since."""
    for email, contact_id in sorted(contacts.items()):
        await session.execute(
            delete(Mapping).where(
                Mapping.account_id == account_id,
                Mapping.email == email,
                Mapping.contact_id == contact_id,
            )
        )


async def delete_one(session: AsyncSession, account_id: int, email: str) -> bool:
    """Delete a mapping by an admin's order; return False if there was none."""
    dropped = await session.execute(
        delete(Mapping)
        .where(Mapping.account_id == account_id, Mapping.email == email)
        .returning(Mapping.email)
    )
    return dropped.scalar_one_or_none() is not None


async def delete_of_contact(session: AsyncSession, contact_id: int | None) -> None:
    """Delete a contact's mappings, except those that a person set."""
    await session.execute(
        delete(Mapping).where(Mapping.contact_id == contact_id, Mapping.origin != Origin.MANUAL)
    )


async def delete_of_address(session: AsyncSession, email: str) -> int:
    """Delete an address's mappings, and the contacts that carry it; return how many mappings."""
    deleted = await session.execute(
        delete(Mapping).where(Mapping.email == email).returning(Mapping.account_id)
    )
    await session.execute(delete(TicketContact).where(TicketContact.addresses.contains([email])))
    return len(deleted.all())


async def contact_addresses(session: AsyncSession, contact_id: int) -> frozenset[str] | None:
    """Return the addresses of a ticket's contact, if they were read within the hour."""
    row = await session.get(TicketContact, contact_id)
    now = await db_now(session)
    if row is None or row.read_at < now - VERIFIED_FOR:
        return None
    return frozenset(row.addresses)


async def remember_contact(
    session: AsyncSession, contact_id: int, addresses: Collection[str]
) -> None:
    """Store the addresses of a ticket's contact, as they were just read."""
    values = {"addresses": sorted(addresses), "read_at": func.clock_timestamp()}
    row = insert(TicketContact).values(contact_id=contact_id, **values)
    await session.execute(
        row.on_conflict_do_update(index_elements=[TicketContact.contact_id], set_=values)
    )
