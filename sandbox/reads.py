"""Answer what is read through the API: single records, lists, queries and their pages. No HTTP."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sandbox.model import ATTACHMENTS, CONTACTS, Entity, Record, RefusedError
from sandbox.query import MAX_ROWS, Query, parse_query
from sandbox.tenant import Tenant
from sandbox.webhook_model import WEBHOOK_ENTITIES

BASE = "/ATServicesRest"


class DeniedError(Exception):
    """Answer 403: the user's security level does not allow it."""


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


def get_item(ask: Ask) -> dict[str, Any]:
    """Answer one record by its id."""
    return _item(ask, ask.tenant.shown(ask.entity).get(ask.ids[0]))


def get_child(ask: Ask) -> dict[str, Any]:
    """Answer one record below its parent: another parent's is missing."""
    record = ask.tenant.shown(ask.entity).get(ask.ids[1])
    return _item(ask, record if record and record[_parent(ask)] == ask.ids[0] else None)


def get_attachment(ask: Ask) -> dict[str, Any]:
    """Answer one attachment, in the form that the switch chooses."""
    answer = get_child(ask)
    if ask.tenant.switches.attachment_answer == "item":
        return answer
    return {"items": [answer["item"]] if answer["item"] else []}


def _parent(ask: Ask) -> str:
    if ask.entity.name in WEBHOOK_ENTITIES:
        return "webhookID"
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


def list_children(ask: Ask) -> dict[str, Any]:
    """Answer a page of a parent's records."""
    search = {"filter": [{"op": "eq", "field": _parent(ask), "value": ask.ids[0]}]}
    return _page(ask, _parse(ask, search), json.dumps(search))


def query(ask: Ask) -> dict[str, Any]:
    """Answer a query's first page, or the one that its address asks for."""
    if ask.method == "GET":
        search = ask.params.get("search", "null")
        return _page(ask, _parse(ask, _from_json(search)), search)
    return _page(ask, _parse(ask, ask.body), None)


def next_page(ask: Ask) -> dict[str, Any]:
    """Answer a further page."""
    # The address of a POSTed query's page holds no search, so a GET of it finds no action.
    if ask.method == "GET" and "search" not in ask.params:
        raise NoRouteError(405, "The requested resource does not support http method 'GET'.")
    return query(ask)


def count(ask: Ask) -> dict[str, Any]:
    """Answer how many records a query finds."""
    posted = ask.method == "POST"
    body = ask.body if posted else _from_json(ask.params.get("search", "null"))
    query = _parse(ask, body)
    records = ask.tenant.shown(ask.entity).values()
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
    rows = [row for row in ask.tenant.shown(ask.entity).values() if query.matches(row)]
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
