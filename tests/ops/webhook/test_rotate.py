"""A new secret: first the receivers, then Autotask, then the old one ends."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import uvicorn
from sqlalchemy import update
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.db.database import db_now
from app.db.tables import CalloutCount, RetiredSecret
from app.ops.webhook import rotate
from app.ops.webhook.common import WebhookError
from app.records import webhook
from app.services import Services
from app.web.app import create_app
from sandbox.callouts import SIGNATURE_HEADER, encode_callout, sign
from sandbox.outbox import Subscription
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.conftest import SECRET
from tests.support.clients import client_of
from tests.support.helpers import rows

NEW = "the-new-secret-of-tests"
PATH = "/webhooks/autotask"

MakeServices = Callable[..., Any]
Serve = Callable[..., Any]


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an application on loopback; gives its origin."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serve applications, in turn where there are several behind one address."""
    async with AsyncExitStack() as stack:

        async def start(*apps: ASGIApp) -> str:
            turns = itertools.cycle(apps)

            async def balanced(scope: Scope, receive: Receive, send: Send) -> None:
                await next(turns)(scope, receive, send)

            return await stack.enter_async_context(served(balanced))

        yield start


async def rotating(
    make_services: MakeServices, tenant: Tenant, url: str
) -> tuple[Services, Subscription]:
    """Have a webhook with the old secret, and the settings of a rotation."""
    number = tenant.subscribe(f"{url}{PATH}", f"{url}{PATH}/deactivated", SECRET)
    services: Services = await make_services(public_url=url, webhook_secrets=(NEW, SECRET))
    return services, tenant.outbox.subscriptions[number]


async def receiver(make_services: MakeServices, *secrets: str) -> ASGIApp:
    """Give a process that receives with these secrets."""
    return create_app(await make_services(webhook_secrets=secrets))


async def test_the_secret_is_changed_and_the_old_one_retired(
    make_services: MakeServices, tenant: Tenant, serve: Serve
) -> None:
    """Five probes first; of the old secret only a digest is kept, and until when it is good."""
    url = await serve(await receiver(make_services, NEW, SECRET))
    services, hook = await rotating(make_services, tenant, url)

    assert await rotate.rotate(services) == hook.id

    assert hook.secret == NEW
    assert [(one.kind, one.count) for one in await rows(services, CalloutCount)] == [("probe", 5)]
    [retired] = await rows(services, RetiredSecret)
    assert SECRET not in retired.digest
    async with services.sessions() as session:
        left = retired.until - await db_now(session)
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)


async def test_while_one_of_two_receivers_lacks_the_secret_nothing_is_changed(
    make_services: MakeServices, tenant: Tenant, serve: Serve
) -> None:
    """It would refuse each of Autotask's callouts that it got."""
    knows = await receiver(make_services, NEW, SECRET)
    url = await serve(knows, await receiver(make_services, SECRET))
    services, hook = await rotating(make_services, tenant, url)

    with pytest.raises(WebhookError, match=r"refused the new secret \(401\).*Nothing was changed"):
        await rotate.rotate(services)

    assert hook.secret == SECRET
    assert tenant.count("PATCH") == 0
    assert await rows(services, RetiredSecret) == []


OTHERS: dict[str, tuple[Response, str]] = {
    "redirect": (RedirectResponse("https://elsewhere.example/"), r"redirects \(307\)"),
    "error": (JSONResponse({"status": "accepted"}, 503), "answered 503"),
    "page": (Response("Welcome!"), "what answers there"),
}


@pytest.mark.parametrize(("answer", "why"), OTHERS.values(), ids=list(OTHERS))
async def test_what_is_not_our_receiver_is_said(
    make_services: MakeServices, tenant: Tenant, serve: Serve, answer: Response, why: str
) -> None:
    """A proxy that redirects or a page that welcomes everybody is no receiver."""
    services, hook = await rotating(make_services, tenant, await serve(answer))

    with pytest.raises(WebhookError, match=why):
        await rotate.rotate(services)
    assert hook.secret == SECRET


async def test_a_receiver_that_is_not_there_is_said(
    make_services: MakeServices, tenant: Tenant
) -> None:
    """Plainly, with the address."""
    services, hook = await rotating(make_services, tenant, "http://127.0.0.1:9")

    with pytest.raises(WebhookError, match="cannot be reached from here"):
        await rotate.rotate(services)
    assert hook.secret == SECRET


async def test_trouble_with_tls_is_said(
    make_services: MakeServices, tenant: Tenant, serve: Serve
) -> None:
    """What answers does not speak TLS: Autotask would not get through, either."""
    url = await serve(Response("no TLS here"))
    services, hook = await rotating(make_services, tenant, url.replace("http://", "https://"))

    with pytest.raises(WebhookError, match="cannot be trusted: TLS fails"):
        await rotate.rotate(services)
    assert hook.secret == SECRET


@pytest.mark.parametrize("kind", ["reset_before", "reset_after"])
async def test_without_an_answer_both_stay_good(
    make_services: MakeServices, tenant: Tenant, serve: Serve, kind: Any
) -> None:
    """Nobody knows which one Autotask has; run again, it is the new one."""
    url = await serve(await receiver(make_services, NEW, SECRET))
    services, hook = await rotating(make_services, tenant, url)
    tenant.faults.add(Fault(kind, method="PATCH"))

    with pytest.raises(WebhookError, match=r"may sign with either.*run it again"):
        await rotate.rotate(services)
    assert await rows(services, RetiredSecret) == []

    await rotate.rotate(services)
    assert hook.secret == NEW
    assert len(await rows(services, RetiredSecret)) == 1


async def test_rotating_needs_two_secrets_and_a_webhook(
    make_services: MakeServices, tenant: Tenant
) -> None:
    """The sentence says what to do first."""
    alone = await make_services(public_url="http://127.0.0.1:9", webhook_secrets=(NEW,))
    with pytest.raises(WebhookError, match="the old one after it"):
        await rotate.rotate(alone)
    both = await make_services(public_url="http://127.0.0.1:9", webhook_secrets=(NEW, SECRET))
    with pytest.raises(WebhookError, match="install it first"):
        await rotate.rotate(both)


async def test_the_old_secret_is_refused_when_its_time_is_over(
    make_services: MakeServices, tenant: Tenant, serve: Serve
) -> None:
    """Accepted for callouts on their way, then 401; the new one is accepted throughout."""
    url = await serve(await receiver(make_services, NEW, SECRET))
    services, _ = await rotating(make_services, tenant, url)
    await rotate.rotate(services)

    async def statuses() -> list[int]:
        body = encode_callout({"Action": "Create", "EntityType": "Ticket", "Id": 7})
        async with client_of(services) as api:
            answers = [
                await api.post(PATH, content=body, headers={SIGNATURE_HEADER: sign(one, body)})
                for one in (NEW, SECRET)
            ]
        return [answer.status_code for answer in answers]

    assert await statuses() == [202, 202]
    await _later(services, timedelta(minutes=14, seconds=50))
    assert await statuses() == [202, 202]
    await _later(services, timedelta(seconds=10))
    assert await statuses() == [202, 401]


async def _later(services: Services, time: timedelta) -> None:
    async with services.sessions() as session, session.begin():
        await session.execute(update(RetiredSecret).values(until=RetiredSecret.until - time))


@pytest.mark.parametrize(("times", "rotated"), [(1, True), (2, True), (None, False)])
async def test_a_change_without_effect_is_tried_three_times_and_said(
    make_services: MakeServices, tenant: Tenant, serve: Serve, times: int | None, rotated: bool
) -> None:
    """The name that is changed with the secret shows it; the old secret is not retired."""
    url = await serve(await receiver(make_services, NEW, SECRET))
    services, hook = await rotating(make_services, tenant, url)
    tenant.faults.add(Fault("no_effect", "PATCH", "TicketWebhooks", times=times))
    if rotated:
        await rotate.rotate(services)
    else:
        with pytest.raises(WebhookError, match="a reading does not show it"):
            await rotate.rotate(services)
    assert hook.secret == (NEW if rotated else SECRET)
    assert tenant.count("PATCH") == (times + 1 if times else 3)
    assert len(await rows(services, RetiredSecret)) == rotated


async def test_a_secret_that_autotask_keeps_all_the_same_is_accepted_and_named(
    make_services: MakeServices, tenant: Tenant, serve: Serve
) -> None:
    """No reading shows that; its callouts do, and none of them is lost."""
    url = await serve(await receiver(make_services, NEW, SECRET))
    services, hook = await rotating(make_services, tenant, url)
    tenant.faults.add(Fault("no_effect", "PATCH", "TicketWebhooks", fields=("secretKey",)))
    await rotate.rotate(services)
    assert hook.secret == SECRET

    async def post(secret: str) -> int:
        body = encode_callout({"Action": "Create", "EntityType": "Ticket", "Id": 7})
        async with client_of(services) as api:
            headers = {SIGNATURE_HEADER: sign(secret, body)}
            return (await api.post(PATH, content=body, headers=headers)).status_code

    async with services.sessions() as session, session.begin():
        ago = timedelta(hours=1)
        earlier = {"until": RetiredSecret.until - ago, "since": RetiredSecret.since - ago}
        await session.execute(update(RetiredSecret).values(**earlier))
    assert await post(SECRET) == 202
    async with services.sessions() as session:
        assert await webhook.secret_unchanged(session)
    assert await post(NEW) == 202
    async with services.sessions() as session:
        assert await webhook.secret_unchanged(session) is None
    assert await post(SECRET) == 202
    await _later(services, timedelta(minutes=4))
    assert await post(SECRET) == 401
