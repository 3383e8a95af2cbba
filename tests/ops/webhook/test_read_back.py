"""Our webhook is read back: what is wrong is stored, mended where that is wanted, and told."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, update

from app.autotask.errors import AutotaskError
from app.db.states import Chore, Priority
from app.db.tables import Due, Webhook
from app.due import work
from app.due.work import Lease, LeaseLost
from app.ops.webhook import install
from app.ops.webhook import read_back as read_back_
from app.ops.webhook.read_back import WebhookTrouble
from app.services import Services
from sandbox.callouts import SIGNATURE_HEADER, encode_callout, sign
from sandbox.outbox import Subscription
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.conftest import SECRET
from tests.support.clients import client_of
from tests.support.helpers import rows

PUBLIC = "https://cc.example.com"
URL = f"{PUBLIC}/webhooks/autotask"

MakeServices = Callable[..., Any]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, tenant: Tenant) -> None:
    """Let a webhook be ready as soon as it is asked."""
    tenant.switches.webhook_ready_after = 0
    module = importlib.import_module("app.ops.webhook.install")
    monkeypatch.setattr(module, "_READY_POLL", (0.02,))


@pytest.fixture
async def services(make_services: MakeServices, tenant: Tenant) -> Services:
    """The parts of a process, and the webhook that it has installed."""
    made: Services = await make_services(public_url=PUBLIC)
    await install.install(made)
    return made


def only(tenant: Tenant) -> Subscription:
    """Give the one webhook that there is."""
    [webhook] = tenant.outbox.subscriptions.values()
    return webhook


async def claim(services: Services) -> Lease:
    """Take up the chore, as a worker does."""
    async with services.sessions() as session, session.begin():
        now = timedelta(0)
        await work.want(session, work.CHORE, Chore.WEBHOOK, now, Priority.CATCH_UP)
        lease = await work.take(session, work.CHORE, Chore.WEBHOOK, "test")
    assert lease
    return lease


async def read_back(services: Services) -> WebhookTrouble | None:
    """Do the chore once, and tell what is wrong then."""
    lease = await claim(services)
    assert await read_back_.read_back(services, lease) == timedelta(hours=1)
    async with work.fenced(services.sessions, lease) as session:
        await work.finish(session, lease)
    async with services.sessions() as session:
        return await read_back_.trouble(session)


async def due(services: Services, chore: Chore) -> timedelta | None:
    """Say in what time a chore is due; None: never wanted."""
    async with services.sessions() as session:
        row = await session.get(Due, (work.CHORE, int(chore)))
        now = (await session.execute(func.now().select())).scalar_one()
        return row.due_at - now if row and row.due_at else None


async def test_nothing_is_wrong_with_a_whole_one(services: Services, tenant: Tenant) -> None:
    """It is read, not changed, and no ticket is looked for."""
    tenant.forget_calls()

    assert await read_back(services) is None

    assert tenant.count("PATCH") + tenant.count("DELETE") == 0
    assert await due(services, Chore.RECONCILE) is None


OFF: dict[str, Callable[[Tenant], Any]] = {
    "gone": lambda tenant: tenant.outbox.subscriptions.clear(),
    "inactive": lambda tenant: setattr(only(tenant), "active", False),
    "url": lambda tenant: setattr(only(tenant), "url", "https://else.example.com"),
    "events": lambda tenant: setattr(only(tenant), "actions", frozenset({"Update"})),
    "not_ready": lambda tenant: setattr(only(tenant), "ready_at", None),
}


@pytest.mark.parametrize(("code", "damage"), OFF.items(), ids=list(OFF))
async def test_one_that_is_off_is_told_and_not_touched(
    services: Services, tenant: Tenant, code: str, damage: Callable[[Tenant], Any]
) -> None:
    """With the cure, since when; tickets are looked for at once, as nobody told of them."""
    damage(tenant)
    tenant.forget_calls()

    found = await read_back(services)

    assert found
    assert (found.code, "webhook" in found.cure or "install" in found.cure) == (code, True)
    assert tenant.count("PATCH") + tenant.count("DELETE") == 0
    for chore in (Chore.RECONCILE, Chore.FOLLOW):
        wait = await due(services, chore)
        assert wait is not None
        assert wait <= timedelta(0)


@pytest.mark.parametrize(
    ("code", "damage"),
    [
        ("field", lambda hook: hook.udf_fields.clear()),
        ("exclusion", lambda hook: hook.excluded.clear()),
    ],
)
async def test_what_is_missing_on_it_is_told_and_no_ticket_is_lost_by_it(
    services: Services, tenant: Tenant, code: str, damage: Callable[[Subscription], Any]
) -> None:
    """Callouts still come: reconciliation keeps its time."""
    damage(only(tenant))

    found = await read_back(services)

    assert found
    assert found.code == code
    assert await due(services, Chore.RECONCILE) is None


@pytest.mark.parametrize("code", ["gone", "inactive", "url", "events"])
async def test_it_is_mended_where_that_is_wanted(
    services: Services, make_services: MakeServices, tenant: Tenant, code: str
) -> None:
    """As install does; and what was not told meanwhile is looked for."""
    OFF[code](tenant)
    repairing = await make_services(public_url=PUBLIC, webhook_repair=True)

    assert await read_back(repairing) is None

    assert (only(tenant).active, only(tenant).url) == (True, URL)
    assert await due(services, Chore.RECONCILE) is not None


async def test_since_is_when_it_was_found_first(services: Services, tenant: Tenant) -> None:
    """The time stays while the trouble does, and ends with it."""
    only(tenant).active = False
    first = await read_back(services)
    [row] = await rows(services, Webhook)
    only(tenant).excluded.clear()
    second = await read_back(services)
    [later] = await rows(services, Webhook)
    assert first
    assert second
    assert (second.since, later.checked_at > row.checked_at) == (first.since, True)

    await install.install(services)
    async with services.sessions() as session:
        assert await read_back_.trouble(session) is None


@pytest.mark.parametrize("change", [{"public_url": None}, {"webhook_secrets": ()}])
async def test_without_address_or_secrets_nothing_is_kept(
    services: Services, make_services: MakeServices, tenant: Tenant, change: dict[str, Any]
) -> None:
    """No call is made, and what was known is forgotten: the webhook is nobody's affair."""
    only(tenant).active = False
    await read_back(services)
    tenant.forget_calls()
    other = await make_services(**{"public_url": PUBLIC} | change)

    assert await read_back(other) is None

    assert (tenant.calls, await rows(services, Webhook)) == ([], [])


async def test_a_mending_that_is_refused_is_told(
    services: Services, make_services: MakeServices, tenant: Tenant
) -> None:
    """With Autotask's words; the chore itself does not fail."""
    only(tenant).active = False
    tenant.switches.webhook_right = "error_500"

    found = await read_back(await make_services(public_url=PUBLIC, webhook_repair=True))

    assert found
    assert found.code == "not_repaired"
    assert "adequate permissions" in found.detail


async def test_without_an_answer_nothing_is_said(services: Services, tenant: Tenant) -> None:
    """Whether the webhook is well is not known then: the chore is tried again."""
    tenant.faults.add(Fault("error_500", entity="TicketWebhooks"))
    lease = await claim(services)

    with pytest.raises(AutotaskError):
        await read_back_.read_back(services, lease)

    async with services.sessions() as session:
        assert await read_back_.trouble(session) is None


async def test_who_lost_the_lease_stores_nothing(services: Services, tenant: Tenant) -> None:
    """Another worker has the chore by then."""
    only(tenant).active = False
    lease = await claim(services)
    async with services.sessions() as session, session.begin():
        await session.execute(update(Due).values(attempt=Due.attempt + 1))

    with pytest.raises(LeaseLost):
        await read_back_.read_back(services, lease)


# --- said to be disabled -------------------------------------------------------------------------


async def say_deactivated(services: Services, route: str) -> int:
    """Post what Autotask posts, signed to the webhook's own address, unsigned to the other."""
    body = encode_callout({"Action": "Deactivated", "Guid": "g"})
    headers = {SIGNATURE_HEADER: sign(SECRET, body)} if route == "webhook" else {}
    path = "/webhooks/autotask" + ("" if route == "webhook" else "/deactivated")
    async with client_of(services) as api:
        return (await api.post(path, content=body, headers=headers)).status_code


@pytest.mark.parametrize("route", ["webhook", "deactivation"])
async def test_the_read_back_is_brought_forward_and_nothing_else_changes(
    services: Services, tenant: Tenant, route: str
) -> None:
    """Both ways of saying so; ten minutes after the latest reading at the earliest."""
    before = await due(services, Chore.WEBHOOK)
    assert before is not None
    assert before > timedelta(minutes=50)

    for _ in range(3):
        assert 200 <= await say_deactivated(services, route) < 300
    soon = await due(services, Chore.WEBHOOK)
    assert soon is not None
    assert timedelta(minutes=9) < soon <= timedelta(minutes=10)

    async with services.sessions() as session, session.begin():
        await session.execute(update(Webhook).values(checked_at=func.now() - timedelta(minutes=11)))
    await say_deactivated(services, route)
    now = await due(services, Chore.WEBHOOK)
    assert now is not None
    assert now <= timedelta(0)
    assert [row.code for row in await rows(services, Webhook)] == [None]
    assert only(tenant).active
