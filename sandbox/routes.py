"""Map the routes of the API to answers."""

import re
from typing import Any

from sandbox import reads, webhook_routes, writes
from sandbox.entityinfo import entity_info, field_info, udf_info
from sandbox.model import (
    ATTACHMENTS,
    CONTACTS,
    ENTITIES,
    LINKS,
    NOTES,
    TICKETS,
    Entity,
    RefusedError,
)
from sandbox.portal_model import PORTAL_USERS
from sandbox.reads import BASE, Ask, Handler, NoRouteError
from sandbox.webhook_model import WEBHOOK_ENTITIES

# Which record type a child route is about: its thread limit is that of the root route.
CHILDREN = {
    ("tickets", "additionalcontacts"): LINKS,
    ("tickets", "attachments"): ATTACHMENTS,
    ("tickets", "notes"): NOTES,
    ("companies", "contacts"): CONTACTS,
    **webhook_routes.CHILDREN,
}
_NAMES = (
    *ENTITIES,
    PORTAL_USERS.name,
    *WEBHOOK_ENTITIES,
    "ZoneInformation",
    "ThresholdInformation",
)


def entity_of(path: str) -> str:
    """Return the name of the record type a path is about: child and root path alike."""
    parts = [part for part in path.split("/") if part][1:]
    if parts and re.fullmatch(r"v\d+\.\d+", parts[0], re.IGNORECASE):
        parts = parts[1:]
    if len(parts) > 2 and (child := CHILDREN.get((parts[0].lower(), parts[2].lower()))):
        return child.name
    first = parts[0] if parts else ""
    names = {name.lower(): name for name in _NAMES}
    return names.get(first.lower(), first)


def resolve(method: str, path: str) -> tuple[Handler, Entity, tuple[int, ...]]:
    """Find the handler of a request; paths in any case. Raise `NoRouteError`."""
    for pattern, entity, handlers in _ROUTES:
        match = pattern.fullmatch(path.lower())
        if match and method in handlers:
            return handlers[method], entity, tuple(int(part) for part in match.groups())
        if match:
            message = f"The requested resource does not support http method '{method}'."
            raise NoRouteError(405, message)
    message = f"No HTTP resource was found that matches the request URI '{path}'."
    raise NoRouteError(404, message)


def _zone(ask: Ask) -> dict[str, Any]:
    if ask.params.get("user", "").lower() != ask.tenant.username.lower():
        raise RefusedError("Zone information could not be determined")
    url = ask.tenant.switches.zone_url or f"{ask.origin}{BASE}/"
    return {"zoneName": "Sandbox", "url": url, "webUrl": f"{ask.origin}/", "ci": 0}


def _threshold(ask: Ask) -> dict[str, Any]:
    return {
        "externalRequestThreshold": ask.tenant.request_limit,
        "requestThresholdTimeframe": int(ask.tenant.request_window // 60),
        "currentTimeframeRequestCount": ask.tenant.requests_used(),
    }


def _version(_ask: Ask) -> dict[str, Any]:
    return {
        "majorVersion": "2026",
        "minorVersion": "3",
        "build": "2026.3.0.1",
        "customerType": "Sandbox",
    }


def _change_contact(ask: Ask) -> dict[str, Any]:
    changed = writes.change_contact(ask.tenant, ask.ids[0], ask.body, replace=ask.method == "PUT")
    return {"itemId": changed}


def _field_definitions(ask: Ask) -> dict[str, Any]:
    more = ask.tenant.required_contact_fields if ask.entity is CONTACTS else ()
    return {"fields": field_info(ask.entity, more)}


def _udf_definitions(ask: Ask) -> dict[str, Any]:
    return {"fields": udf_info(ask.tenant.udfs.get(ask.entity.name, []))}


_QUERY: dict[str, Handler] = {"GET": reads.query, "POST": reads.query}
_NEXT: dict[str, Handler] = {"GET": reads.next_page, "POST": reads.next_page}
_COUNT: dict[str, Handler] = {"GET": reads.count, "POST": reads.count}
_TABLE: list[tuple[str, Entity, dict[str, Handler]]] = [
    ("/v1.0/zoneinformation", TICKETS, {"GET": _zone}),
    ("/v1.0/thresholdinformation", TICKETS, {"GET": _threshold}),
    ("/v1.0/version", TICKETS, {"GET": _version}),
    ("/versioninformation", TICKETS, {"GET": lambda _ask: {"apiVersions": ["V1.0", "V2.0"]}}),
    (
        "/v1.0/tickets",
        TICKETS,
        {"PATCH": lambda ask: {"itemId": writes.change_ticket(ask.tenant, ask.body)}},
    ),
    (
        "/v1.0/tickets/{id}/additionalcontacts",
        LINKS,
        {
            "GET": reads.list_children,
            "POST": lambda ask: {"itemId": writes.create_link(ask.tenant, ask.ids[0], ask.body)},
        },
    ),
    (
        "/v1.0/tickets/{id}/additionalcontacts/{id}",
        LINKS,
        {
            "GET": reads.get_child,
            "DELETE": lambda ask: {"itemId": writes.delete_link(ask.tenant, *ask.ids)},
        },
    ),
    ("/v1.0/tickets/{id}/attachments", ATTACHMENTS, {"GET": reads.list_children}),
    ("/v1.0/tickets/{id}/attachments/{id}", ATTACHMENTS, {"GET": reads.get_attachment}),
    (
        "/v1.0/tickets/{id}/notes",
        NOTES,
        {
            "GET": reads.list_children,
            "POST": lambda ask: {"itemId": writes.create_note(ask.tenant, ask.ids[0], ask.body)},
        },
    ),
    ("/v1.0/tickets/{id}/notes/{id}", NOTES, {"GET": reads.get_child}),
    (
        "/v1.0/companies/{id}/contacts",
        CONTACTS,
        {
            "GET": reads.list_children,
            "POST": lambda ask: {"itemId": writes.create_contact(ask.tenant, ask.ids[0], ask.body)},
            "PATCH": _change_contact,
            "PUT": _change_contact,
        },
    ),
    ("/v1.0/companies/{id}/contacts/{id}", CONTACTS, {"GET": reads.get_child}),
]
for _entity in (*ENTITIES.values(), PORTAL_USERS):
    _root = f"/v1.0/{_entity.name.lower()}"
    _TABLE += [
        (f"{_root}/query", _entity, _QUERY),
        (f"{_root}/query/next", _entity, _NEXT),
        (f"{_root}/{{id}}", _entity, {"GET": reads.get_item}),
    ]
for _entity in (TICKETS, LINKS, CONTACTS):
    _TABLE.append((f"/v1.0/{_entity.name.lower()}/query/count", _entity, _COUNT))
for _entity in (TICKETS, CONTACTS, NOTES):
    _path = f"/v1.0/{_entity.name.lower()}/entityinformation"
    _TABLE.append((f"{_path}/fields", _entity, {"GET": _field_definitions}))
for _entity in (TICKETS, CONTACTS, LINKS, NOTES):
    _path = f"/v1.0/{_entity.name.lower()}/entityinformation"
    _TABLE.append(
        (_path, _entity, {"GET": lambda ask: {"info": entity_info(ask.tenant, ask.entity)}})
    )
for _entity in (TICKETS, CONTACTS):
    _path = f"/v1.0/{_entity.name.lower()}/entityinformation/userdefinedfields"
    _TABLE.append((_path, _entity, {"GET": _udf_definitions}))
_TABLE += webhook_routes.TABLE

_ROUTES = [
    (re.compile(BASE.lower() + re.escape(path).replace(r"\{id\}", r"(\d+)") + "/?"), entity, by)
    for path, entity, by in _TABLE
]
