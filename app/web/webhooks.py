"""Autotask's callouts in. Stored before they are answered; worked on later."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from fastapi import APIRouter, Request, Response

from app.autotask.callouts import BadCallout, Callout, parse_callout, signature_is_valid
from app.records import deliveries, webhook
from app.services import Services
from app.web.problems import Problem

log = structlog.get_logger()
router = APIRouter(tags=["webhooks"])

MAX_BODY = 256 * 1024
STORE_SECONDS = 8.0
"""Autotask waits ten seconds for an answer:
https://www.autotask.net/help/developerhelp/Content/APIs/Webhooks/Webhooks_Error_Handling.htm"""


@router.post("/webhooks/autotask", status_code=202, include_in_schema=False)
async def receive(request: Request) -> dict[str, str]:
    """Take a callout: verified on its raw bytes, then parsed, then stored, then answered."""
    services: Services = request.app.state.services
    secrets = services.settings.webhook_secrets
    if not secrets:
        raise Problem(404, "The webhook is off: set WEBHOOK_SECRETS to switch it on.")
    body = await _read_body(request)
    signature = request.headers.get("x-hook-signature")
    signed = [secret for secret in secrets if signature_is_valid([secret], signature, body)]
    if not signed:
        raise Problem(401, "The X-Hook-Signature header is missing or not of our secret.")
    try:
        callout = parse_callout(body)
    except BadCallout as error:
        raise Problem(400, f"The callout cannot be understood: {error}.") from None
    async with asyncio.timeout(STORE_SECONDS):
        return {"status": await _store(services, callout, body, signed)}


@router.post("/webhooks/autotask/deactivated", include_in_schema=False)
async def deactivated(request: Request) -> Response:
    """Take note that Autotask says it has disabled the webhook. Anybody can say so: no more."""
    services: Services = request.app.state.services
    counter: DeactivationCounter = request.app.state.deactivations
    await counter.add(services)
    return Response(status_code=200)


class DeactivationCounter:
    """Counts what anybody may send, one transaction at a time however many come."""

    def __init__(self) -> None:
        self._waiting = 0
        self._writing = False

    async def add(self, services: Services) -> None:
        """Count one; whoever writes takes along those that came meanwhile."""
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
                log.warning("webhook_said_to_be_deactivated", times=number)
        finally:
            self._writing = False


async def _store(services: Services, callout: Callout, body: bytes, signed: list[str]) -> str:
    """Store a callout and make its ticket due; committed when this returns."""
    settle = timedelta(seconds=services.settings.settle_seconds)
    async with services.sessions() as session, session.begin():
        # Here, where only somebody who knows one of our secrets makes us ask.
        if await webhook.is_retired(session, signed):
            raise Problem(401, "The callout is signed with a secret that was retired.")
        if not await deliveries.is_wanted(session, callout):
            await deliveries.take_note(session, callout)
            return "ignored"
        new = await deliveries.receive(session, callout, body, settle)
    log.info("callout", ticket=callout.entity_id, action=callout.action.lower(), new=new)
    return "accepted" if new else "known"


async def _read_body(request: Request) -> bytes:
    """Read a body that may lie about its length, up to the limit."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Problem(413, f"A callout has at most {MAX_BODY} bytes.")
    return bytes(body)
