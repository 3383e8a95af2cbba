"""What every module of the webhook needs: settings, calls, and exclusive access."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from sqlalchemy import select

from app.autotask.calls import Calls
from app.autotask.errors import Forbidden, Refused
from app.autotask.webhooks import Webhooks
from app.db.states import Chore
from app.db.tables import Webhook
from app.due.exclusive import InUse, holding_chore
from app.due.work import Lease, LeaseLost
from app.mail.addresses import mask
from app.ops.webhook.compare import (
    Wanted,
    WebhookAtAutotask,
    choose_changes,
    choose_field,
    choose_ours,
    choose_udfs,
)
from app.services import Services
from app.settings.cc_sources import field_of
from app.settings.settings import Settings

EVERY = timedelta(hours=1)
"""How often the webhook is read back."""

_CURE = (
    "The API user's security level needs `Can create Webhooks` (Admin > Security Levels > Other), "
    "with a maximum number of webhooks of at least 1; webhooks that were deleted may count."
)


class WebhookError(Exception):
    """The webhook cannot be changed now. The text is for a person and names the cure."""


def needed(settings: Settings) -> tuple[str, tuple[str, ...]]:
    """Return PUBLIC_URL and WEBHOOK_SECRETS. Raise WebhookError if one is not set."""
    url, secrets = settings.public_url, settings.webhook_secrets
    names = {"PUBLIC_URL": url, "WEBHOOK_SECRETS": secrets}
    missing = [name for name, value in names.items() if not value]
    if missing or not url:
        raise WebhookError(f"Set {' and '.join(missing)} first: the webhook needs it.")
    return url, secrets


async def calls_of(services: Services, lease: Lease | None) -> Webhooks:
    """Return a client for webhooks. With a lease it makes calls only while that is held."""
    api_url = await services.tenancy.api_url()
    # Calm: if the right to make webhooks is missing, other calls go on.
    throttle = services.budget.throttle(lease, calm=True)
    return Webhooks(Calls(services.http, api_url, services.settings.credentials, throttle))


def explain(error: Forbidden | Refused) -> WebhookError:
    """Return what Autotask refuses, with the cure."""
    said = mask(str(error))[:500].rstrip(".")
    return WebhookError(f"Autotask refuses it: {said}. {_CURE}")


@asynccontextmanager
async def holding(services: Services) -> AsyncIterator[Lease]:
    """Hold the lease of the chore. Raise WebhookError if another process keeps it."""
    chore = Chore.WEBHOOK
    try:
        async with holding_chore(services.sessions, chore, "webhook", EVERY) as lease:
            yield lease
    except InUse:
        raise WebhookError(
            "Another process is busy with the webhook; try again in a minute."
        ) from None
    except LeaseLost:
        raise WebhookError("This took too long, another process went on; run it again.") from None


async def read_wanted(settings: Settings, calls: Webhooks) -> Wanted:
    """Read from Autotask the ids of which the wanted webhook is made."""
    public_url, _ = needed(settings)
    choices = await calls.field_choices()
    field = choose_field(choices)
    if field is None:
        raise WebhookError("Autotask offers no field that a ticket webhook could subscribe to.")
    updates = settings.webhook_updates
    changing, absent = choose_changes(choices) if updates else ((), ())
    names = [name for source in settings.cc_sources if (name := field_of(source))]
    udfs, missing = choose_udfs(names, await calls.udf_choices() if names else ())
    named = await calls.resources_named(settings.autotask_username)
    return Wanted(
        public_url,
        fields=tuple(dict.fromkeys((field, *changing))),
        udfs=udfs,
        missing=missing,
        own_user_id=named[0] if len(named) == 1 else None,
        updates=updates,
        absent=absent,
    )


async def read_webhook(services: Services, calls: Webhooks, url: str) -> WebhookAtAutotask:
    """Read what Autotask has of our webhook."""
    async with services.sessions() as session:
        row = (await session.execute(select(Webhook))).scalar_one_or_none()
    known = (row.webhook_id, row.guid) if row and row.webhook_id is not None else None
    hook, twins = choose_ours(await calls.all(), url, known)
    if hook is None:
        return WebhookAtAutotask()
    return WebhookAtAutotask(
        hook=hook,
        twins=twins,
        fields=tuple(await calls.fields(hook.id)),
        udfs=tuple(await calls.udfs(hook.id)),
        excluded=tuple(await calls.excluded(hook.id)),
    )
