"""While a ticket is undone, and after, Autotask takes each mail of the person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import update

from app.contacts.undo import Undo, UndoStep
from app.db.states import LedgerState, Result
from app.db.tables import Ledger, Mapping
from app.services import Services
from sandbox.calls import Call
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.databases import plain
from tests.support.helpers import look_at, outcomes, rows
from tests.support.lifetimes import NINA, contact, end, ledger_of, ours, stands, watch_mail
from tests.support.processes import kill, process, start, wait_until

PATCH = {"method": "PATCH", "path_contains": "/Contacts"}
KILLED_FROM = "import sys; from app.cli import main; sys.argv += ['--ticket', '{}']; main()"


@pytest.fixture
async def ticket(services: Services, tenant: Tenant, people: Seed) -> int:
    """A ticket for which Nina was created and linked by us, for good."""
    made = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, made) == Result.DONE
    return made


async def undo(services: Services, ticket: int) -> list[UndoStep]:
    """Undo a ticket."""
    return await Undo(services, "writer", dry_run=False).ticket(ticket)


def whose_mail(tenant: Tenant, account: int) -> dict[str, list[str]]:
    """Collect at each call what Autotask would make of a mail of Nina's, by the call's method."""
    fates: dict[str, list[str]] = {}

    def ask(call: Call) -> None:
        fates.setdefault(call.method, []).append(tenant.who_mails(NINA, account))

    tenant.before_call = ask
    return fates


async def test_at_each_request_the_persons_mail_is_taken(
    services: Services, tenant: Tenant, people: Seed, ticket: int
) -> None:
    """As a contact's until her address is away, as a stranger's from then on; never refused."""
    fates = whose_mail(tenant, people.alpine)
    assert all(step.done for step in await undo(services, ticket))
    assert fates["DELETE"] == ["contact"]
    assert fates["PATCH"] == ["contact", "nobody"]
    assert "refused" not in {fate for all_of_it in fates.values() for fate in all_of_it}
    assert tenant.who_mails(NINA, people.alpine) == "nobody"
    made = tenant.receive_mail(people.alpine, sender=NINA, subject="It is Nina")
    assert tenant.tickets[made]["contactID"] is None


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "late_commit", "error_500"])
@pytest.mark.parametrize("after", [0, 1], ids=["clearing", "deactivation"])
async def test_with_lost_answers_the_persons_mail_is_taken(
    services: Services, tenant: Tenant, people: Seed, ticket: int, kind: Any, after: int
) -> None:
    """A request that is sent again, or takes effect late, comes at no wrong moment."""
    fates = whose_mail(tenant, people.alpine)
    tenant.faults.add(Fault(kind, after=after, seconds=0.2, **PATCH))  # type: ignore[arg-type]
    assert all(step.done for step in await undo(services, ticket))
    assert "refused" not in {fate for all_of_it in fates.values() for fate in all_of_it}
    assert stands(contact(tenant, ours(tenant))) == (0, None)


def kept(steps: list[UndoStep]) -> str:
    """Give why the one contact was kept."""
    [step] = [step for step in steps if step.action == "deactivate"]
    assert (step.done, step.again) == (False, False)
    return step.detail


async def test_an_address_that_a_person_types_in_again_keeps_the_contact_active(
    services: Services, tenant: Tenant, people: Seed, ticket: int
) -> None:
    """Just before it is deactivated: it is activated again, and theirs."""
    one, changes = ours(tenant), [0]

    def before(call: Call) -> None:
        changes[0] += call.method == "PATCH"
        if call.method == "PATCH" and changes[0] == 2:
            tenant.change_contact(one, emailAddress=NINA)

    tenant.before_call = before
    assert kept(await undo(services, ticket)) == "kept: a person gave it an address again"
    assert stands(contact(tenant, one)) == (1, NINA)
    assert tenant.insane_contacts() == []


async def test_a_contact_that_a_person_deactivated_is_left_alone(
    services: Services, tenant: Tenant, ticket: int
) -> None:
    """Its address is that person's business, too."""
    one = ours(tenant)
    tenant.change_contact(one, isActive=0)
    assert kept(await undo(services, ticket)) == "kept: a person deactivated it"
    assert stands(contact(tenant, one)) == (0, NINA)


async def test_a_contact_that_is_mapped_by_a_person_is_left_alone(
    services: Services, tenant: Tenant, people: Seed, ticket: int, api: Any, writer: Any
) -> None:
    """The mapping stays, too."""
    path = f"/admin/accounts/{people.alpine}/contacts/boss@radiology.example"
    body = {"contact_id": ours(tenant)}
    assert (await api.put(path, json=body, headers=writer)).status_code == 200
    assert kept(await undo(services, ticket)) == "kept: a person mapped an address to it"
    assert stands(contact(tenant, ours(tenant))) == (1, NINA)
    assert "boss@radiology.example" in {row.email for row in await rows(services, Mapping)}


async def test_a_ticket_that_is_over_keeps_the_contact_too(
    services: Services, tenant: Tenant, people: Seed, ticket: int
) -> None:
    """Undo takes nobody off a ticket that it was not asked to undo."""
    other = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, other)
    tenant.update_ticket(other, callout=False, status=5)
    assert kept(await undo(services, ticket)) == f"kept: it is on ticket {other}"
    assert tenant.linked_contacts(other) == [ours(tenant)]
    row = await ledger_of(services, ours(tenant))
    assert (row.state, row.kept, row.end_at) == (LedgerState.CREATED, None, None)


async def test_a_right_that_is_missing_is_said_and_nothing_is_changed(
    services: Services, tenant: Tenant, ticket: int
) -> None:
    """Nobody may read who uses the portal: to be done again, and the next run does it."""
    tenant.faults.add(Fault("forbidden", entity="ClientPortalUsers"))
    [unlink, retire] = await undo(services, ticket)
    assert (unlink.done, retire.done, retire.again) == (True, False, True)
    assert stands(contact(tenant, ours(tenant))) == (1, NINA)
    assert (await ledger_of(services, ours(tenant))).state == LedgerState.CREATED
    [retire] = await undo(services, ticket)
    assert (retire.done, retire.detail) == (True, "retired")


async def test_a_right_that_is_missing_halfway_is_waited_for_by_the_chore(
    services: Services, tenant: Tenant, ticket: int
) -> None:
    """The address is away and the contact still active; the chore goes on with it."""
    tenant.faults.add(Fault("error_500_errors", after=1, text="No.", **PATCH))  # type: ignore[arg-type]
    assert (await undo(services, ticket))[-1].again
    assert stands(contact(tenant, ours(tenant))) == (1, None)
    async with services.sessions() as session, session.begin():
        await session.execute(update(Ledger).values(end_at=None))
    await end(services)
    assert stands(contact(tenant, ours(tenant))) == (0, None)
    row = await ledger_of(services, ours(tenant))
    assert (row.state, row.end_why) == (LedgerState.RETIRED, "undo")
    assert await outcomes(services, ticket) == {NINA: ("outside", "unlinked")}


async def test_a_link_by_hand_after_its_address_is_away_brings_it_back(
    services: Services, tenant: Tenant, people: Seed, ticket: int
) -> None:
    """The technician finds her by her name: active, with her address, and theirs."""
    one, other = ours(tenant), tenant.new_ticket(people.alpine, callout=False)

    def before(call: Call) -> None:
        if call.method == "PATCH" and tenant.linked_contacts(other) == []:
            tenant.link(other, one)

    tenant.before_call = before
    assert kept(await undo(services, ticket)) == f"kept: a person put it on ticket {other}"
    assert stands(contact(tenant, one)) == (1, NINA)


@pytest.mark.process
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"kind": "hang_before", "method": "DELETE"}, id="unlink never arrives"),
        pytest.param({"kind": "hang_after", "method": "DELETE"}, id="unlinked, answer lost"),
        pytest.param({"kind": "hang_before", **PATCH}, id="before clearing"),
        pytest.param({"kind": "hang_after", **PATCH}, id="cleared, answer lost"),
        pytest.param({"kind": "late_commit", **PATCH}, id="cleared later"),
        pytest.param({"kind": "hang_before", "after": 1, **PATCH}, id="before deactivating"),
        pytest.param({"kind": "hang_after", "after": 1, **PATCH}, id="deactivated, answer lost"),
        pytest.param({"kind": "late_commit", "after": 1, **PATCH}, id="deactivated later"),
    ],
)
def test_killed_in_the_middle_it_goes_on(
    environ: dict[str, str],
    tenant: Tenant,
    people: Seed,
    fault: dict[str, Any],
) -> None:
    """kill -9 of the command; a worker goes on with the contact, the next run with the link."""
    environ = environ | {"WEBHOOK_SECRETS": "", "RECONCILE_INTERVAL": "1"}
    refused = watch_mail(tenant)

    def ask(query: str) -> list[str]:
        with psycopg.connect(plain(environ["DATABASE_URL"])) as connection:
            return [str(one) for (one,) in connection.execute(query.encode()).fetchall()]

    def run(ticket: int) -> Any:
        return start("undo", environ, KILLED_FROM.format(ticket))

    def states() -> list[str]:
        return ask("SELECT state FROM ledger")

    def idle(ticket: int) -> Callable[[], bool]:
        due = f"SELECT holder FROM due WHERE kind = 'ticket' AND ref = {ticket}"
        return lambda: ask(due) == ["None"]

    with process("worker", environ):
        wait_until(lambda: tenant.count("POST", "Tickets", "query") > 0)
        ticket = tenant.new_ticket(people.alpine, cc=NINA, callout=False)
        wait_until(lambda: tenant.linked_contacts(ticket))
        wait_until(lambda: states() == ["created"])
        wait_until(idle(ticket))
        tenant.faults.add(Fault(**{"seconds": 30.0} | fault))
        first = run(ticket)
        wait_until(lambda: not tenant.faults.pending())
        kill(first)
        assert refused == []
        if fault["method"] == "DELETE":  # the contact's ending has not begun
            wait_until(lambda: run(ticket).wait() == 0)
        wait_until(lambda: states() == ["retired"])
    assert stands(contact(tenant, ours(tenant))) == (0, None)
    assert tenant.linked_contacts(ticket) == []
    assert refused == []
