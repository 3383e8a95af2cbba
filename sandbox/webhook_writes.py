"""Make, change and delete ticket webhooks for an API client, by Autotask's rules.

https://www.autotask.net/help/developerhelp/Content/APIs/Webhooks/REST_WebhooksEntity.htm,
REST_WebhookFieldsEntity.htm and Webhooks_Error_Handling.htm, same folder.
"""

import itertools
import re
import uuid
from datetime import timedelta
from typing import Any

from sandbox.model import RESOURCES, TICKETS, Entity, Record, RefusedError
from sandbox.outbox import Action, Subscription
from sandbox.reads import DeniedError
from sandbox.tenant import Tenant
from sandbox.webhook_model import EXCLUDED, FIELDS, UDF_FIELDS, WEBHOOKS
from sandbox.webhook_table import EVENTS, rows_of
from sandbox.writes import NO_SUCH_ROW, check_required, id_of, read_body

_FIRST_FIELD, _FIRST_UDF = 201, 29683101  # ids of their own: neither names nor ids of the fields
_ACTIONS: tuple[Action, ...] = ("Create", "Update", "Delete")
_rows = itertools.count(901)


def field_choices(tenant: Tenant, entity: Entity) -> list[tuple[int, str]]:
    """Return what a webhook's field can be, or its user-defined field: ids and labels."""
    if entity is UDF_FIELDS:
        return list(enumerate(tenant.udfs.get(TICKETS.name, []), _FIRST_UDF))
    names = [field.name for field in TICKETS.fields.values() if field.kind != "udfs"]
    words = tenant.switches.webhook_field_label == "words"
    return [
        (number, _words(name) if words else name)
        for number, name in enumerate(sorted(names), _FIRST_FIELD)
    ]


def _words(name: str) -> str:
    """Write a name as the UI does: ticketNumber, Ticket Number."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return words[0].upper() + words[1:]


def create_webhook(tenant: Tenant, body: object) -> int:
    """Make a webhook of the API user and return its id."""
    _check_right(tenant)
    values, _ = read_body(WEBHOOKS, body, tenant.switches)
    check_required(WEBHOOKS, values)
    outbox, switches = tenant.outbox, tenant.switches
    if len(outbox.subscriptions) >= switches.webhook_limit:
        raise RefusedError(switches.texts["webhook_limit"])
    webhook = Subscription(
        id=0,
        url=values["webhookUrl"],
        deactivation_url=values["deactivationUrl"],
        secret=values["secretKey"],
        guid=str(uuid.uuid4()),
        name=values["name"],
        actions=frozenset(),
        active=False,
        owner=tenant.api_resource_id,
    )
    _apply(tenant, webhook, values)
    webhook.id = outbox.next_id()
    outbox.subscriptions[webhook.id] = webhook
    return webhook.id


def change_webhook(tenant: Tenant, body: object) -> int:
    """Change what the body names of a webhook (PATCH)."""
    _check_right(tenant)
    webhook = _webhook(tenant, id_of(body))
    values, _ = read_body(WEBHOOKS, body, tenant.switches)
    record = {"secretKey": webhook.secret, **tenant.table(WEBHOOKS)[webhook.id]} | values
    record["secretKey"] = values.get("secretKey", webhook.secret)
    check_required(WEBHOOKS, record)
    _apply(tenant, webhook, values)
    return webhook.id


def delete_webhook(tenant: Tenant, number: int) -> int:
    """End a webhook; what waits to be called out is dropped with it."""
    _check_right(tenant)
    if number not in tenant.outbox.subscriptions:
        raise RefusedError(NO_SUCH_ROW)
    tenant.outbox.subscriptions.pop(number).active = False
    return number


def create_row(tenant: Tenant, entity: Entity, parent: int, body: object) -> int:
    """Add a field, a user-defined field or an excluded resource to a webhook."""
    _check_right(tenant)
    webhook = _webhook(tenant, parent)
    values, _ = read_body(entity, body, tenant.switches)
    check_required(entity, values)
    if values.get("webhookID", parent) not in (None, parent):
        raise RefusedError("The webhookID cannot differ from that of the parent.")
    _check_choice(tenant, entity, values)
    own = _own(entity)
    if any(row[own] == values[own] for row in rows_of(webhook, entity).values()):
        raise RefusedError(f"The {own} is on this webhook already.")
    number = next(_rows)
    rows_of(webhook, entity)[number] = {"id": number, **values, "webhookID": parent}
    _look_for_fields(tenant, webhook)
    return number


def change_row(tenant: Tenant, entity: Entity, parent: int, body: object) -> int:
    """Change what the body names of a webhook's row (PATCH)."""
    _check_right(tenant)
    webhook = _webhook(tenant, parent)
    row = rows_of(webhook, entity).get(id_of(body))
    if row is None:
        raise RefusedError("No matching records found.")
    values, _ = read_body(entity, body, tenant.switches)
    after = {**row, **values, "webhookID": parent}
    check_required(entity, after)
    _check_choice(tenant, entity, after)
    row.update(after)
    _look_for_fields(tenant, webhook)
    return int(row["id"])


def delete_row(tenant: Tenant, entity: Entity, parent: int, number: int) -> int:
    """Take a row off a webhook."""
    _check_right(tenant)
    webhook = _webhook(tenant, parent)
    if number not in rows_of(webhook, entity):
        raise RefusedError(NO_SUCH_ROW)
    del rows_of(webhook, entity)[number]
    _look_for_fields(tenant, webhook)
    return number


def _check_right(tenant: Tenant) -> None:
    if tenant.switches.webhook_right == "status_403":
        raise DeniedError
    if tenant.switches.webhook_right == "error_500":
        raise RefusedError(tenant.switches.texts["webhook_right"])


def _webhook(tenant: Tenant, number: int) -> Subscription:
    webhook = tenant.outbox.subscriptions.get(number)
    if webhook is None:
        raise RefusedError("No matching records found.")
    return webhook


def _own(entity: Entity) -> str:
    return {FIELDS.name: "fieldID", UDF_FIELDS.name: "udfFieldID"}.get(entity.name, "resourceID")


def _check_choice(tenant: Tenant, entity: Entity, values: Record) -> None:
    own = _own(entity)
    if entity is EXCLUDED:
        known = values[own] == tenant.api_resource_id or values[own] in tenant.table(RESOURCES)
    else:
        known = values[own] in dict(field_choices(tenant, entity))
    if not known:
        raise RefusedError(f"Value does not reference an existing entity for {own}.")


def _apply(tenant: Tenant, webhook: Subscription, values: dict[str, Any]) -> None:
    """Write values to a webhook, or refuse all of them."""
    url = values.get("webhookUrl", webhook.url)
    asked = {action for name, action in EVENTS.items() if values.get(name)}
    kept = {a for name, a in EVENTS.items() if a in webhook.actions and name not in values}
    actions = frozenset(action for action in _ACTIONS if action in asked | kept)
    switches = tenant.switches
    if switches.duplicate_webhook == "refused" and any(
        other.url.lower() == url.lower() and other.actions & actions
        for other in tenant.outbox.subscriptions.values()
        if other is not webhook
    ):
        raise RefusedError(switches.texts["webhook_duplicate"])
    active = bool(values.get("isActive", webhook.active))
    if active and webhook.ready_at is None and switches.activate_without_field == "refused":
        raise RefusedError(switches.texts["webhook_field"])
    if active and not webhook.active:
        webhook.failures = 0
    webhook.url, webhook.actions, webhook.active = url, actions, active
    webhook.name = values.get("name", webhook.name)
    webhook.deactivation_url = values.get("deactivationUrl", webhook.deactivation_url)
    webhook.secret = values.get("secretKey", webhook.secret)
    webhook.notification_email = values.get("notificationEmailAddress", webhook.notification_email)
    webhook.notify = bool(values.get("sendThresholdExceededNotification", webhook.notify))


def _look_for_fields(tenant: Tenant, webhook: Subscription) -> None:
    """Set when the webhook is ready: a while after its first subscribed field."""
    rows = (*webhook.fields.values(), *webhook.udf_fields.values())
    if not any(row["isSubscribedField"] for row in rows):
        webhook.ready_at = None
    elif webhook.ready_at is None:
        pause = timedelta(seconds=tenant.switches.webhook_ready_after)
        webhook.ready_at = tenant.clock() + pause
