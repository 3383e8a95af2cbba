"""A forgotten address: the contacts that we created for it are retired, a person's are not."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import update

from app.db.states import Chore, LedgerState, Result
from app.db.tables import Audit, Due, Ledger, LinkRecord
from app.due import work
from app.records import absences, forgotten
from app.services import Services
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.conftest import work_until
from tests.support.clock import Clock
from tests.support.helpers import look_at, missed_before, outcomes, rows
from tests.support.lifetimes import (
    ALPINE,
    NINA,
    TICKET,
    complete,
    contact,
    end,
    ledger_of,
    ours,
    say,
    stands,
    watch_mail,
)

PERSON = f"/admin/people/{NINA}"
LINKS = "AdditionalContacts"
Headers = dict[str, str]


@pytest.fixture
async def ticket(services: Services, tenant: Tenant, people: Seed) -> int:
    """An open ticket for which Nina was created, for good."""
    made = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, made) == Result.DONE
    return made


@pytest.fixture
def always_sane(tenant: Tenant) -> list[str]:
    """At each call: the mail of a person whose contact we created is never refused."""
    return watch_mail(tenant)


async def forget(api: httpx.AsyncClient, headers: Headers, query: str = "") -> list[Any]:
    """Forget her; return the contacts that the answer names."""
    answer = await api.delete(PERSON + query, headers=headers)
    assert answer.status_code == 200
    return list(answer.json()["created"])


async def shown(api: httpx.AsyncClient, headers: Headers) -> dict[str, Any]:
    """Return the one contact as the person's page shows it."""
    [one] = (await api.get(PERSON, headers=headers)).json()["created"]
    return dict(one)


async def test_it_comes_off_open_tickets_and_is_retired(
    services: Services,
    tenant: Tenant,
    people: Seed,
    ticket: int,
    api: httpx.AsyncClient,
    writer: Headers,
    always_sane: list[str],
) -> None:
    """Also one that is permanent; the chore is due at once; no record names her afterwards."""
    one = ours(tenant)
    [said] = await forget(api, writer)
    assert (said["contact_id"], said["becomes"], said["ended_by"]) == (one, "retiring", "forgotten")
    async with services.sessions() as session:
        chore = await session.get_one(Due, (work.CHORE, Chore.RETIRE))
    assert chore.due_at is not None
    await end(services)
    assert tenant.linked_contacts(ticket) == []
    assert stands(contact(tenant, one)) == (0, None)
    row = await ledger_of(services, one)
    assert (row.state, row.email, row.sent) == (LedgerState.RETIRED, forgotten.alias(NINA), None)
    assert always_sane == []
    [said] = await forget(api, writer)
    assert (said["becomes"], said["state"]) == ("retired", "retired")
    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == {forgotten.alias(NINA): ("forgotten", "retired")}
    assert tenant.contacts_with(NINA) == []
    done = [row.what for row in await rows(services, Audit)]
    assert done == ["person_forgotten", "contact_retiring", "contact_retired", "person_forgotten"]


async def test_in_every_account(
    services: Services, tenant: Tenant, people: Seed, ticket: int, api: Any, writer: Headers
) -> None:
    """A contact for each, on tickets that are open and over."""
    other = tenant.new_ticket(people.harbour, cc=NINA)
    await look_at(services, other)
    await complete(services, tenant, other)
    assert [one["becomes"] for one in await forget(api, writer)] == ["retiring"] * 2
    await end(services)
    assert tenant.contacts_with(NINA) == []
    assert tenant.linked_contacts(ticket) == tenant.linked_contacts(other) == []


async def test_with_keep_contacts_it_stays(
    services: Services, tenant: Tenant, ticket: int, api: httpx.AsyncClient, writer: Headers
) -> None:
    """On its tickets, too; forgotten once more without, it is retired."""
    [said] = await forget(api, writer, "?keep_contacts=true")
    assert (said["becomes"], said["ended_by"]) == ("kept", None)
    await end(services)
    assert stands(contact(tenant, ours(tenant))) == (1, NINA)
    assert tenant.linked_contacts(ticket) == [ours(tenant)]
    await forget(api, writer)
    await end(services)
    assert stands(contact(tenant, ours(tenant))) == (0, None)


@pytest.mark.parametrize("how", ["linked", "changed"])
async def test_a_contact_that_a_person_linked_or_changed_is_kept(
    services: Services,
    tenant: Tenant,
    people: Seed,
    ticket: int,
    api: httpx.AsyncClient,
    writer: Headers,
    how: str,
) -> None:
    """All of it: what is said is why, and it is never ended."""
    one = ours(tenant)
    if how == "linked":
        tenant.link(tenant.new_ticket(people.alpine, callout=False), one)
    else:
        tenant.change_contact(one, phone="555-0199")
    before = sorted(row["ticketID"] for row in tenant.links.values() if row["contactID"] == one)
    await forget(api, writer)
    await end(services)
    assert stands(contact(tenant, one)) == (1, NINA)
    assert before == sorted(r["ticketID"] for r in tenant.links.values() if r["contactID"] == one)
    why = (await shown(api, writer))["kept"]
    assert why.startswith("a person put it on ticket" if how == "linked" else "a person changed")
    [said] = await forget(api, writer)
    assert (said["becomes"], said["kept"]) == ("kept", why)
    await end(services)
    assert stands(contact(tenant, one)) == (1, NINA)


async def test_while_autotask_is_away_it_is_answered_and_done_later(
    clock: Clock,
    services: Services,
    tenant: Tenant,
    ticket: int,
    api: httpx.AsyncClient,
    writer: Headers,
) -> None:
    """The order stands in the database; a worker carries it out when Autotask is back."""
    tenant.faults.add(Fault("reset_before", times=None))
    [said] = await forget(api, writer)
    assert said["becomes"] == "retiring"
    for _ in range(8):
        try:
            await end(services)
        except Exception:
            continue
    assert stands(contact(tenant, ours(tenant))) == (1, NINA)
    assert (await ledger_of(services, ours(tenant))).end_why == "forgotten"
    tenant.faults.clear()
    clock.advance(hours=1)

    async def retired() -> bool:
        return (await ledger_of(services, ours(tenant))).state == LedgerState.RETIRED

    await work_until(services, retired)
    assert stands(contact(tenant, ours(tenant))) == (0, None)
    assert tenant.linked_contacts(ticket) == []


async def test_a_link_without_an_answer_is_waited_for(
    clock: Clock,
    services: Services,
    tenant: Tenant,
    people: Seed,
    ticket: int,
    api: httpx.AsyncClient,
    writer: Headers,
) -> None:
    """It may still come onto the second ticket: the contact is retired when it can come no more."""
    tenant.faults.add(Fault("reset_before", method="POST", path_contains=LINKS))
    assert await look_at(services, tenant.new_ticket(people.alpine, cc=NINA)) is None
    await forget(api, writer)
    await end(services)
    assert stands(contact(tenant, ours(tenant))) == (1, NINA)
    assert (await ledger_of(services, ours(tenant))).end_why == "forgotten"
    clock.advance(hours=1)
    await end(services)
    assert stands(contact(tenant, ours(tenant))) == (0, None)


async def test_a_create_without_an_answer_is_looked_up_and_retired(
    clock: Clock,
    services: Services,
    tenant: Tenant,
    people: Seed,
    api: httpx.AsyncClient,
    writer: Headers,
) -> None:
    """It took effect, and no look asks about it any more."""
    create = Fault("reset_after", method="POST", entity="Contacts", path_contains="/Companies/")
    tenant.faults.add(create)
    made = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, made) is None
    assert await forget(api, writer) == []
    clock.advance(hours=1)
    for _ in range(2):
        await end(services)
        clock.advance(hours=1)
    assert stands(contact(tenant, ours(tenant))) == (0, None)
    assert [row.state for row in await rows(services, Ledger)] == [LedgerState.RETIRED]


@pytest.mark.parametrize("query", ["", "?keep_contacts=true"])
async def test_a_create_that_took_no_effect_leaves_no_address(
    clock: Clock,
    services: Services,
    tenant: Tenant,
    people: Seed,
    api: httpx.AsyncClient,
    writer: Headers,
    query: str,
) -> None:
    """No look asks about it any more, also where contacts are kept."""
    create = Fault("reset_before", method="POST", entity="Contacts", path_contains="/Companies/")
    tenant.faults.add(create)
    assert await look_at(services, tenant.new_ticket(people.alpine, cc=NINA)) is None
    await forget(api, writer, query)
    clock.advance(hours=1)
    await end(services)
    [row] = await rows(services, Ledger)
    assert (row.state, row.email, row.sent) == (LedgerState.REFUSED, forgotten.alias(NINA), None)


async def test_a_contact_that_a_person_deleted_leaves_no_address(
    services: Services, tenant: Tenant, ticket: int, api: httpx.AsyncClient, writer: Headers
) -> None:
    """It is gone before the chore comes to it."""
    await forget(api, writer)
    await missed_before(services, absences.Kind.CONTACT, ours(tenant))
    del tenant.contacts[ours(tenant)]
    await end(services)
    [row] = await rows(services, Ledger)
    assert (row.state, row.email, row.sent) == (LedgerState.GONE, forgotten.alias(NINA), None)


async def test_a_contact_that_is_being_retired_for_its_lifetime_goes_on(
    clock: Clock,
    services: Services,
    tenant: Tenant,
    people: Seed,
    api: httpx.AsyncClient,
    writer: Headers,
) -> None:
    """Its address is away, and a policy that keeps people does not bring it back any more."""
    await say(services, lifetime=TICKET, grace_days=0)
    made = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, made)
    await complete(services, tenant, made)
    refusal = Fault("error_500_errors", "PATCH", path_contains="/Contacts", after=1, text="No.")
    tenant.faults.add(refusal)
    await end(services)
    assert stands(contact(tenant, ours(tenant))) == (1, None)
    await say(services, lifetime={"outside": "permanent"})
    [said] = await forget(api, writer)
    assert (said["state"], said["becomes"]) == ("retiring", "retiring")
    await end(services)
    assert stands(contact(tenant, ours(tenant))) == (0, None)


async def test_a_contact_that_is_being_brought_back_is_retired_afterwards(
    clock: Clock,
    services: Services,
    tenant: Tenant,
    people: Seed,
    api: httpx.AsyncClient,
    writer: Headers,
) -> None:
    """It is back, which no look could record; that its address is forgotten is not lost by that."""
    await say(services, lifetime=TICKET, grace_days=0)
    made = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, made)
    await complete(services, tenant, made)
    await end(services)
    back = Fault("reset_after", "PATCH", path_contains="/Contacts", after=1)
    tenant.faults.add(back)
    assert await look_at(services, tenant.new_ticket(people.alpine, cc=NINA)) is None
    [said] = await forget(api, writer)
    assert (said["state"], said["becomes"]) == ("restoring", "retiring")
    for _ in range(3):
        clock.advance(hours=2)
        await end(services)
    assert stands(contact(tenant, ours(tenant))) == (0, None)
    assert (await ledger_of(services, ours(tenant))).state == LedgerState.RETIRED


async def test_a_ticket_that_is_opened_again_does_not_bring_it_back(
    services: Services,
    tenant: Tenant,
    people: Seed,
    ticket: int,
    api: httpx.AsyncClient,
    writer: Headers,
) -> None:
    """Nor does a new one that copies the address."""
    await forget(api, writer)
    await end(services)
    await complete(services, tenant, ticket)
    tenant.update_ticket(ticket, callout=False, status=1)
    fresh = tenant.new_ticket(ALPINE, cc=NINA)
    for one in (ticket, fresh):
        assert await look_at(services, one) == Result.DONE
        assert tenant.linked_contacts(one) == []
    assert len(await rows(services, Ledger)) == 1


async def test_a_ticket_that_is_being_looked_at_has_its_turn_later(
    services: Services, tenant: Tenant, ticket: int, api: httpx.AsyncClient, writer: Headers
) -> None:
    """The contact stays until its link is off."""
    await forget(api, writer)
    async with services.sessions() as session, session.begin():
        lease = await work.take(session, work.TICKET, ticket, "looking")
    assert lease
    await end(services)
    assert stands(contact(tenant, ours(tenant))) == (1, NINA)
    async with work.fenced(services.sessions, lease) as session:
        await work.finish(session, lease)
    async with services.sessions() as session, session.begin():
        await session.execute(update(Ledger).values(end_at=None))
    await end(services)
    assert stands(contact(tenant, ours(tenant))) == (0, None)
    [link] = await rows(services, LinkRecord)
    assert (link.ours, link.unlinked_at is not None) == (False, True)
