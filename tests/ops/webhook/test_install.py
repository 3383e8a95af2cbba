"""Our webhook is made whole, mended, looked at and ended, and never twice."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from typing import Any

import pytest

from app.db.tables import RetiredSecret, Webhook
from app.ops.webhook import install
from app.ops.webhook.common import WebhookError
from app.ops.webhook.compare import WebhookReport
from app.outbound import gate
from app.records import webhook as webhook_records
from app.services import Services
from sandbox.model import RESOURCES, TICKETS, Entity
from sandbox.outbox import Subscription
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from sandbox.webhook_model import FIELDS, UDF_FIELDS
from sandbox.webhook_writes import field_choices
from tests.conftest import SECRET
from tests.support.helpers import changes, rows

PUBLIC = "https://cc.example.com"
URL = f"{PUBLIC}/webhooks/autotask"

MakeServices = Callable[..., Any]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask more often whether the webhook is ready, and not for a minute."""
    module = importlib.import_module("app.ops.webhook.install")
    monkeypatch.setattr(module, "_READY_POLL", (0.05,))
    monkeypatch.setattr(module, "_READY_SECONDS", 3.0)


@pytest.fixture
async def services(make_services: MakeServices) -> Services:
    """The parts of a process that has a public address."""
    made: Services = await make_services(public_url=PUBLIC)
    return made


def only(tenant: Tenant) -> Subscription:
    """Give the one webhook that there is."""
    [webhook] = tenant.outbox.subscriptions.values()
    return webhook


def id_of(tenant: Tenant, entity: Entity, label: str) -> int:
    """Give the id that only the picklist knows."""
    return {name: number for number, name in field_choices(tenant, entity)}[label]


def is_whole(tenant: Tenant) -> bool:
    """Tell whether there is one webhook, and it is all that it should be."""
    webhook = only(tenant)
    number = id_of(tenant, FIELDS, "Ticket Number")
    fields = [(row["fieldID"], row["isSubscribedField"]) for row in webhook.fields.values()]
    udfs = [row["udfFieldID"] for row in webhook.udf_fields.values()]
    return (
        (webhook.url, webhook.deactivation_url) == (URL, f"{URL}/deactivated")
        and (webhook.active, webhook.actions) == (True, frozenset({"Create"}))
        and webhook.is_ready(tenant.clock())
        and (fields, udfs) == ([(number, True)], [id_of(tenant, UDF_FIELDS, "CC")])
        and [one["resourceID"] for one in webhook.excluded.values()] == [tenant.api_resource_id]
    )


def wrong(report: WebhookReport) -> list[str | None]:
    """Name what is wrong."""
    return [line.code for line in report.wrong]


# --- install -------------------------------------------------------------------------------------


async def test_install_makes_one_whole_webhook(services: Services, tenant: Tenant) -> None:
    """Fields by their picklist ids, one after another; our own user excluded; ready at the end."""
    report = await install.install(services)

    assert wrong(report) == []
    assert is_whole(tenant)
    assert (only(tenant).name, only(tenant).secret) == ("autotask-cc", SECRET)
    assert {tenant.peak[name] for name in tenant.peak} == {1}
    [row] = await rows(services, Webhook)
    assert (row.webhook_id, row.guid, row.code) == (only(tenant).id, only(tenant).guid, None)


async def test_install_again_changes_nothing(
    services: Services, tenant: Tenant, server: SandboxServer
) -> None:
    """All is found as it should be, and nothing is written."""
    await install.install(services)
    tenant.forget_calls()

    report = await install.install(services)

    assert (wrong(report), changes(server)) == ([], [])


BROKEN: dict[str, tuple[str, Callable[[Tenant, Subscription], Any]]] = {
    "inactive": ("inactive", lambda _, hook: setattr(hook, "active", False)),
    "events": ("events", lambda _, hook: setattr(hook, "actions", frozenset({"Update"}))),
    "noise": ("noise", lambda _, hook: setattr(hook, "actions", {"Create", "Delete"})),
    "address": ("url", lambda _, hook: setattr(hook, "url", "https://old.example.com/hook")),
    "field": ("field", lambda _, hook: hook.fields.clear()),
    "row": (
        "field",
        lambda _, hook: next(iter(hook.fields.values())).update(isSubscribedField=False),
    ),
    "udf": ("field", lambda _, hook: hook.udf_fields.clear()),
    "exclusion": ("exclusion", lambda _, hook: hook.excluded.clear()),
    "deactivation": (
        "deactivation_url",
        lambda _, hook: setattr(hook, "deactivation_url", "https://x.example"),
    ),
    "gone": ("gone", lambda tenant, _: tenant.outbox.subscriptions.clear()),
}


@pytest.mark.parametrize(("code", "damage"), BROKEN.values(), ids=list(BROKEN))
async def test_status_names_what_differs_and_install_mends_it(
    services: Services,
    tenant: Tenant,
    server: SandboxServer,
    code: str,
    damage: Callable[[Tenant, Subscription], Any],
) -> None:
    """Status writes nothing; after install all is well again, with one webhook."""
    await install.install(services)
    damage(tenant, only(tenant))
    tenant.forget_calls()

    assert wrong(await install.status(services)) == [code]
    assert changes(server) == []

    assert wrong(await install.install(services)) == []
    assert is_whole(tenant)


async def test_a_webhook_that_is_switched_on_again_gets_our_secret(
    services: Services, tenant: Tenant
) -> None:
    """A wrong one may be why it was disabled, and nobody can read it."""
    await install.install(services)
    only(tenant).active, only(tenant).secret = False, "a-secret-of-somebody"

    await install.install(services)

    assert (only(tenant).active, only(tenant).secret) == (True, SECRET)


async def test_one_that_was_made_by_hand_is_taken_over(services: Services, tenant: Tenant) -> None:
    """By its address, whoever owns it; that Autotask refuses the exclusion stops nothing else."""
    number = tenant.subscribe(URL.upper(), "https://x.example", "a-secret-made-by-hand")
    hook = tenant.outbox.subscriptions[number]
    hook.owner, hook.active = 4, False

    assert wrong(await install.install(services)) == ["exclusion"]

    assert (only(tenant).id, only(tenant).active) == (number, True)


async def test_ours_is_found_behind_many_others(services: Services, tenant: Tenant) -> None:
    """On whichever page it is, no second one is made."""
    for number in range(501):
        tenant.subscribe(f"https://other.example/{number}", "https://other.example", SECRET)
    hook = tenant.subscribe(URL, URL, SECRET, actions=["Create"])

    await install.install(services)

    assert tenant.outbox.subscriptions[hook].fields
    assert len(tenant.outbox.subscriptions) == 502


async def test_a_second_one_of_the_same_address_is_deleted(
    services: Services, tenant: Tenant
) -> None:
    """Every ticket would be told twice."""
    for _ in range(2):
        number = tenant.subscribe(URL, URL, SECRET, actions=["Create"])
        tenant.outbox.subscriptions[number].owner = tenant.api_resource_id

    assert wrong(await install.install(services)) == []
    assert is_whole(tenant)


async def test_our_user_is_found_by_name_where_another_owns_the_webhook(
    services: Services, tenant: Tenant
) -> None:
    """The owner is left out only where nobody has the name of our user."""
    tenant.insert(
        RESOURCES, {"userName": tenant.username, "isActive": True}, tenant.api_resource_id
    )
    number = tenant.subscribe(URL, URL, SECRET, actions=["Create"])
    tenant.outbox.subscriptions[number].owner = 4

    await install.install(services)

    assert [row["resourceID"] for row in only(tenant).excluded.values()] == [tenant.api_resource_id]


async def test_a_field_that_this_tenant_lacks_is_left_out_and_said(
    make_services: MakeServices, tenant: Tenant
) -> None:
    """It is no reason to go without a webhook; names are compared in any casing."""
    tenant.udfs[TICKETS.name] = ["Copied"]
    services = await make_services(
        public_url=PUBLIC, cc_sources=("udf:CC", "udf:copied", "mailbox")
    )

    report = await install.install(services)

    assert wrong(report) == []
    assert [line.there for line in report.lines if line.what == "field CC"] == [
        "left out: this Autotask has no such user-defined field for tickets"
    ]
    [row] = only(tenant).udf_fields.values()
    assert row["udfFieldID"] == id_of(tenant, UDF_FIELDS, "Copied")


@pytest.mark.parametrize(
    ("switch", "value"),
    [
        ("webhook_field_label", "name"),
        ("webhook_udf_field_name", "fieldID"),
        ("activate_without_field", "accepted"),
        ("secret_shown", True),
        ("missing_item", "404"),
    ],
)
async def test_install_copes_with_what_nobody_has_published(
    services: Services, tenant: Tenant, switch: str, value: object
) -> None:
    """Whichever way Autotask writes it."""
    setattr(tenant.switches, switch, value)

    assert wrong(await install.install(services)) == []


async def test_one_that_does_not_get_ready_is_said(
    services: Services, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The waiting has an end."""
    module = importlib.import_module("app.ops.webhook.install")
    monkeypatch.setattr(module, "_READY_SECONDS", 0.1)
    tenant.switches.webhook_ready_after = 600

    assert wrong(await install.install(services)) == ["not_ready"]


# --- interrupted, lost, at once ------------------------------------------------------------------


@pytest.mark.parametrize("entity", ["TicketWebhookFields", "TicketWebhookUdfFields"])
async def test_killed_between_two_steps_it_is_made_whole_by_the_next(
    services: Services, tenant: Tenant, entity: str
) -> None:
    """What was made half is inactive, found again, and finished."""
    tenant.faults.add(Fault("hang_before", method="POST", entity=entity))
    first = asyncio.create_task(install.install(services))
    await asyncio.wait_for(_called(tenant, entity), 10)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert not only(tenant).active

    assert wrong(await install.install(services)) == []
    assert is_whole(tenant)


async def _called(tenant: Tenant, entity: str) -> None:
    while not tenant.count("POST", entity):
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "error_500"])
@pytest.mark.parametrize("entity", ["TicketWebhooks", "TicketWebhookFields"])
async def test_a_lost_answer_is_looked_up_and_nothing_is_made_twice(
    services: Services, tenant: Tenant, kind: Any, entity: str
) -> None:
    """Whether the request took effect or not, there is one whole webhook in the end."""
    queries = 1 if entity == "TicketWebhooks" else 0  # a query is a POST, too, and comes first
    tenant.faults.add(Fault(kind, method="POST", entity=entity, after=queries))

    assert wrong(await install.install(services)) == []
    assert is_whole(tenant)


async def test_two_installs_at_once_make_one_webhook(
    make_services: MakeServices, tenant: Tenant
) -> None:
    """Each has its process; even where Autotask would accept a second one."""
    tenant.switches.duplicate_webhook = "accepted"
    all_services = [await make_services(public_url=PUBLIC) for _ in range(2)]

    reports = await asyncio.gather(*(install.install(services) for services in all_services))

    assert [wrong(report) for report in reports] == [[], []]
    assert is_whole(tenant)
    assert tenant.outbox.next_id() == 2


# --- what is missing -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"public_url": None}, "PUBLIC_URL"),
        ({"webhook_secrets": ()}, "WEBHOOK_SECRETS"),
        ({"public_url": None, "webhook_secrets": ()}, "PUBLIC_URL and WEBHOOK_SECRETS"),
    ],
)
async def test_without_address_or_secret_nothing_is_asked(
    make_services: MakeServices, tenant: Tenant, change: dict[str, Any], names: str
) -> None:
    """A sentence says what to set."""
    services = await make_services(**{"public_url": PUBLIC} | change)

    with pytest.raises(WebhookError, match=f"^Set {names} first"):
        await install.install(services)
    assert tenant.calls == []


@pytest.mark.parametrize("switch", ["error_500", "status_403"])
async def test_a_missing_right_is_named_and_stops_nothing_else(
    services: Services, tenant: Tenant, switch: Any
) -> None:
    """Tickets do not need the right to make webhooks: the gate stays open."""
    tenant.switches.webhook_right = switch

    with pytest.raises(WebhookError, match=r"Can create Webhooks.*at least 1"):
        await install.install(services)

    async with services.sessions() as session:
        assert await gate.state(session) is None


async def test_a_used_up_number_of_webhooks_is_said(services: Services, tenant: Tenant) -> None:
    """With Autotask's own words, and where the number is set."""
    tenant.switches.webhook_limit = 0

    with pytest.raises(WebhookError, match=r"maximum number of webhooks.*at least 1"):
        await install.install(services)


async def test_a_retired_secret_that_is_put_first_again_is_good(
    services: Services, tenant: Tenant
) -> None:
    """Autotask is told to sign with it, so the receiver has to accept it."""
    async with services.sessions() as session, session.begin():
        await webhook_records.refuse_soon(session, [SECRET])

    await install.install(services)

    assert await rows(services, RetiredSecret) == []


# --- remove --------------------------------------------------------------------------------------


async def test_remove_ends_ours_and_only_ours(services: Services, tenant: Tenant) -> None:
    """All that have our address, another's stays; once more there is nothing to do."""
    other = tenant.subscribe("https://other.example/hook", "https://other.example", SECRET)
    await install.install(services)

    assert await install.remove(services) == 1
    assert list(tenant.outbox.subscriptions) == [other]
    assert await install.remove(services) == 0
    assert await rows(services, Webhook) == []


async def test_one_that_went_meanwhile_is_fine(services: Services, tenant: Tenant) -> None:
    """Autotask answers 500 to deleting what is not there."""
    await install.install(services)

    def faster(call: Any) -> None:
        if call.method == "DELETE":
            tenant.outbox.subscriptions.clear()

    tenant.before_call = faster

    assert await install.remove(services) == 1
