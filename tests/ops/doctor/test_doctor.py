"""The doctor against a deployment in order, and against each thing that can be out of order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import text, update

from app.db.tables import Gate, Participant, TicketContact, TicketRecord
from app.db.tables import Tenant as TenantRow
from app.ops import doctor
from app.ops.doctor import Finding, State, examine
from app.ops.doctor.deployment import open_deployment
from app.ops.webhook import install
from app.services import Services
from app.settings.settings import Settings
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import changes, everything, look_at, mailbox_of
from tests.web.test_health import run, store

Examine = Callable[..., Any]


@pytest.fixture
def examined(settings: Settings, people: Seed) -> Examine:
    """Examine the deployment, with other settings than usual: `await examined(ticket_note=…)`."""

    async def make(**others: Any) -> dict[str, Finding]:
        assert settings.database_url
        changed = settings.model_copy(update={"mail_ticket_sources": (4,)} | others)
        return {one.code: one async for one in examine(changed, settings.database_url)}

    return make


def states(found: dict[str, Finding], *wanted: State) -> dict[str, str]:
    """Give what was found, by code, of some states."""
    return {code: one.found for code, one in found.items() if one.state in wanted}


# --- in order ------------------------------------------------------------------------------------


async def test_a_deployment_in_order_has_no_problem(
    examined: Examine, services: Services, tenant: Tenant, people: Seed
) -> None:
    """Every check is made, and what cannot be seen from here says where to look."""
    ticket = tenant.new_ticket(people.alpine, cc="Nina <nina@radiology.example>")
    await look_at(services, ticket)
    found = await examined()
    assert states(found, State.PROBLEM, State.WARNING).keys() == {"webhook"}  # of no PUBLIC_URL
    assert found["create_Contacts"].state == found["udf_CC"].state == State.OK
    unseen = {code for code, one in found.items() if one.state is State.SKIPPED}
    assert unseen == {"callouts", "public", "source_mailbox", "mail_rules"}


async def test_it_changes_nothing(
    examined: Examine, services: Services, server: SandboxServer, people: Seed
) -> None:
    """Neither at Autotask nor in our records, but for the calls that it counts."""
    before = await everything(services)
    await examined()
    assert changes(server) == []
    assert await everything(services) == before


async def test_every_check_is_made_whatever_the_others_do(
    examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that breaks or hangs is a finding like any other."""

    async def breaks(_patient: Any) -> list[Finding]:
        raise ZeroDivisionError

    async def hangs(_patient: Any) -> list[Finding]:
        await asyncio.sleep(60)
        return []

    monkeypatch.setattr(doctor, "CHECK_SECONDS", 0.5)
    monkeypatch.setattr(
        doctor, "CHECKS", (("breaks", breaks), ("hangs", hangs), *doctor.CHECKS[:2])
    )
    found = await examined()
    assert "ZeroDivisionError" in found["breaks"].found
    assert "no answer within" in found["hangs"].found
    assert states(found, State.PROBLEM).keys() == {"breaks", "hangs"}
    assert found["schema"].state == State.OK


# --- the database --------------------------------------------------------------------------------


async def test_without_a_database_the_rest_is_examined(
    examined: Examine, settings: Settings
) -> None:
    """Autotask is asked all the same; what needs our records says that it does."""
    away = settings.model_copy(update={"database_url": "postgresql+psycopg://u@127.0.0.1:1/x"})
    found = {one.code: one async for one in examine(away, away.database_url or "")}
    assert states(found, State.PROBLEM).keys() == {"database"}
    assert "cannot be used" in found["database"].found
    assert found["credentials"].state == found["read_Contacts"].state == State.OK
    assert {found[code].state for code in ("schema", "pooler", "own_addresses")} == {State.SKIPPED}


async def test_an_empty_database_wants_to_be_migrated(
    examined: Examine, services: Services
) -> None:
    """The cure names the command."""
    await run(services, text("DROP TABLE alembic_version"))
    found = await examined()
    assert found["schema"].cure == "Run `autotask-cc migrate`."
    assert found["credentials"].state == State.OK


async def test_a_transaction_pooler_is_found_by_what_it_does(
    examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two connections that meet the same process of PostgreSQL's can only be a pooler's."""

    async def same(_connection: Any) -> int:
        return 7

    monkeypatch.setattr(doctor.database, "_server_process", same)
    found = await examined()
    assert found["pooler"].state == State.WARNING
    assert "ALTER ROLE" in found["pooler"].cure


async def test_a_pooler_whose_role_is_set_up_is_in_order(
    examined: Examine, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the role says stands on every connection."""

    async def same(_connection: Any) -> int:
        return 7

    monkeypatch.setattr(doctor.database, "_server_process", same)
    async with services.sessions() as session, session.begin():
        name = (await session.execute(text("SELECT current_database()"))).scalar_one()
        await session.execute(
            text(f"ALTER DATABASE {name} SET idle_in_transaction_session_timeout = '10s'")
        )
    assert (await examined())["pooler"].state == State.OK


# --- the way in ----------------------------------------------------------------------------------


async def test_a_wrong_user_is_told_from_a_wrong_secret(examined: Examine, tenant: Tenant) -> None:
    """By the zone, which takes no secret; the wrong user is not tried with it."""
    found = await examined(autotask_username="nobody@northwind-msp.example")
    assert states(found, State.PROBLEM).keys() == {"zone"}
    assert "knows no API user nobody@" in found["zone"].found
    assert {call.entity for call in tenant.calls} == {"ZoneInformation"}
    found = await examined(autotask_secret="wrong")
    assert states(found, State.PROBLEM).keys() == {"credentials"}
    assert "does not accept AUTOTASK_SECRET" in found["credentials"].found
    found = await examined(autotask_integration_code="wrong")
    assert "does not accept AUTOTASK_INTEGRATION_CODE" in found["credentials"].found


async def test_what_it_is_refused_does_not_stop_the_service(
    examined: Examine, services: Services, tenant: Tenant
) -> None:
    """The gate stays open; and a shut one does not keep the doctor from asking."""
    tenant.faults.add(Fault("forbidden", path_contains="Companies/query"))
    await examined(autotask_secret="wrong")
    await examined()
    async with services.sessions() as session:
        assert (await session.get_one(Gate, 1)).code is None
    now = datetime.now(UTC)
    shut = {"code": "unauthorized", "reason": "wrong", "since": now}
    await run(services, update(Gate).values(shut_until=now + timedelta(minutes=5), **shut))
    found = await examined()
    assert found["gate"].state == State.PROBLEM
    assert found["credentials"].state == State.OK


async def test_its_calls_are_counted(examined: Examine, services: Services, tenant: Tenant) -> None:
    """The hour's budget holds for it, too; the zone is free."""
    await examined()
    paid = [call for call in tenant.calls if call.entity != "ZoneInformation"]
    async with services.sessions() as session:
        counted = (await session.execute(text("SELECT sum(count) FROM calls"))).scalar_one()
        assert counted == len(paid)
        assert (await session.execute(text("SELECT count(*) FROM slots"))).scalar_one() == 0


async def test_a_database_of_another_tenant_is_found(examined: Examine, services: Services) -> None:
    """It is not bound anew."""
    await store(
        services, TenantRow(id=1, api_url="https://webservices9.autotask.net/ATServicesRest")
    )
    found = await examined()
    assert "belongs to the tenant at https://webservices9" in found["zone"].found


async def test_a_right_that_is_missing_is_named(examined: Examine, tenant: Tenant) -> None:
    """By the entity that may not be read; the others are looked at as well."""
    tenant.faults.add(Fault("forbidden", path_contains="Resources/query"))
    found = await examined()
    assert states(found, State.PROBLEM) == {
        "read_Resources": "The API user may not read Resources."
    }


async def test_a_level_that_shows_nothing_is_found(
    settings: Settings, server: SandboxServer
) -> None:
    """A tenant with no company and no ticket to be seen is a level that is too narrow."""
    assert settings.database_url
    found = {one.code: one async for one in examine(settings, settings.database_url)}
    assert {"read_Tickets", "read_Companies"} <= states(found, State.WARNING).keys()


async def test_a_refused_create_is_remembered(examined: Examine, services: Services) -> None:
    """Autotask tells of no right to create; what it refused the service does."""
    reason = "Autotask does not allow the API user this call: write Contacts"
    call, since = "write Contacts", datetime.now(UTC)
    row = {"code": "forbidden", "reason": reason, "call": call, "since": since}
    await run(services, update(Gate).values(**row))
    assert (await examined())["create_Contacts"].state == State.PROBLEM


async def test_clocks_that_differ_are_found(
    examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the Date of Autotask's answers."""
    monkeypatch.setattr(
        doctor.deployment, "parsedate_to_datetime", lambda _: datetime.now(UTC) + timedelta(hours=1)
    )
    found = await examined()
    assert "+3600 s" in found["clock"].found or "+3599 s" in found["clock"].found
    assert found["clock"].state == State.WARNING


async def test_the_use_of_all_tools_is_told(examined: Examine, tenant: Tenant) -> None:
    """From half of the tenant's calls on it is to be seen to."""
    tenant.request_limit = 40
    for _ in range(25):
        tenant.charge()
    found = await examined(budget_share=1.0)
    assert found["budget_tenant"].state == State.WARNING
    assert "26 of the tenant's 40" in found["budget_tenant"].found


# --- what is configured --------------------------------------------------------------------------


async def test_the_mailbox_is_asked(examined: Examine, server: SandboxServer) -> None:
    """Each trouble has its cure."""
    assert (await examined(**mailbox_of(server)))["mailbox"].state == State.OK
    found = await examined(**mailbox_of(server) | {"graph_client_secret": "wrong"})
    assert "GRAPH_CLIENT_SECRET" in found["mailbox_credentials"].cure


async def test_a_note_for_nobody_is_found(examined: Examine) -> None:
    """The choices that there are stand in the cure; the right one is named by its label."""
    found = await examined(ticket_note="internal", ticket_note_publish=9)
    assert found["note"].state == State.PROBLEM
    assert "2 = Internal Users Only" in found["note"].cure
    found = await examined(ticket_note="internal", ticket_note_publish=2)
    assert "Internal Users Only" in found["note"].found
    found = await examined(ticket_note="internal", ticket_note_publish=4)
    assert found["note"].state == State.WARNING


async def test_a_providers_domain_as_ones_own_is_found(
    examined: Examine, tenant: Tenant, people: Seed
) -> None:
    """As an account's web address, as our own, and in the settings."""
    assert (await examined())["web_addresses"].state == State.OK
    tenant.companies[people.bakery]["webAddress"] = "www.gmail.com"
    tenant.companies[people.harbour]["webAddress"] = "none"
    found = await examined(own_domains=("northwind-msp.example", "gmx.de"))
    assert f"Corner Bakery {people.bakery} (gmail.com)" in found["web_addresses"].found
    assert f"no domain (1): Harbour & Söhne GmbH {people.harbour}." in found["web_addresses"].found
    assert "domains: gmx.de." in found["own_domains"].found


async def test_a_field_that_contacts_need_is_found(examined: Examine, tenant: Tenant) -> None:
    """Unless CONTACT_DEFAULTS has it."""
    tenant.required_contact_fields = ("mobilePhone",)
    assert "mobilePhone" in (await examined())["contact_fields"].found
    found = await examined(contact_defaults={"mobilephone": "-"})
    assert found["contact_fields"].state == State.OK


async def test_a_ticket_field_that_is_missing_is_found(examined: Examine) -> None:
    """And one that is named alike."""
    found = await examined(cc_sources=("udf:C C",))
    assert found["udf_C C"].state == State.PROBLEM
    assert "Did you mean CC?" in found["udf_C C"].found
    found = await examined(cc_sources=("udf:Copied", "description"))
    assert found["udf_Copied"].state == State.WARNING


async def test_the_webhook_is_compared(
    examined: Examine, make_services: Callable[..., Any]
) -> None:
    """It is looked at as it is now, whatever was read back last."""
    away = {"public_url": "https://cc.example.test"}
    missing = await examined(**away)
    wrong = {code for code in states(missing, State.PROBLEM) if code.startswith("webhook_")}
    assert len(wrong) == 1
    assert "autotask-cc webhook install" in missing[wrong.pop()].cure
    await install.install(await make_services(**away))
    assert (await examined(**away))["webhook"].state == State.OK


async def test_an_address_that_is_not_reached_is_found(examined: Examine) -> None:
    """PUBLIC_URL is asked as anybody outside would."""
    found = await examined(public_url="http://127.0.0.1:1")
    assert found["public"].state == State.WARNING


@pytest.fixture
def public(settings: Settings) -> Iterator[Callable[..., str]]:
    """Serve our application, or something else, at an address of its own."""
    stack = ExitStack()

    def start(status: int, text: str) -> str:
        class Answering(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Answering))
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        return f"http://127.0.0.1:{server.server_address[1]}"

    with stack:
        yield start


@pytest.mark.parametrize(
    ("status", "text", "state"),
    [
        (401, "The X-Hook-Signature header is missing or not of our secret.", State.OK),
        (401, "nginx wants a password", State.PROBLEM),
        (404, "The webhook is off", State.PROBLEM),
        (202, "accepted", State.PROBLEM),
    ],
)
async def test_the_public_address_has_to_be_ours(
    settings: Settings, public: Callable[..., str], status: int, text: str, state: State
) -> None:
    """What is not signed is refused by us, and not by something in between."""
    assert settings.database_url
    there = settings.model_copy(update={"public_url": public(status, text)})
    async with open_deployment(there, settings.database_url) as deployment:
        [found] = await doctor.webhook.public(deployment)
    assert found.state is state


# --- people --------------------------------------------------------------------------------------


async def test_a_mailbox_that_keeps_appearing_is_found(
    examined: Examine, services: Services
) -> None:
    """In Cc or as who asks, over five accounts; what is known as ours is not."""
    now = datetime.now(UTC)

    def person(ticket: int, key: str, reason: str = "outside") -> Participant:
        said = {"name": "", "position": 0, "decision": "create", "reason": reason}
        return Participant(
            ticket_id=ticket, key=key, account_id=ticket, decided_at=now, muted=False, **said
        )

    await store(
        services,
        *(person(one, "help@msp-alias.example") for one in range(1, 6)),
        *(person(one, "four@vendor.example") for one in range(1, 5)),
        *(person(one, "own@x.example", "own_address") for one in range(1, 9)),
        *(TicketRecord(id=n, account_id=n, contact_id=n) for n in range(1, 6)),
        *(
            TicketContact(contact_id=n, addresses=["rmm@tool.example"], read_at=now)
            for n in range(1, 6)
        ),
    )
    found = (await examined())["own_addresses"]
    assert found.state == State.WARNING
    named = "help@msp-alias.example (5 accounts), rmm@tool.example (5 accounts)"
    assert f"within 30 days: {named}." in found.found
    known = await examined(own_addresses=("help@msp-alias.example",), own_domains=("tool.example",))
    assert known["own_addresses"].state == State.OK


async def test_people_who_get_no_mail_are_counted(
    examined: Examine, services: Services, tenant: Tenant, people: Seed
) -> None:
    """Muted contacts are on the ticket and hear nothing."""
    ticket = tenant.new_ticket(people.alpine, cc="frontdesk@alpine-dental.example")
    await look_at(services, ticket)
    assert (await examined())["mail_muted"].state == State.WARNING
