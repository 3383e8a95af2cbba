"""Which contact an address means in an account, and which addresses a ticket's contact has."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping as MappingOf
from datetime import timedelta

from sqlalchemy import delete, func, not_, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import db_now
from app.models import Mapping, TicketContact
from app.states import Origin

VERIFIED_FOR = timedelta(hours=1)
"""A mapping that was seen to hold is relied on for so long without asking Autotask."""


async def of_addresses(
    session: AsyncSession, account_id: int, emails: Collection[str]
) -> dict[str, Mapping]:
    """Give an account's mappings for some addresses."""
    found = await session.execute(
        select(Mapping).where(Mapping.account_id == account_id, Mapping.email.in_(list(emails)))
    )
    return {row.email: row for row in found.scalars()}


async def remember(
    session: AsyncSession,
    account_id: int,
    contacts: MappingOf[str, int],
    origin: Origin = Origin.FOUND,
) -> None:
    """Store which contacts addresses were just seen to mean; a manual mapping stays manual."""
    for email, contact_id in sorted(contacts.items()):
        now = func.clock_timestamp()
        row = insert(Mapping).values(
            account_id=account_id,
            email=email,
            contact_id=contact_id,
            origin=origin,
            verified_at=now,
        )
        # What a person said stands, until they say otherwise or the contact is gone.
        manual = Mapping.origin == Origin.MANUAL
        by_person = origin is Origin.MANUAL
        await session.execute(
            row.on_conflict_do_update(
                index_elements=[Mapping.account_id, Mapping.email],
                set_={
                    "contact_id": contact_id,
                    "verified_at": now,
                    "origin": origin if by_person else Mapping.origin,
                },
                where=None if by_person else or_(not_(manual), Mapping.contact_id == contact_id),
            )
        )


async def forget(session: AsyncSession, account_id: int, contacts: MappingOf[str, int]) -> None:
    """Drop mappings to contacts that are gone, unless they have been set anew meanwhile."""
    for email, contact_id in sorted(contacts.items()):
        await session.execute(
            delete(Mapping).where(
                Mapping.account_id == account_id,
                Mapping.email == email,
                Mapping.contact_id == contact_id,
            )
        )


async def delete_one(session: AsyncSession, account_id: int, email: str) -> bool:
    """Drop a mapping because an admin said so; False if there was none."""
    dropped = await session.execute(
        delete(Mapping)
        .where(Mapping.account_id == account_id, Mapping.email == email)
        .returning(Mapping.email)
    )
    return dropped.scalar_one_or_none() is not None


async def contact_addresses(session: AsyncSession, contact_id: int) -> frozenset[str] | None:
    """Give the addresses of a ticket's contact, if they were read within the hour."""
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
