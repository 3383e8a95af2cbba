"""Answers of faults that are made of the right one: pages without an end, nonsense, nothing."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from sandbox.reads import BASE
from sandbox.routes import entity_of

_STEP = 1_000_000  # between the ids of pages that are ever new


def endless_same(response: Response, scope: Scope) -> Response:
    """Let each page name the same next one, which is itself."""
    return _with_next(response, scope, 0)


def endless_cycle(response: Response, scope: Scope) -> Response:
    """Let two pages name each other."""
    return _with_next(response, scope, 1 - _page_of(scope) % 2)


def endless_new(response: Response, scope: Scope) -> Response:
    """Let each page name another one, with records of its own."""
    page = _page_of(scope)
    return _with_next(response, scope, page + 1, shift=page * _STEP)


def nonsense(_response: Response, _scope: Scope) -> Response:
    """Answer JSON in which nothing has the type that it should have."""
    odd: dict[str, Any] = {"id": "?", "name": [1], "picklistValues": 7, "webAddress": {}}
    pages = {"nextPageUrl": None}
    return JSONResponse({"items": [odd], "item": odd, "fields": [odd], "pageDetails": pages})


def empty(_response: Response, _scope: Scope) -> Response:
    """Answer that there is nothing."""
    return JSONResponse({"items": [], "fields": [], "pageDetails": {"nextPageUrl": None}})


ALTERED: dict[str, Callable[[Response, Scope], Response]] = {
    "endless_same": endless_same,
    "endless_cycle": endless_cycle,
    "endless_new": endless_new,
    "nonsense": nonsense,
    "empty": empty,
    "slow": lambda response, _scope: response,
}
"""The answer of each kind of fault."""


def _page_of(scope: Scope) -> int:
    """Return the number of the page that a request asks for."""
    paging = parse_qs(scope["query_string"].decode("latin-1")).get("paging", ["{}"])[0]
    return int(json.loads(paging).get("page", 0))


def _with_next(response: Response, scope: Scope, page: int, shift: int = 0) -> Response:
    answer = json.loads(bytes(response.body))
    if "items" not in answer:
        return response
    host, port = scope["server"]
    token = quote(json.dumps({"page": page}, separators=(",", ":")), safe="")
    root = f"http://{host}:{port}{BASE}/V1.0/{entity_of(scope['path'])}/query/next"
    items = [{**item, "id": item["id"] + shift} for item in answer["items"]]
    pages = (answer.get("pageDetails") or {}) | {"nextPageUrl": f"{root}?paging={token}"}
    return JSONResponse({"items": items, "pageDetails": pages})
