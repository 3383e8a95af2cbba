"""Show the webhooks of an outbox as records, as the API lists them."""

from datetime import datetime

from sandbox.lag import Table
from sandbox.model import Entity, Record
from sandbox.outbox import Outbox, Subscription
from sandbox.switches import Switches
from sandbox.webhook_model import FIELDS, UDF_FIELDS, WEBHOOKS

EVENTS = {
    "isSubscribedToCreateEvents": "Create",
    "isSubscribedToUpdateEvents": "Update",
    "isSubscribedToDeleteEvents": "Delete",
}


def webhook_table(outbox: Outbox, entity: Entity, now: datetime, switches: Switches) -> Table:
    """Return the webhooks by id, or all rows of one kind that hang below them."""
    webhooks = outbox.subscriptions.values()
    if entity is WEBHOOKS:
        return {one.id: _record(one, now, switches) for one in webhooks}
    return {number: row for one in webhooks for number, row in rows_of(one, entity).items()}


def rows_of(webhook: Subscription, entity: Entity) -> Table:
    """Return a webhook's own rows of one kind, to be read and changed."""
    if entity is FIELDS:
        return webhook.fields
    return webhook.udf_fields if entity is UDF_FIELDS else webhook.excluded


def _record(webhook: Subscription, now: datetime, switches: Switches) -> Record:
    return {
        "id": webhook.id,
        "deactivationUrl": webhook.deactivation_url,
        "isActive": webhook.active,
        "isReady": webhook.is_ready(now),
        **{name: action in webhook.actions for name, action in EVENTS.items()},
        "name": webhook.name,
        "notificationEmailAddress": webhook.notification_email,
        "ownerResourceID": webhook.owner,
        "secretKey": webhook.secret if switches.secret_shown else None,
        "sendThresholdExceededNotification": webhook.notify,
        "webhookGUID": webhook.guid,
        "webhookUrl": webhook.url,
    }
