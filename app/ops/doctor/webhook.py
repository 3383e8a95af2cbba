"""Check the webhook at Autotask, and whether our public address accepts callouts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx
from sqlalchemy import func, select

from app.autotask.errors import Forbidden, Refused
from app.autotask.webhooks import Webhooks
from app.db.tables import Delivery
from app.fetch import bounded
from app.ops.doctor.deployment import Deployment
from app.ops.doctor.findings import Finding, ok, problem, skipped, warning
from app.ops.webhook.common import WebhookError, explain
from app.ops.webhook.install import read_and_compare

PATH = "/webhooks/autotask"
_SECONDS = 10.0  # that Autotask waits for us
_PROXY = "Check the reverse proxy, DNS and the certificate: docs/setup/network.md."
_INSTALL = "Run `autotask-cc webhook install`; docs/setup/autotask.md, step 5."


async def webhook(deployment: Deployment) -> Sequence[Finding]:
    """Compare the webhook at Autotask with what it should be, and show the last callout."""
    settings = deployment.settings
    if not settings.webhook_secrets:
        text = "The webhook is off (no WEBHOOK_SECRETS): new tickets are found by comparison alone."
        cure = (
            f"Nothing, if every {settings.reconcile_interval:g} s is often enough. Else: {_INSTALL}"
        )
        return [warning("webhook", text, cure)]
    callouts = await _last_callout(deployment)
    if not settings.public_url:
        text = "PUBLIC_URL is not set, so it is not known which webhook is ours."
        cure = "Set it: then the service reads its webhook back and reports when it is off."
        return [warning("webhook", text, cure), callouts]
    try:
        wanted, _, report = await read_and_compare(
            deployment.services, Webhooks(deployment.calls())
        )
    except WebhookError as error:
        return [problem("webhook", str(error), _INSTALL), callouts]
    except (Forbidden, Refused) as error:
        return [problem("webhook", str(explain(error)), _INSTALL), callouts]
    wrong = [
        problem(f"webhook_{line.code}", f"{line.what}: {line.there}.", _INSTALL)
        for line in report.wrong
    ]
    found = wrong or [ok("webhook", "The webhook is as it should be.")]
    return [*found, *_absent(wanted.absent), callouts]


def _absent(names: Sequence[str]) -> Sequence[Finding]:
    """Name the changes that WEBHOOK_UPDATES cannot subscribe to: webhooks have no such field."""
    if not names:
        return []
    text = f"Changes of {' and '.join(names)} are not called out: webhooks offer no such field."
    cure = "Nothing, if every RECONCILE_INTERVAL is often enough; else report the field's name."
    return [warning("webhook_absent", text, cure)]


async def _last_callout(deployment: Deployment) -> Finding:
    if not deployment.schema_fits:
        return skipped("callouts", "When the last callout came is not known: see `database`.")
    async with deployment.records() as session:
        last = await session.scalar(select(func.max(Delivery.received_at)))
    if last is None:
        why = "No callout about a new ticket has come yet."
        return skipped("callouts", why, "Run `autotask-cc watch`, and send a test mail.")
    return ok("callouts", f"The last callout came at {last:%Y-%m-%d %H:%M:%S} UTC.")


async def public(deployment: Deployment) -> Sequence[Finding]:
    """Post an unsigned callout to PUBLIC_URL. This service must refuse it, and no other one."""
    settings = deployment.settings
    if not settings.public_url or not settings.webhook_secrets:
        why = "PUBLIC_URL or WEBHOOK_SECRETS is not set, so the public address is not tested."
        return [skipped("public", why)]
    url = settings.public_url + PATH
    try:
        # Connections of its own: another Date, and a proxy's answer counts as it is.
        async with asyncio.timeout(2 * _SECONDS), httpx.AsyncClient(timeout=_SECONDS) as http:
            unsigned = http.build_request("POST", url, content=b"{}")
            answer = await bounded.fetch(http, unsigned)
            health = http.build_request("GET", f"{settings.public_url}/health/work")
            inside = await bounded.fetch(http, health)
    except (httpx.HTTPError, TimeoutError) as error:
        why = f" ({error})" if str(error) else ""
        text = f"{url} is not reached from this machine: {type(error).__name__}{why}."
        how = f"{_PROXY} Autotask may reach it all the same, as it calls from outside."
        return [warning("public", text, how)]
    return _judge_public(url, answer, inside)


def _judge_public(url: str, answer: httpx.Response, inside: httpx.Response) -> Sequence[Finding]:
    """Judge the answer to an unsigned callout, and whether more is public than necessary."""
    if answer.status_code != 401 or "X-Hook-Signature" not in answer.text:
        text = f"{url} answers {answer.status_code}, where this service answers 401."
        return [problem("public", text, _PROXY)]
    found = [ok("public", f"{url} leads to this service, which refuses unsigned callouts.")]
    if answer.url.scheme == "https" and "mail_tickets" in inside.text:
        text = "The public address shows /health/work, too, and perhaps /admin and /docs."
        found.append(warning("public_more", text, "Let only /webhooks/ through. " + _PROXY))
    return found
