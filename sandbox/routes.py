"""Map the routes of the API to answers; no HTTP here, only what is asked and what is answered."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sandbox import writes
from sandbox.entityinfo import entity_info, field_info, udf_info
from sandbox.model import (
    ATTACHMENTS,
    CONTACTS,
    ENTITIES,
    LINKS,
    TICKETS,
    Entity,
    Record,
    RefusedError,
)
from sandbox.query import MAX_ROWS, Query, parse_query
from sandbox.tenant import Tenant

BASE = "/ATServicesRest"
# Which record type a child route is about: its thread limit is that of the root route.
CHILDREN = {
    ("tickets", "additionalcontacts"): LINKS,
    ("tickets", "attachments"): ATTACHMENTS,
    ("companies", "contacts"): CONTACTS,
}


class NoRouteError(Exception):
    """Answer 404, or 405 when the path exists for other methods."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Ask:
    """One request, parsed: ids from the path in order, query parameters, body, own origin."""

    tenant: Tenant
    method: str
    entity: Entity
    ids: tuple[int, ...]
    params: dict[str, str]
    body: Any
    origin: str


Handler = Callable[[Ask], dict[str, Any]]


def entity_of(path: str) -> str:
    """Return the name of the record type a path is about: child and root path alike."""
    parts = [part for part in path.split("/") if part][1:]
    if parts and re.fullmatch(r"v\d+\.\d+", parts[0], re.IGNORECASE):
        parts = parts[1:]
    if len(parts) > 2 and (child := CHILDREN.get((parts[0].lower(), parts[2].lower()))):
        return child.name
    first = parts[0] if parts else ""
    names = {name.lower(): name for name in (*ENTITIES, "ZoneInformation", "ThresholdInformation")}
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


def _get_item(ask: Ask) -> dict[str, Any]:
    return _item(ask, ask.tenant.table(ask.entity).get(ask.ids[0]))


def _get_child(ask: Ask) -> dict[str, Any]:
    record = ask.tenant.table(ask.entity).get(ask.ids[1])
    return _item(ask, record if record and record[_parent(ask)] == ask.ids[0] else None)


def _get_attachment(ask: Ask) -> dict[str, Any]:
    answer = _get_child(ask)
    if ask.tenant.switches.attachment_answer == "item":
        return answer
    return {"items": [answer["item"]] if answer["item"] else []}


def _parent(ask: Ask) -> str:
    return "companyID" if ask.entity is CONTACTS else "ticketID"


def _item(ask: Ask, record: Record | None) -> dict[str, Any]:
    if record is None and ask.tenant.switches.missing_item == "404":
        raise NoRouteError(404, "The requested resource was not found.")
    if (
        record is not None
        and ask.entity is CONTACTS
        and record["isActive"] != 1
        and ask.tenant.switches.inactive_company_zero
    ):
        record = {**record, "companyID": 0}
    return {"item": record}


def _list_children(ask: Ask) -> dict[str, Any]:
    search = {"filter": [{"op": "eq", "field": _parent(ask), "value": ask.ids[0]}]}
    return _page(ask, _parse(ask, search), json.dumps(search))


def _query(ask: Ask) -> dict[str, Any]:
    if ask.method == "GET":
        search = ask.params.get("search", "null")
        return _page(ask, _parse(ask, _from_json(search)), search)
    return _page(ask, _parse(ask, ask.body), None)


def _next_page(ask: Ask) -> dict[str, Any]:
    # The address of a POSTed query's page holds no search, so a GET of it finds no action.
    if ask.method == "GET" and "search" not in ask.params:
        raise NoRouteError(405, "The requested resource does not support http method 'GET'.")
    return _query(ask)


def _count(ask: Ask) -> dict[str, Any]:
    posted = ask.method == "POST"
    body = ask.body if posted else _from_json(ask.params.get("search", "null"))
    query = _parse(ask, body)
    records = ask.tenant.table(ask.entity).values()
    return {"queryCount": sum(1 for record in records if query.matches(record))}


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise RefusedError("The search parameter is not valid JSON.") from None


def _parse(ask: Ask, body: Any) -> Query:
    udfs = ask.tenant.udfs.get(ask.entity.name, [])
    return parse_query(ask.entity, body, ask.tenant.switches, udfs)


def _page(ask: Ask, query: Query, search: str | None) -> dict[str, Any]:
    paging = _from_json(ask.params.get("paging", "{}"))
    seen = paging.get("previousIds", [])
    after = paging.get("nextId", -1)
    rows = [row for row in ask.tenant.table(ask.entity).values() if query.matches(row)]
    if query.include and "id" not in query.include and len(rows) > MAX_ROWS:
        raise RefusedError("The id field must be included when more than 500 rows are requested.")
    rest = sorted((row for row in rows if row["id"] > after), key=lambda row: int(row["id"]))
    page = rest[: query.page_size]
    more = len(rest) > len(page)

    def address(previous: list[int], next_id: int) -> str:
        token = {"pageSize": query.page_size, "previousIds": previous, "nextId": next_id}
        tail = "" if search is None else "&search=" + quote(search, safe="")
        encoded = quote(json.dumps(token, separators=(",", ":")), safe="")
        root = f"{ask.origin}{BASE}/V1.0/{ask.entity.name}/query/next"
        return f"{root}?paging={encoded}{tail}"

    total = len(rows) if ask.tenant.switches.page_count == "total" else len(page)
    return {
        "items": [_shown(ask.entity, row, query.include) for row in page],
        "pageDetails": {
            "count": total,
            "requestCount": query.page_size,
            "prevPageUrl": address(seen[:-1], seen[-1]) if seen else None,
            "nextPageUrl": address([*seen, after], page[-1]["id"]) if more else None,
        },
    }


def _shown(entity: Entity, record: Record, include: tuple[str, ...] | None) -> Record:
    if entity is ATTACHMENTS:
        record = {**record, "data": None}  # fact sheet 3.6: only the GET of a single one fills it
    if include is None:
        return record
    # The list comes unasked and empty, even where the tenant has user-defined fields:
    # https://github.com/apigrate/autotask-restapi, "Limiting fields returned on a query".
    unasked: Record = {"userDefinedFields": []} if "userdefinedfields" in entity.fields else {}
    return unasked | {name: record[name] for name in include}


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


_QUERY: dict[str, Handler] = {"GET": _query, "POST": _query}
_NEXT: dict[str, Handler] = {"GET": _next_page, "POST": _next_page}
_COUNT: dict[str, Handler] = {"GET": _count, "POST": _count}
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
        "/v1.0/tickets/entityinformation",
        TICKETS,
        {"GET": lambda ask: {"info": entity_info(ask.entity)}},
    ),
    (
        "/v1.0/tickets/entityinformation/userdefinedfields",
        TICKETS,
        {"GET": lambda ask: {"fields": udf_info(ask.tenant.udfs.get(ask.entity.name, []))}},
    ),
    (
        "/v1.0/tickets/{id}/additionalcontacts",
        LINKS,
        {
            "GET": _list_children,
            "POST": lambda ask: {"itemId": writes.create_link(ask.tenant, ask.ids[0], ask.body)},
        },
    ),
    (
        "/v1.0/tickets/{id}/additionalcontacts/{id}",
        LINKS,
        {
            "GET": _get_child,
            "DELETE": lambda ask: {"itemId": writes.delete_link(ask.tenant, *ask.ids)},
        },
    ),
    ("/v1.0/tickets/{id}/attachments", ATTACHMENTS, {"GET": _list_children}),
    ("/v1.0/tickets/{id}/attachments/{id}", ATTACHMENTS, {"GET": _get_attachment}),
    (
        "/v1.0/companies/{id}/contacts",
        CONTACTS,
        {
            "GET": _list_children,
            "POST": lambda ask: {"itemId": writes.create_contact(ask.tenant, ask.ids[0], ask.body)},
            "PATCH": _change_contact,
            "PUT": _change_contact,
        },
    ),
    ("/v1.0/companies/{id}/contacts/{id}", CONTACTS, {"GET": _get_child}),
]
for _entity in ENTITIES.values():
    _root = f"/v1.0/{_entity.name.lower()}"
    _TABLE += [
        (f"{_root}/query", _entity, _QUERY),
        (f"{_root}/query/next", _entity, _NEXT),
        (f"{_root}/{{id}}", _entity, {"GET": _get_item}),
    ]
for _entity in (TICKETS, LINKS, CONTACTS):
    _TABLE.append((f"/v1.0/{_entity.name.lower()}/query/count", _entity, _COUNT))
for _entity in (TICKETS, CONTACTS):
    _path = f"/v1.0/{_entity.name.lower()}/entityinformation/fields"
    _TABLE.append((_path, _entity, {"GET": lambda ask: {"fields": field_info(ask.entity)}}))

_ROUTES = [
    (re.compile(BASE.lower() + re.escape(path).replace(r"\{id\}", r"(\d+)") + "/?"), entity, by)
    for path, entity, by in _TABLE
]
