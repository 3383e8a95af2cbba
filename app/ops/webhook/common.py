"""What all of webhook care needs: the settings, the calls, and that one at a time is at it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from sqlalchemy import select

from app.autotask.calls import Calls
from app.autotask.errors import Forbidden, Refused
from app.autotask.webhooks import Webhooks
from app.db.tables import Webhook
from app.due import work
from app.due.exclusive import InUse, holding_chore
from app.due.work import Lease, LeaseLost
from app.mail.addresses import mask
from app.ops.webhook.compare import (
    There,
    Wanted,
    choose_changes,
    choose_field,
    choose_ours,
    choose_udfs,
)
from app.services import Services
from app.settings.settings import Settings

EVERY = timedelta(hours=1)
"""How often ours is read back."""

_CURE = (
    "The API user's security level needs `Can create Webhooks` (Admin > Security Levels > Other), "
    "with a maximum number of webhooks of at least 1; webhooks that were deleted may count."
)


class WebhookError(Exception):
    """The webhook cannot be cared for now; the text is for a person, with the cure."""


def needed(settings: Settings) -> tuple[str, tuple[str, ...]]:
    """Give PUBLIC_URL and WEBHOOK_SECRETS, or raise WebhookError."""
    url, secrets = settings.public_url, settings.webhook_secrets
    names = {"PUBLIC_URL": url, "WEBHOOK_SECRETS": secrets}
    missing = [name for name, value in names.items() if not value]
    if missing or not url:
        raise WebhookError(f"Set {' and '.join(missing)} first: the webhook cannot do without.")
    return url, secrets


async def calls_of(services: Services, lease: Lease | None) -> Webhooks:
    """Speak to Autotask about webhooks; with a lease only as long as that is held."""
    api_url = await services.tenancy.api_url()
    # The right to make webhooks, where that is missing, must not stop all other calls.
    throttle = services.budget.throttle(lease, calm=True)
    return Webhooks(Calls(services.http, api_url, services.settings.credentials, throttle))


def explain(error: Forbidden | Refused) -> WebhookError:
    """Say what Autotask refuses, and what helps."""
    said = mask(str(error))[:500].rstrip(".")
    return WebhookError(f"Autotask refuses it: {said}. {_CURE}")


@asynccontextmanager
async def holding(services: Services) -> AsyncIterator[Lease]:
    """Be the only one at it: the lease of the chore. Raises WebhookError if another one stays."""
    chore = work.Chore.WEBHOOK
    try:
        async with holding_chore(services.sessions, chore, "webhook", EVERY) as lease:
            yield lease
    except InUse:
        raise WebhookError(
            "Another process is busy with the webhook; try again in a minute."
        ) from None
    except LeaseLost:
        raise WebhookError("This took too long, another process went on; run it again.") from None


async def wanted(settings: Settings, calls: Webhooks) -> Wanted:
    """Ask for the ids that only this tenant knows."""
    public_url, _ = needed(settings)
    choices = await calls.field_choices()
    field = choose_field(choices)
    if field is None:
        raise WebhookError("Autotask offers no field that a ticket webhook could subscribe to.")
    updates = settings.webhook_updates
    changing, absent = choose_changes(choices) if updates else ((), ())
    names = [one.removeprefix("udf:") for one in settings.cc_sources if one.startswith("udf:")]
    udfs, missing = choose_udfs(names, await calls.udf_choices() if names else ())
    named = await calls.resources_named(settings.autotask_username)
    return Wanted(
        public_url,
        fields=tuple(dict.fromkeys((field, *changing))),
        udfs=udfs,
        missing=missing,
        us=named[0] if len(named) == 1 else None,
        updates=updates,
        absent=absent,
    )


async def read(services: Services, calls: Webhooks, url: str) -> There:
    """Read what is there of ours."""
    async with services.sessions() as session:
        row = (await session.execute(select(Webhook))).scalar_one_or_none()
    known = (row.webhook_id, row.guid) if row and row.webhook_id is not None else None
    hook, twins = choose_ours(await calls.all(), url, known)
    if hook is None:
        return There()
    return There(
        hook=hook,
        twins=twins,
        fields=tuple(await calls.fields(hook.id)),
        udfs=tuple(await calls.udfs(hook.id)),
        excluded=tuple(await calls.excluded(hook.id)),
    )
