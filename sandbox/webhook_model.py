"""Describe the records of ticket webhooks: the webhook, and what hangs below it.

https://www.autotask.net/help/developerhelp/Content/APIs/Webhooks/REST_WebhooksEntity.htm
"""

from sandbox.model import make_entity

_ROW = "webhookID"

WEBHOOKS = make_entity(
    "TicketWebhooks",
    "TicketWebhook",
    {
        "long": "id",
        "str": "deactivationUrl name notificationEmailAddress secretKey webhookGUID webhookUrl",
        "bool": "isActive isReady isSubscribedToCreateEvents isSubscribedToDeleteEvents"
        " isSubscribedToUpdateEvents sendThresholdExceededNotification",
        "int": "ownerResourceID",
    },
    lengths={
        "name": 50,
        "webhookUrl": 500,
        "deactivationUrl": 500,
        "secretKey": 64,
        "notificationEmailAddress": 150,
    },
    required="name webhookUrl deactivationUrl secretKey isActive sendThresholdExceededNotification",
    read_only="isReady ownerResourceID webhookGUID",
    not_queryable="secretKey",
)

FIELDS = make_entity(
    "TicketWebhookFields",
    "TicketWebhookField",
    {
        "long": "id",
        "int": f"fieldID {_ROW}",
        "bool": "isDisplayAlwaysField isSubscribedField",
    },
    required="fieldID isDisplayAlwaysField isSubscribedField",
)

UDF_FIELDS = make_entity(
    "TicketWebhookUdfFields",
    "TicketWebhookUdfField",
    {
        "long": "id",
        "int": f"udfFieldID {_ROW}",
        "bool": "isDisplayAlwaysField isSubscribedField",
    },
    required="udfFieldID isDisplayAlwaysField isSubscribedField",
)

EXCLUDED = make_entity(
    "TicketWebhookExcludedResources",
    "TicketWebhookExcludedResource",
    {"long": "id", "int": f"resourceID {_ROW}"},
    required="resourceID",
)

WEBHOOK_ENTITIES = {one.name: one for one in (WEBHOOKS, FIELDS, UDF_FIELDS, EXCLUDED)}
