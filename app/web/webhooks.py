"""Receive Autotask's callouts: verify, parse, store, answer. The work is done later."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import structlog
from fastapi import APIRouter, Request, Response

from app.autotask.callouts import BadCallout, Callout, parse_callout, signature_is_valid
from app.records import deliveries, webhook
from app.services import Services
from app.settings.log import Sparing
from app.web.problems import Problem

log = structlog.get_logger()
router = APIRouter(tags=["webhooks"])

MAX_BODY = 256 * 1024
SMALL_BODY, LARGE_AT_ONCE = 32 * 1024, 16
"""Bodies are kept before their signature can be checked: few of them may be larger than most."""

BODY_SECONDS = 10.0
STORE_SECONDS = 8.0
"""Autotask waits ten seconds for an answer:
https://www.autotask.net/help/developerhelp/Content/APIs/Webhooks/Webhooks_Error_Handling.htm"""


@router.post("/webhooks/autotask", status_code=202, include_in_schema=False)
async def receive(request: Request) -> dict[str, str]:
    """Receive a callout: verify its raw bytes, parse it, store it, then answer."""
    services: Services = request.app.state.services
    secrets = services.settings.webhook_secrets
    if not secrets:
        raise Problem(404, "The webhook is off: set WEBHOOK_SECRETS to switch it on.")
    body = await _read_body(request)
    signature = request.headers.get("x-hook-signature")
    signed = [secret for secret in secrets if signature_is_valid([secret], signature, body)]
    if not signed:
        raise Problem(401, "The X-Hook-Signature header is missing, or made with another secret.")
    try:
        callout = parse_callout(body)
    except BadCallout as error:
        raise Problem(400, f"The callout cannot be understood: {error}.") from None
    async with asyncio.timeout(STORE_SECONDS):
        return {"status": await _store(services, callout, body, signed)}


@router.post("/webhooks/autotask/deactivated", include_in_schema=False)
async def deactivated(request: Request) -> Response:
    """Count a message that Autotask has disabled the webhook; it is unsigned, so do no more."""
    services: Services = request.app.state.services
    counter: DeactivationCounter = request.app.state.deactivations
    await counter.add(services)
    return Response(status_code=200)


class DeactivationCounter:
    """Count unsigned messages, in one transaction at a time however many arrive."""

    def __init__(self) -> None:
        self._waiting = 0
        self._writing = False
        self._sparing = Sparing(5)

    async def add(self, services: Services) -> None:
        """Count one message; the call that is writing also counts those that arrive meanwhile."""
        self._waiting += 1
        if self._writing:
            return
        self._writing = True
        try:
            while number := self._waiting:
                async with asyncio.timeout(STORE_SECONDS), services.sessions() as session:
                    await deliveries.deactivated(session, number)
                    await session.commit()
                self._waiting -= number
                if (more := self._sparing.spare("deactivated")) is not None:
                    log.warning("webhook_said_to_be_deactivated", times=number, **more)
        finally:
            self._writing = False


async def _store(services: Services, callout: Callout, body: bytes, signed: list[str]) -> str:
    """Store a callout, make its ticket due, and commit; return what the answer says."""
    settle = timedelta(seconds=services.settings.settle_seconds)
    async with services.sessions() as session, session.begin():
        # Queried only for a sender that knows one of our secrets.
        if await webhook.is_refused(session, signed):
            raise Problem(401, "The callout is signed with a secret that was retired.")
        if not await deliveries.is_wanted(session, callout):
            await deliveries.take_note(session, callout)
            return "ignored"
        if len(services.settings.webhook_secrets) > 1:
            await webhook.saw_signed(session, services.settings.webhook_secrets, signed)
        new = await deliveries.receive(session, callout, body, settle)
    log.info("callout", ticket=callout.entity_id, action=callout.action.lower(), new=new)
    return "accepted" if new else "known"


async def _read_body(request: Request) -> bytes:
    """Read a body up to the limit; its Content-Length may be wrong."""
    body = bytearray()
    large: asyncio.Semaphore = request.app.state.large_callouts
    try:
        async with asyncio.timeout(BODY_SECONDS), AsyncExitStack() as stack:
            async for chunk in request.stream():
                if len(body) <= SMALL_BODY < len(body) + len(chunk):
                    await stack.enter_async_context(large)
                body += chunk
                if len(body) > MAX_BODY:
                    raise Problem(413, f"A callout has at most {MAX_BODY} bytes.")
    except TimeoutError:
        raise Problem(408, "The callout did not come as a whole in time.") from None
    return bytes(body)
