"""Install, repair, show and remove our webhook. Every step may be repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from app.autotask.errors import Forbidden, Refusal, Refused, Unanswered
from app.autotask.webhooks import TicketWebhook, Webhooks
from app.mail.addresses import mask
from app.ops.webhook import common
from app.ops.webhook.compare import (
    NAME,
    PATH,
    Wanted,
    WebhookAtAutotask,
    WebhookReport,
    changes,
    choose_ours,
    compare,
    lacks_exclusion,
    lacks_field,
)
from app.records import webhook
from app.services import Services

log = structlog.get_logger()

Say = Callable[[str], None]

_ROUNDS = 4  # after a missing answer the webhook is read again, then the step is repeated
_TRIES = 3  # of steps that a reading shows no effect of
_READY_SECONDS = 60.0
_READY_POLL = (0.5, 1.0, 2.0, 5.0)


async def install(services: Services, say: Say = lambda _: None) -> WebhookReport:
    """Create our webhook or repair it, wait until it is ready, and report on it.

    Raises WebhookError, and what the client raises.
    """
    common.needed(services.settings)
    async with common.holding(services) as lease:
        calls = await common.calls_of(services, lease)
        found = await repair(services, calls, say)
        async with services.sessions() as session, session.begin():
            await webhook.store_reading(session, found.hook, found.code, found.detail)
    return found


async def status(services: Services) -> WebhookReport:
    """Compare our webhook with what it should be. Nothing is changed."""
    calls = await common.calls_of(services, None)
    return (await read_and_compare(services, calls))[2]


async def remove(services: Services, say: Say = lambda _: None) -> int:
    """Delete every webhook with our address. Return their number."""
    public_url, _ = common.needed(services.settings)
    async with common.holding(services) as lease:
        calls = await common.calls_of(services, lease)
        first, others = choose_ours(await calls.all(), public_url + PATH, None)
        ours = [first, *others] if first else []
        for hook in ours:
            await _delete(calls, hook)
            say(f"Webhook {hook.id} is deleted.")
        async with services.sessions() as session, session.begin():
            await webhook.delete_row(session)
    return len(ours)


async def read_and_compare(
    services: Services, calls: Webhooks
) -> tuple[Wanted, WebhookAtAutotask, WebhookReport]:
    """Read what our webhook should be and what Autotask has, and compare them."""
    wanted = await common.read_wanted(services.settings, calls)
    actual = await common.read_webhook(services, calls, wanted.url)
    return wanted, actual, compare(wanted, actual)


async def repair(services: Services, calls: Webhooks, say: Say = lambda _: None) -> WebhookReport:
    """Make our webhook what it should be, as far as Autotask allows; see install."""
    wanted, actual, found = await read_and_compare(services, calls)
    in_vain = 0
    for _ in range(_ROUNDS):
        if not any(line.code != "not_ready" for line in found.wrong):
            break
        lost = False
        try:
            await _step(services, calls, wanted, actual, say)
        except Unanswered as error:
            lost = True
            log.warning("webhook_unanswered", error=str(error))
            say("Autotask did not answer; reading whether the change took effect.")
        except (Forbidden, Refused) as error:
            if not isinstance(error, Refused) or error.kind is not Refusal.DUPLICATE:
                raise common.explain(error) from error
            log.warning("webhook_was_there", error=mask(str(error)))  # its answer was lost
        before, actual = actual, await common.read_webhook(services, calls, wanted.url)
        found = compare(wanted, actual)
        in_vain += actual == before and not lost
        if in_vain and (found.hook is None or in_vain == _TRIES):
            break  # what Autotask answered is not there; a second webhook must not be made
    if found.hook is None:
        raise common.WebhookError(
            "The webhook could not be created: Autotask gave no answer, or has one for this "
            "address that our API user cannot see. Run it again in six minutes: until then a "
            "request without an answer may still take effect."
        )
    if found.hook.active and not found.hook.ready:
        say("Waiting for Autotask to make it ready.")
        await _ready(calls, found.hook.id)
        found = compare(wanted, await common.read_webhook(services, calls, wanted.url))
    return found


async def _step(
    services: Services, calls: Webhooks, wanted: Wanted, actual: WebhookAtAutotask, say: Say
) -> None:
    """Make the requests that are needed, one after another.

    More than three at once would pass the thread limit, and Autotask would leave fields out:
    https://github.com/msoukhomlinov/n8n-nodes-autotask/issues/4
    """
    if actual.hook is None:
        await _create(services, calls, wanted, say)
        return
    hook = actual.hook
    for twin in actual.twins:
        say(f"Webhook {twin.id} has the same address: deleted.")
        await _delete(calls, twin)
    for field in wanted.fields:
        if lacks_field(field, actual.fields):
            say(f"Field {field.label}.")
            row = next((row for row in actual.fields if row.choice == field.value), None)
            await calls.put_field(hook.id, field.value, row)
    for udf in wanted.udfs:
        if lacks_field(udf, actual.udfs):
            say(f"User-defined field {udf.label}.")
            row = next((row for row in actual.udfs if row.choice == udf.value), None)
            await calls.put_udf(hook.id, udf.value, row)
    own_user_id = wanted.excluded(hook)
    if own_user_id is not None and lacks_exclusion(wanted, actual):
        await _exclude(calls, hook, own_user_id, say)
    await _change(services, calls, wanted, hook, say)


async def _exclude(calls: Webhooks, hook: TicketWebhook, own_user_id: int, say: Say) -> None:
    """Exclude our own user's changes. Without that the webhook is still of use."""
    try:
        await calls.exclude(hook.id, own_user_id)
        say(f"Our own user {own_user_id} is excluded.")
    except Refused as refused:
        log.warning("exclusion_refused", error=mask(str(refused)))
        say(f"Autotask does not let us exclude our own user {own_user_id}.")


async def _create(services: Services, calls: Webhooks, wanted: Wanted, say: Say) -> None:
    """Create the webhook inactive: no callout comes before it is complete."""
    secret = await _secret(services)
    made = await calls.create(
        {
            "name": NAME,
            "secretKey": secret,
            "isActive": False,
            "sendThresholdExceededNotification": False,  # it needs an address
            **wanted.values(),
        }
    )
    say(f"Webhook {made} is created.")


async def _change(
    services: Services, calls: Webhooks, wanted: Wanted, hook: TicketWebhook, say: Say
) -> None:
    """Change the properties that differ, and switch the webhook on."""
    values = changes(wanted, hook)
    if not hook.active:
        # A wrong secret may be why it was disabled, and its secret cannot be read.
        values |= {"isActive": True, "secretKey": await _secret(services)}
    if values:
        say("Switched on." if not hook.active else "Changed: " + ", ".join(sorted(values)) + ".")
        await calls.change(hook.id, values)


async def _secret(services: Services) -> str:
    """Return the secret to sign with, and accept it again if it was replaced."""
    _, secrets = common.needed(services.settings)
    async with services.sessions() as session, session.begin():
        await webhook.accept_again(session, secrets[0])
    return secrets[0]


async def _delete(calls: Webhooks, hook: TicketWebhook) -> None:
    try:
        await calls.delete(hook.id)
    except Refused as refused:
        if refused.kind is not Refusal.MISSING or await calls.one(hook.id) is not None:
            raise common.explain(refused) from refused
    except Forbidden as error:
        raise common.explain(error) from error


async def _ready(calls: Webhooks, webhook_id: int) -> None:
    """Wait until Autotask says that the webhook is ready, a minute at most."""
    ends = asyncio.get_running_loop().time() + _READY_SECONDS
    tries = 0
    while asyncio.get_running_loop().time() < ends:
        await asyncio.sleep(_READY_POLL[min(tries, len(_READY_POLL) - 1)])
        tries += 1
        hook = await calls.one(webhook_id)
        if hook is None or hook.ready:
            return
