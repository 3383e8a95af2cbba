"""Contacts that an undo of a version before 0007 deactivated with their addresses."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from app.contacts.undo import Undo
from app.db.states import LedgerState, Result
from app.db.tables import Ledger
from app.services import Services
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.clock import Clock
from tests.support.helpers import look_at
from tests.support.lifetimes import NINA, contact, end, ledger_of, ours, stands

PATCH: Any = {"method": "PATCH", "path_contains": "/Contacts"}


@pytest.fixture
async def old(services: Services, tenant: Tenant, people: Seed) -> int:
    """Nina's contact after an old undo whose deactivation is on record, migrated."""
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, ticket) == Result.DONE
    sent = (await ledger_of(services, ours(tenant))).sent
    await Undo(services, "writer", dry_run=False).ticket(ticket)
    tenant.change_contact(ours(tenant), emailAddress=NINA)
    async with services.sessions() as session, session.begin():
        values = {"state": LedgerState.RETIRING, "settled_at": None, "email": NINA, "sent": sent}
        await session.execute(update(Ledger).values(**values, unsure_until=None))
    return ours(tenant)


async def unsure(services: Services) -> None:
    """Its deactivation got no answer."""
    async with services.sessions() as session, session.begin():
        await session.execute(update(Ledger).values(unsure_until=Ledger.sent_at))


@pytest.mark.parametrize("fault", [None, "reset_before", "reset_after", "error_500_errors"])
@pytest.mark.parametrize("answered", [True, False])
async def test_its_address_is_taken_away(
    clock: Clock,
    services: Services,
    tenant: Tenant,
    people: Seed,
    old: int,
    fault: Any,
    answered: bool,
) -> None:
    """It is activated and retired step by step; whatever becomes of the first request."""
    if not answered:
        await unsure(services)
    if fault:
        tenant.faults.add(Fault(fault, text="No.", **PATCH))
    assert tenant.who_mails(NINA, people.alpine) == "refused"
    for _ in range(3):
        await end(services)
        clock.advance(hours=1)
    assert stands(contact(tenant, old)) == (0, None)
    assert (await ledger_of(services, old)).state == LedgerState.RETIRED
    assert tenant.who_mails(NINA, people.alpine) == "nobody"


async def test_one_that_a_person_activated_again_is_kept(
    services: Services, tenant: Tenant, old: int
) -> None:
    """With its address, for good."""
    tenant.change_contact(old, isActive=1)
    await end(services)
    assert stands(contact(tenant, old)) == (1, NINA)
    row = await ledger_of(services, old)
    assert (row.state, row.kept) == (LedgerState.CREATED, "a person activated it again")


async def test_one_whose_deactivation_took_no_effect_is_retired(
    services: Services, tenant: Tenant, old: int
) -> None:
    """It is active because no one deactivated it."""
    await unsure(services)
    tenant.change_contact(old, isActive=1)
    await end(services)
    assert stands(contact(tenant, old)) == (0, None)
