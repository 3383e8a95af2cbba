"""Make our webhook what it should be, look at it, end it. All of it may be done again."""

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
    Report,
    There,
    Wanted,
    changes,
    choose_ours,
    lacks_exclusion,
    lacks_field,
    report,
)
from app.records import webhook
from app.services import Services

log = structlog.get_logger()

Say = Callable[[str], None]

_ROUNDS = 4  # what got no answer is read again, then done again
_READY_SECONDS = 60.0
_READY_POLL = (0.5, 1.0, 2.0, 5.0)


async def install(services: Services, say: Say = lambda _: None) -> Report:
    """Make our webhook, or mend what differs; wait until it is ready, and give what is there then.

    Raises WebhookError, or what the client raises.
    """
    common.needed(services.settings)
    async with common.holding(services) as lease:
        calls = await common.calls_of(services, lease)
        found = await mend(services, calls, say)
        async with services.sessions() as session, session.begin():
            await webhook.keep(session, found.hook, found.code, found.detail)
    return found


async def status(services: Services) -> Report:
    """Compare our webhook with what it should be; nothing is changed."""
    calls = await common.calls_of(services, None)
    return (await look(services, calls))[2]


async def remove(services: Services, say: Say = lambda _: None) -> int:
    """Delete what has our address, and nothing else; gives how many there were."""
    public_url, _ = common.needed(services.settings)
    async with common.holding(services) as lease:
        calls = await common.calls_of(services, lease)
        first, others = choose_ours(await calls.all(), public_url + PATH, None)
        ours = [first, *others] if first else []
        for hook in ours:
            await _delete(calls, hook)
            say(f"Webhook {hook.id} is deleted.")
        async with services.sessions() as session, session.begin():
            await webhook.forget(session)
    return len(ours)


async def look(services: Services, calls: Webhooks) -> tuple[Wanted, There, Report]:
    """Read what should be and what is there, and compare them."""
    wanted = await common.wanted(services.settings, calls)
    there = await common.read(services, calls, wanted.url)
    return wanted, there, report(wanted, there)


async def mend(services: Services, calls: Webhooks, say: Say = lambda _: None) -> Report:
    """Bring our webhook to what it should be, as far as Autotask lets us; see install."""
    wanted, there, found = await look(services, calls)
    for _ in range(_ROUNDS):
        if not any(line.code != "not_ready" for line in found.wrong):
            break
        lost = False
        try:
            await _step(services, calls, wanted, there, say)
        except Unanswered as error:
            lost = True
            log.warning("webhook_unanswered", error=str(error))
            say("Autotask did not answer; looking what became of it.")
        except (Forbidden, Refused) as error:
            if not isinstance(error, Refused) or error.kind is not Refusal.DUPLICATE:
                raise common.explain(error) from error
            log.warning("webhook_was_there", error=mask(str(error)))  # its answer was lost
        before, there = there, await common.read(services, calls, wanted.url)
        found = report(wanted, there)
        if there == before and not lost:
            break  # what is still wrong stays so
    if found.hook is None:
        raise common.WebhookError(
            "The webhook could not be made: Autotask gave no answer, or says that there is one for "
            "this address which our API user cannot see. Run it again in six minutes; a request "
            "without an answer may take effect until then."
        )
    if found.hook.active and not found.hook.ready:
        say("Waiting for Autotask to make it ready.")
        await _ready(calls, found.hook.id)
        found = report(wanted, await common.read(services, calls, wanted.url))
    return found


async def _step(
    services: Services, calls: Webhooks, wanted: Wanted, there: There, say: Say
) -> None:
    """Make all requests that lead from what is there to what should be, one after another.

    More than three at once would be refused for the thread limit, and fields left out:
    https://github.com/msoukhomlinov/n8n-nodes-autotask/issues/4
    """
    if there.hook is None:
        await _create(services, calls, wanted, say)
        return
    hook = there.hook
    for twin in there.twins:
        say(f"Webhook {twin.id} has the same address: deleted.")
        await _delete(calls, twin)
    for field in wanted.fields:
        if lacks_field(field, there.fields):
            say(f"Field {field.label}.")
            row = next((row for row in there.fields if row.choice == field.value), None)
            await calls.put_field(hook.id, field.value, row)
    for udf in wanted.udfs:
        if lacks_field(udf, there.udfs):
            say(f"User-defined field {udf.label}.")
            row = next((row for row in there.udfs if row.choice == udf.value), None)
            await calls.put_udf(hook.id, udf.value, row)
    us = wanted.excluded(hook)
    if us is not None and lacks_exclusion(wanted, there):
        await _exclude(calls, hook, us, say)
    await _change(services, calls, wanted, hook, say)


async def _exclude(calls: Webhooks, hook: TicketWebhook, us: int, say: Say) -> None:
    """Leave out what our own user does; without that the webhook is still of use."""
    try:
        await calls.exclude(hook.id, us)
        say(f"Our own user {us} is excluded.")
    except Refused as refused:
        log.warning("exclusion_refused", error=mask(str(refused)))
        say(f"Autotask does not let us exclude our own user {us}.")


async def _create(services: Services, calls: Webhooks, wanted: Wanted, say: Say) -> None:
    """Make the webhook, inactive: nothing is called out before it is whole."""
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
    say(f"Webhook {made} is made.")


async def _change(
    services: Services, calls: Webhooks, wanted: Wanted, hook: TicketWebhook, say: Say
) -> None:
    """Change what differs of the webhook's own properties, and switch it on."""
    values = changes(wanted, hook)
    if not hook.active:
        # A secret that is not ours may be why it was disabled: nobody can read which it has.
        values |= {"isActive": True, "secretKey": await _secret(services)}
    if values:
        say("Switched on." if not hook.active else "Changed: " + ", ".join(sorted(values)) + ".")
        await calls.change(hook.id, values)


async def _secret(services: Services) -> str:
    """Give the secret to sign with, valid again if it had been retired."""
    _, secrets = common.needed(services.settings)
    async with services.sessions() as session, session.begin():
        await webhook.revive(session, secrets[0])
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
    """Wait until Autotask says that callouts flow, a minute at most."""
    ends = asyncio.get_running_loop().time() + _READY_SECONDS
    tries = 0
    while asyncio.get_running_loop().time() < ends:
        await asyncio.sleep(_READY_POLL[min(tries, len(_READY_POLL) - 1)])
        tries += 1
        hook = await calls.one(webhook_id)
        if hook is None or hook.ready:
            return
