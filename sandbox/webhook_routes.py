"""Map the routes of ticket webhooks to answers."""

from collections.abc import Callable
from typing import Any

from sandbox import reads, webhook_writes
from sandbox.entityinfo import webhook_field_info
from sandbox.model import Entity
from sandbox.reads import Ask, Handler
from sandbox.webhook_model import EXCLUDED, FIELDS, UDF_FIELDS, WEBHOOKS

_ROOT = "/v1.0/ticketwebhooks"

CHILDREN = {
    ("ticketwebhooks", "fields"): FIELDS,
    ("ticketwebhooks", "udffields"): UDF_FIELDS,
    ("ticketwebhooks", "excludedresources"): EXCLUDED,
}


def _done(write: Callable[[Ask], int]) -> Handler:
    def handler(ask: Ask) -> dict[str, Any]:
        return {"itemId": write(ask)}

    return handler


def _definitions(ask: Ask) -> dict[str, Any]:
    choices = webhook_writes.field_choices(ask.tenant, ask.entity)
    return {"fields": webhook_field_info(ask.entity, choices, ask.tenant.switches)}


_create = _done(lambda a: webhook_writes.create_row(a.tenant, a.entity, a.ids[0], a.body))
_change = _done(lambda a: webhook_writes.change_row(a.tenant, a.entity, a.ids[0], a.body))
_delete = _done(lambda a: webhook_writes.delete_row(a.tenant, a.entity, *a.ids))

TABLE: list[tuple[str, Entity, dict[str, Handler]]] = [
    (
        _ROOT,
        WEBHOOKS,
        {
            "POST": _done(lambda a: webhook_writes.create_webhook(a.tenant, a.body)),
            "PATCH": _done(lambda a: webhook_writes.change_webhook(a.tenant, a.body)),
        },
    ),
    (f"{_ROOT}/query", WEBHOOKS, {"GET": reads.query, "POST": reads.query}),
    (f"{_ROOT}/query/next", WEBHOOKS, {"GET": reads.next_page, "POST": reads.next_page}),
    (
        f"{_ROOT}/{{id}}",
        WEBHOOKS,
        {
            "GET": reads.get_item,
            "DELETE": _done(lambda a: webhook_writes.delete_webhook(a.tenant, a.ids[0])),
        },
    ),
]
for (_, _part), _entity in CHILDREN.items():
    _list: dict[str, Handler] = {"GET": reads.list_children, "POST": _create}
    if _entity is not EXCLUDED:
        _list["PATCH"] = _change
    TABLE += [
        (f"{_ROOT}/{{id}}/{_part}", _entity, _list),
        (f"{_ROOT}/{{id}}/{_part}/{{id}}", _entity, {"GET": reads.get_child, "DELETE": _delete}),
    ]
TABLE += [
    (f"/v1.0/{entity.name.lower()}/entityinformation/fields", entity, {"GET": _definitions})
    for entity in (FIELDS, UDF_FIELDS)
]
