"""Deliver webhook callouts as Autotask does: signed, in order, retried, dropped, disabled.

Signature: https://www.autotask.net/help/developerhelp/Content/APIs/Webhooks/
SecretKeyPayloadVerification.htm, delivery: Webhooks_Error_Handling.htm, same folder.
"""

import asyncio
import base64
import hashlib
import hmac
import json
from typing import Any

import httpx

from sandbox.outbox import Attempt, Callout, DroppedCallout, Queue, Subscription
from sandbox.tenant import Tenant

SIGNATURE_HEADER = "X-Hook-Signature"
DISABLE_AFTER = 25
_UNREACHED = (httpx.HTTPError, httpx.InvalidURL, TimeoutError)

# What .NET's System.Text.Json leaves alone of JSON's short escapes, and the ASCII it escapes
# because it could end an HTML context:
# https://learn.microsoft.com/dotnet/standard/serialization/system-text-json/character-encoding
_SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", "\\": "\\\\"}
_HTML = frozenset("\"&'+<>`\x7f")


def encode_callout(payload: dict[str, Any]) -> bytes:
    """Serialise as System.Text.Json does: ASCII only, no spaces, upper-case \\uXXXX escapes."""
    return _encode(payload).encode("ascii")


def sign(secret: str, body: bytes) -> str:
    """Return the value of X-Hook-Signature for a raw body."""
    digest = hmac.new(secret.encode(), body, hashlib.sha1).digest()
    return "sha1=" + base64.b64encode(digest).decode("ascii")


def _encode(value: object) -> str:
    if isinstance(value, dict):
        members = (f"{_text(str(name))}:{_encode(member)}" for name, member in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_encode(member) for member in value) + "]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    return '"' + "".join(_character(character) for character in text) + '"'


def _character(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if " " <= character <= "~" and character not in _HTML:
        return character
    # .NET cannot hold a lone surrogate in UTF-8 output and writes U+FFFD for it.
    safe = "\ufffd" if "\ud800" <= character <= "\udfff" else character
    units = safe.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02X}{units[i + 1]:02X}" for i in range(0, len(units), 2))


class Callouts:
    """Empty a tenant's outbox on the running loop: one task for each webhook and action.

    `timeout` and `retry_after` are seconds; an event gets `max_attempts` attempts.
    """

    def __init__(self, tenant: Tenant) -> None:
        self.timeout = 10.0
        self.retry_after = 30.0
        self.max_attempts = 5
        self._tenant = tenant
        self._tasks: dict[Queue, asyncio.Task[None]] = {}
        self._client: httpx.AsyncClient | None = None

    def wait_idle(self, timeout: float = 10.0) -> None:
        """Block until every callout is delivered or dropped; raise TimeoutError after `timeout`.

        From a coroutine call it as `await asyncio.to_thread(callouts.wait_idle)`, as the receiver
        may live on the same loop.
        """
        outbox = self._tenant.outbox
        with outbox.changed:
            if not outbox.changed.wait_for(lambda: not any(outbox.queues.values()), timeout):
                raise TimeoutError("callouts are still waiting to be delivered")

    def start(self) -> None:
        """Begin delivering, also what has been waiting; call it on the server's loop."""
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(self._look)

        self._tenant.outbox.wake = wake
        self._look()

    async def stop(self) -> None:
        """End all deliveries; what is not delivered stays in the outbox."""
        self._tenant.outbox.wake = lambda: None
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def _look(self) -> None:
        with self._tenant.lock:
            waiting = [key for key, queue in self._tenant.outbox.queues.items() if queue]
        for key in waiting:
            if key not in self._tasks:
                self._tasks[key] = asyncio.create_task(self._drain(key))

    async def _drain(self, key: Queue) -> None:
        queue = self._tenant.outbox.queues[key]
        try:
            while queue:
                await self._deliver(queue[0])
                self._tenant.outbox.finish(key)
        finally:
            del self._tasks[key]

    async def _deliver(self, callout: Callout) -> None:
        subscription, attempt, error = callout.subscription, 0, "the webhook is not active"
        while subscription.active and attempt < self.max_attempts:
            if attempt:
                await asyncio.sleep(self.retry_after)
                self._tenant.outbox.renumber(callout)
            attempt += 1
            error = await self._attempt(callout)
            if not error:
                subscription.failures = 0
                return
        dropped = DroppedCallout(subscription.id, callout.payload, attempt, error)
        self._tenant.outbox.dropped.append(dropped)
        subscription.failures += 1
        if subscription.active and subscription.failures >= DISABLE_AFTER:
            subscription.active = False
            await self._deactivated(subscription)

    async def _attempt(self, callout: Callout) -> str:
        """POST a callout once; return what went wrong, or nothing."""
        body = encode_callout(callout.payload)
        signature = sign(callout.subscription.secret, body)
        at, status, error = self._tenant.clock(), None, ""
        try:
            status = await self._post(callout.subscription.url, body, signature)
        except _UNREACHED as failed:
            error = type(failed).__name__
        if status is not None and not 200 <= status < 300:
            error = f"status {status}"
        attempt = Attempt(callout.subscription.id, callout.payload, status, at)
        self._tenant.outbox.attempts.append(attempt)
        return error

    async def _deactivated(self, subscription: Subscription) -> None:
        switches = self._tenant.switches
        body = encode_callout({"Action": "Deactivated", "Guid": subscription.guid})
        signature = sign(subscription.secret, body) if switches.deactivated_signed else None
        targets = {
            "deactivation_url": (subscription.deactivation_url,),
            "webhook_url": (subscription.url,),
            "both": (subscription.deactivation_url, subscription.url),
        }
        for url in targets[switches.deactivated_to]:
            try:
                await self._post(url, body, signature)
            except _UNREACHED:
                continue  # no page promises a second attempt for this message

    async def _post(self, url: str, body: bytes, signature: str | None) -> int:
        if self._client is None:
            # Not in start(): loading the CA certificates takes longer than starting the server.
            self._client = httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=None)
        headers = {"Content-Type": "application/json; charset=utf-8"}
        if signature is not None:
            headers[SIGNATURE_HEADER] = signature
        async with asyncio.timeout(self.timeout):
            response = await self._client.post(url, content=body, headers=headers)
        return response.status_code
