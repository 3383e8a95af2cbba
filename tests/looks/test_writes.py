"""What is checked between a write's announcement and its effect, and what is counted of creates."""

from __future__ import annotations

import asyncio

import pytest

from app.db.database import Sessions, db_now
from app.db.states import Result
from app.db.tables import Ledger
from app.decide.policy import PolicyDocument
from app.records import forgotten, policies
from app.records.ledger import creating
from app.records.ledger.common import Wanted
from app.services import Services
from sandbox.calls import Call
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.support.claims import ACCOUNT, EMAIL, SETTLE, TICKET
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


# --- counting ------------------------------------------------------------------------------------


async def bring(sessions: Sessions, email: str, account: int, sender: int | None) -> creating.Claim:
    """Claim a contact from outside, brought by a sender."""
    async with sessions() as session, session.begin():
        claim = await creating.claim(
            session,
            Wanted(account, email, TICKET, outside=True, sender_id=sender),
            settle=SETTLE,
            read_at=await db_now(session),
        )
    assert isinstance(claim, creating.Claim)
    return claim


async def counted(sessions: Sessions, account: int, sender: int | None) -> tuple[int, int]:
    """Count what a sender brought, and all."""
    async with sessions() as session:
        return await creating.new_outside(session, account, sender)


async def test_senders_who_are_no_contacts_share_their_accounts_count(sessions: Sessions) -> None:
    """Another account's have one of their own, and so has a sender who is a contact."""
    for number, (account, sender) in enumerate(
        [(ACCOUNT, None), (ACCOUNT, None), (ACCOUNT + 1, None), (ACCOUNT, 7)]
    ):
        await bring(sessions, f"p{number}@x.example", account, sender)
    assert await counted(sessions, ACCOUNT, None) == (2, 4)
    assert await counted(sessions, ACCOUNT + 1, None) == (1, 4)
    assert await counted(sessions, ACCOUNT, 7) == (1, 4)


@pytest.mark.parametrize("left", [True, False], ids=["refused by Autotask", "never left"])
async def test_who_was_refused_counts_and_what_never_left_does_not(
    sessions: Sessions, left: bool
) -> None:
    """A list of nonsense is no way round the day's limit; a request held back is nobody's doing."""
    claim = await bring(sessions, EMAIL, ACCOUNT, None)
    async with sessions() as session, session.begin():
        await creating.refused(session, claim, "no", left=left)
    assert await counted(sessions, ACCOUNT, None) == (left, left)
