"""What is checked between a write's announcement and its effect, and what is counted of creates."""

from __future__ import annotations

import asyncio

from app.db.states import Result
from app.db.tables import Ledger
from app.decide.policy import PolicyDocument
from app.records import forgotten, policies
from app.services import Services
from sandbox.calls import Call
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.support.helpers import look_at, outcomes, rows

CARLA = "carla.mendes@alpine-dental.example"
DORA = "dora.lind@alpine-dental.example"  # inactive
NINA = "nina@radiology.example"


async def test_a_contact_that_proves_anothers_once_active_is_not_linked(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """An inactive one shows no company, so it is read again; then everything is decided anew."""
    document = PolicyDocument.model_validate({"inactive": "reactivate"})
    async with services.sessions() as session, session.begin():
        await policies.store(session, people.alpine, document, "test")

    def on_reading(call: Call) -> None:
        if call.method == "GET" and call.path.endswith(f"/Contacts/{people.dora}"):
            tenant.contacts[people.dora]["companyID"] = people.harbour

    tenant.before_call = on_reading
    ticket = tenant.new_ticket(people.alpine, cc=DORA)

    assert await look_at(services, ticket) == Result.DONE

    links = [c for c in tenant.calls if c.method == "POST" and c.path.endswith("Contacts")]
    assert people.dora not in [call.body.get("contactID") for call in links]
    assert await outcomes(services, ticket) == {DORA: ("inside", "created_and_linked")}


async def test_nobody_is_announced_who_was_forgotten_since_it_was_decided(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """While another was linked: nothing of her is sent, or stored in the ledger."""
    loop = asyncio.get_running_loop()

    async def forget_her() -> None:
        async with services.sessions() as session, session.begin():
            await forgotten.remember(session, NINA)

    def on_link(call: Call) -> None:
        if call.method == "POST" and call.path.endswith("/AdditionalContacts"):
            tenant.before_call = lambda _: None
            asyncio.run_coroutine_threadsafe(forget_her(), loop).result(10)

    tenant.before_call = on_link
    ticket = tenant.new_ticket(people.alpine, cc=f"{CARLA}, {NINA}")

    assert await look_at(services, ticket) == Result.DONE

    assert tenant.contacts_with(NINA) == []
    assert await rows(services, Ledger) == []
    assert tenant.linked_contacts(ticket) == [people.carla]
    assert (await outcomes(services, ticket))[forgotten.alias(NINA)] == ("forgotten", "ignored")
