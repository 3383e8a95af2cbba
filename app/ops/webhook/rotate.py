"""Change the secret with which Autotask signs: first at our receivers, then at Autotask."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
import uuid

import httpx

from app.autotask.errors import Forbidden, Refused, Unanswered
from app.autotask.webhooks import TicketWebhook, Webhooks
from app.fetch import bounded
from app.mail.addresses import mask
from app.ops.webhook import common
from app.ops.webhook.compare import NAME, PATH, choose_ours
from app.ops.webhook.install import Say
from app.records import webhook
from app.services import Services

_PROBES = 5  # as several receivers may stand behind one address
_RENAMED = f"{NAME} (secret replaced)"
_TRIES = 3  # of a change that has no effect
_PROBE_SECONDS = 10.0  # as long as Autotask waits


async def rotate(services: Services, say: Say = lambda _: None) -> int:
    """Make Autotask sign with the first of WEBHOOK_SECRETS; the others expire. Return the id.

    First every probe that is signed with it must be accepted. Raises WebhookError: then nothing
    is changed at Autotask, unless the text says that Autotask gave no answer.
    """
    public_url, secrets = common.needed(services.settings)
    new, *old = dict.fromkeys(secrets)
    if not old:
        raise common.WebhookError(
            "WEBHOOK_SECRETS has one secret only. Put the new one first and the old one after it, "
            "restart all processes that receive callouts, then rotate."
        )
    async with common.holding(services) as lease:
        calls = await common.calls_of(services, lease)
        hook, _ = choose_ours(await calls.all(), public_url + PATH, None)
        if hook is None:
            raise common.WebhookError("There is no webhook for this address: install it first.")
        for number in range(1, _PROBES + 1):
            await _probe(public_url + PATH, new)
            say(f"Probe {number} of {_PROBES}: the receiver knows the new secret.")
        try:
            await _change(calls, hook, new)
        except Unanswered as error:
            raise common.WebhookError(
                f"Autotask gave no answer ({mask(str(error))}), so it may sign with either secret. "
                "Both are accepted; run it again."
            ) from error
        except (Forbidden, Refused) as error:
            raise common.explain(error) from error
        async with services.sessions() as session, session.begin():
            await webhook.accept_again(session, new)
            await webhook.refuse_soon(session, old)
    say("The old one is refused 15 minutes after the first callout with the new one.")
    return hook.id


async def _change(calls: Webhooks, hook: TicketWebhook, new: str) -> None:
    """Change the secret, and read the webhook back. Raise WebhookError for no effect.

    Autotask does not show the secret, so the name is changed with it: that can be read.
    """
    name = _RENAMED if hook.name == NAME else NAME
    for _ in range(_TRIES):
        await calls.change(hook.id, {"secretKey": new, "name": name})
        shown = await calls.one(hook.id)
        if shown and shown.name == name and shown.secret in (None, new):
            return
    raise common.WebhookError(
        "Autotask answers that the secret was changed, and a reading does not show it. Both are "
        "accepted. Run it again; if that does not help, remove the webhook and install it."
    )


async def _probe(url: str, secret: str) -> None:
    """Post an authentic callout without any effect, over a connection of its own."""
    body = json.dumps({"Action": "Probe", "EntityType": "Probe", "Guid": uuid.uuid4().hex}).encode()
    signature = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha1).digest()).decode()
    headers = {"Content-Type": "application/json", "X-Hook-Signature": f"sha1={signature}"}
    try:
        async with (
            asyncio.timeout(_PROBE_SECONDS),
            httpx.AsyncClient(timeout=_PROBE_SECONDS) as http,
        ):
            request = http.build_request("POST", url, content=body, headers=headers)
            answer = await bounded.fetch(http, request)
    except (TimeoutError, httpx.TimeoutException):
        raise _not(url, f"gave no answer within {_PROBE_SECONDS:.0f} seconds") from None
    except httpx.HTTPError as error:
        raise _not(url, _trouble(error)) from error
    if answer.is_redirect:
        raise _not(url, f"redirects ({answer.status_code}), which Autotask counts as a failure")
    if answer.status_code == 401:
        raise _not(
            url,
            "refused the new secret (401). Restart every process that receives callouts with it. "
            "A secret that was replaced once cannot be used again: make a new one",
        )
    if not answer.is_success:
        raise _not(url, f"answered {answer.status_code}")
    if not _is_ours(answer):
        raise _not(url, "accepted the probe, but not as this service does: what answers there?")


def _is_ours(answer: httpx.Response) -> bool:
    try:
        said = answer.json()
    except ValueError:
        return False
    return isinstance(said, dict) and "status" in said


def _trouble(error: httpx.HTTPError) -> str:
    """Return why there was no answer; an error of TLS in its own words."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"cannot be trusted: TLS fails ({getattr(cause, 'verify_message', cause)})"
        cause = cause.__cause__ or cause.__context__
    if "CERTIFICATE" in str(error) or "SSL" in str(error):
        return f"cannot be trusted: TLS fails ({error})"
    return f"cannot be reached from here ({type(error).__name__}: {error})"


def _not(url: str, why: str) -> common.WebhookError:
    return common.WebhookError(f"{url} {why}. Nothing was changed at Autotask.")
