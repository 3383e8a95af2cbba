"""Retention: history is thinned out, and a replay after a year re-adds nobody."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, update

from app.db.states import Chore, Priority, Result
from app.db.tables import Delivery, Due, KnownFact, Ledger, Look, Mapping, Participant, TicketRecord
from app.due import work
from app.records import forgotten, retention
from app.services import Services
from app.worker import chores
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.support.helpers import changes, look_at, look_until_believed, outcomes, rows

NINA = "nina@radiology.example"
OMAR = "omar@elsewhere.example"


async def delete_old(services: Services) -> None:
    """Run the chore."""
    async with services.sessions() as session, session.begin():
        await work.want(session, work.CHORE, Chore.RETENTION, timedelta(0), Priority.LIVE)
        [lease] = await work.claim(session, work.CHORE, "test", 1)
    await chores.run(services, lease)


async def age(services: Services, days: int) -> None:
    """Let everything have happened so many days earlier."""
    ago = timedelta(days=days)
    async with services.sessions() as session, session.begin():
        await session.execute(update(Delivery).values(received_at=Delivery.received_at - ago))
        await session.execute(update(Look).values(ended_at=Look.ended_at - ago))


def delivery(number: int) -> Delivery:
    return Delivery(
        entity_type="Ticket",
        entity_id=number,
        action="Create",
        sequence_number=number,
        body_sha256="0" * 64,
    )


async def test_what_was_known_of_forgotten_accounts_goes(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Those that no ticket has asked about for as long; what is known of all stays."""
    for company in (people.alpine, people.harbour):
        await look_at(services, tenant.new_ticket(company, cc=NINA))
    async with services.sessions() as session, session.begin():
        old = update(KnownFact).where(KnownFact.ref != people.harbour)
        await session.execute(old.values(asked_at=KnownFact.asked_at - timedelta(days=91)))
    await delete_old(services)
    kept = [(row.name, row.ref) for row in await rows(services, KnownFact)]
    assert {ref for name, ref in kept if name == "web_domain"} == {0, people.harbour}
    assert {"companies", "company_types", "statuses"} <= {name for name, _ in kept}


async def test_old_deliveries_and_looks_go(
    services: Services, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In small batches; of each ticket the last look stays, which says what became of it."""
    monkeypatch.setattr(retention, "_BATCH", 3)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    for _ in range(5):
        await look_at(services, ticket)
    async with services.sessions() as session, session.begin():
        session.add_all(delivery(number) for number in range(7))
    await age(services, 91)
    async with services.sessions() as session, session.begin():
        session.add(delivery(8))
    newest = max(look.id for look in await rows(services, Look))

    await delete_old(services)

    assert [one.entity_id for one in await rows(services, Delivery)] == [8]
    assert [one.id for one in await rows(services, Look)] == [newest]


@pytest.mark.parametrize(("days", "kept"), [(29, 5), (31, 1)])
async def test_the_days_are_a_setting(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed, days: int, kept: int
) -> None:
    """What is younger than that stays whole."""
    services: Services = await make_services(retention_days=30)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    for _ in range(5):
        await look_at(services, ticket)
    await age(services, days)
    await delete_old(services)
    assert len(await rows(services, Look)) == kept


async def test_a_replay_after_a_year_re_adds_nobody(
    services: Services, tenant: Tenant, people: Seed, server: SandboxServer
) -> None:
    """Whom a person took off, and what was decided, is known for good."""
    ticket = tenant.new_ticket(people.alpine, cc=f"{NINA}, {OMAR}")
    parked = tenant.new_ticket(people.msp, cc=NINA)
    await look_at(services, ticket)
    await look_at(services, parked)
    taken_off = next(one.contact_id for one in await rows(services, Participant) if one.key == NINA)
    tenant.unlink(ticket, taken_off)
    await look_until_believed(services, ticket)
    await age(services, 365)
    kept = [await rows(services, model) for model in (Ledger, Mapping, Participant, TicketRecord)]

    await delete_old(services)

    after = [await rows(services, model) for model in (Ledger, Mapping, Participant, TicketRecord)]
    assert [len(some) for some in after] == [len(some) for some in kept]
    written = len(changes(server))
    assert await look_at(services, ticket) == Result.DONE
    assert len(changes(server)) == written
    assert (await outcomes(services, ticket))[NINA] == ("removed_by_person", "ignored")


async def test_a_chore_is_due_again_when_it_is_done(services: Services) -> None:
    """By its own interval, with its holder gone."""
    await delete_old(services)
    [due] = [one for one in await rows(services, Due) if one.kind == work.CHORE]
    assert due.holder is None
    async with services.sessions() as session:
        now = (await session.execute(func.now().select())).scalar_one()
    assert timedelta(hours=5) < due.due_at - now < timedelta(hours=7)


async def test_a_forgotten_address_does_not_stay_in_the_ledger(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Also one whose create a look gave up after it was forgotten; others stay."""
    await look_at(services, tenant.new_ticket(people.alpine, cc=f"{NINA}, {OMAR}"))
    async with services.sessions() as session, session.begin():
        await forgotten.remember(session, NINA)
        await session.execute(update(Ledger).values(state="refused"))
    await delete_old(services)
    ledger = {row.email: row.sent is None for row in await rows(services, Ledger)}
    assert ledger == {forgotten.alias(NINA): True, OMAR: False}
