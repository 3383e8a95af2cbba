"""Check that what goes over the wire keeps to tests/openapi.yaml, in both directions.

That file is a copy; what it lacks and we need stands in openapi-more.yaml beside it.
"""

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BASE = "/atservicesrest"
_DOCUMENT = "urn:contract"
# The spec's own words: "The published example spells these MaxRecords, IncludeFields and Filter;
# the server takes either."
_PASCAL = {"MaxRecords": "maxRecords", "IncludeFields": "includeFields", "Filter": "filter"}


@dataclass(frozen=True)
class _Operation:
    """One method of one path, with its validators compiled."""

    name: str
    headers: tuple[str, ...]
    query: dict[str, Draft202012Validator]
    required_query: tuple[str, ...]
    body: Draft202012Validator | None
    is_query: bool
    responses: dict[str, Draft202012Validator | None]


@dataclass(frozen=True)
class _Path:
    pattern: re.Pattern[str]
    operations: dict[str, _Operation]


class ContractChecker:
    """Wrap an ASGI application and collect what breaks the contract in `violations`.

    Use it as `SandboxServer(tenant, wrap=checker)` and assert that `violations` is empty after
    the server has stopped: only then have requests that got no answer been checked. A path or
    method that the contract lacks is always a violation. Headers, query and body of a request
    may be wrong when it is refused with an error status. Answers that the sandbox marks as meant
    to break the contract (`scope["sandbox"]["off_contract"]`: faults) are not checked.
    """

    def __init__(self) -> None:
        self.violations: list[str] = []

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """Return the application with the check around it."""

        async def checked(scope: Scope, receive: Receive, send: Send) -> None:
            request, response = bytearray(), bytearray()
            start: dict[str, Any] = {}
            whole = False

            async def note_request() -> Message:
                nonlocal whole
                message = await receive()
                if message["type"] == "http.request":
                    request.extend(message.get("body", b""))
                    whole = not message.get("more_body", False)
                return message

            async def note_response(message: Message) -> None:
                if message["type"] == "http.response.start":
                    start.update(message)
                response.extend(message.get("body", b""))
                # Before the last part leaves: a test may look as soon as it has its answer.
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    self._check(scope, bytes(request), start, bytes(response))
                await send(message)

            await app(scope, note_request, note_response)
            if whole and not start:
                self._check(scope, bytes(request), start, b"")

        return checked

    def _check(self, scope: Scope, request: bytes, start: dict[str, Any], response: bytes) -> None:
        method, path = scope["method"], scope["path"]
        operation = _find(method, path)
        if operation is None:
            self.violations.append(f"{method} {path}: not in the contract")
            return
        found: list[str] = []
        status = start.get("status", 0)
        if status < 400:
            found += _request_errors(operation, scope, request)
        if start and not scope.get("sandbox", {}).get("off_contract"):
            headers = Headers(raw=start["headers"])
            found += _response_errors(operation, status, headers, response)
        self.violations += [f"{method} {path} ({status}): {error}" for error in found]


def _request_errors(operation: _Operation, scope: Scope, raw: bytes) -> Iterator[str]:
    headers = Headers(scope=scope)
    for name in operation.headers:
        if not headers.get(name):
            yield f"header {name} is missing"
    yield from _query_errors(operation, scope)
    if operation.body is None:
        if raw:
            yield "a body where none is described"
        return
    if "application/json" not in headers.get("content-type", ""):
        yield "the request is not application/json"
    body = _json(raw)
    yield from _errors(operation.body, _camel(body) if operation.is_query else body, "request")


def _query_errors(operation: _Operation, scope: Scope) -> Iterator[str]:
    pairs = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    if scope["path"].lower().endswith("/query/next") and not pairs.pop("paging", None):
        yield "a next page without its paging parameter"
    for name in operation.required_query:
        if name not in pairs:
            yield f"query parameter {name} is missing"
    for name, value in pairs.items():
        if name not in operation.query:
            yield f"query parameter {name} is unknown"
        else:
            given = _camel(_json(value)) if name == "search" else value
            yield from _errors(operation.query[name], given, f"query {name}")


def _response_errors(
    operation: _Operation, status: int, headers: Headers, raw: bytes
) -> Iterator[str]:
    key = str(status) if str(status) in operation.responses else "default"
    if key not in operation.responses:
        yield f"status {status} is not declared"
        return
    validator = operation.responses[key]
    if validator is None:
        return
    if "application/json" not in headers.get("content-type", ""):
        yield "the answer is not application/json"
        return
    yield from _errors(validator, _json(raw), "answer")


def _errors(validator: Draft202012Validator, value: object, where: str) -> Iterator[str]:
    for error in validator.iter_errors(value):
        yield f"{where} {error.json_path}: {error.message[:300]}"


def _json(text: bytes | str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return "<not JSON>"


def _camel(body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    return {_PASCAL.get(name, name): value for name, value in body.items()}


def _find(method: str, path: str) -> _Operation | None:
    # Where nextPageUrl points is not published; it takes the method and body of the query itself.
    plain = re.sub(r"/query/next$", "/query", path.lower())
    for candidate in _paths():
        if candidate.pattern.fullmatch(plain):
            return candidate.operations.get(method)
    return None


@functools.cache
def _paths() -> list[_Path]:
    """Compile the contract once in a process."""
    document = contract()
    resource = DRAFT202012.create_resource(document)
    registry: Registry[Any] = Registry().with_resource(_DOCUMENT, resource)
    return [
        _Path(_pattern(path), dict(_operations(document, registry, path, item)))
        for path, item in document["paths"].items()
    ]


def contract() -> dict[str, Any]:
    """Return the contract, with what openapi-more.yaml adds: paths and schemas, none twice."""
    document, more = _read("openapi.yaml"), _read("openapi-more.yaml")
    for whole, part in (
        (document["paths"], more["paths"]),
        (document["components"]["schemas"], more["components"]["schemas"]),
    ):
        assert not whole.keys() & part.keys(), "The contract describes the same thing twice."
        whole.update(part)
    return document


def _read(name: str) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = (Path(__file__).parents[1] / name).read_text(encoding="utf-8")
    return dict(yaml.load(text, Loader=loader))


def _pattern(path: str) -> re.Pattern[str]:
    escaped = re.escape(BASE + path.lower())
    return re.compile(re.sub(r"\\{\w+\\}", r"\\d+", escaped))


def _operations(
    document: dict[str, Any], registry: Registry[Any], path: str, item: dict[str, Any]
) -> Iterator[tuple[str, _Operation]]:
    def compiled(schema: dict[str, Any]) -> Draft202012Validator:
        return Draft202012Validator(_absolute(schema), registry=registry)

    def content(part: dict[str, Any]) -> Draft202012Validator | None:
        media = part.get("content", {}).get("application/json")
        return compiled(media["schema"]) if media else None

    for method, described in item.items():
        if method == "parameters" or method == "servers" or method.startswith("x-"):
            continue
        parameters = [
            _resolved(document, parameter)
            for parameter in (*item.get("parameters", ()), *described.get("parameters", ()))
        ]
        query = [parameter for parameter in parameters if parameter["in"] == "query"]
        body = _resolved(document, described.get("requestBody", {}))
        yield (
            method.upper(),
            _Operation(
                name=described["operationId"],
                headers=tuple(
                    p["name"] for p in parameters if p["in"] == "header" and p["required"]
                ),
                query={
                    parameter["name"]: content(parameter) or compiled(parameter["schema"])
                    for parameter in query
                },
                required_query=tuple(p["name"] for p in query if p["required"]),
                body=content(body),
                is_query="/query" in path,
                responses={
                    status: content(_resolved(document, response))
                    for status, response in described["responses"].items()
                },
            ),
        )


def _resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference of the OpenAPI document itself; those inside schemas stay."""
    if "$ref" not in part:
        return part
    found: Any = document
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return dict(found)


def _absolute(schema: Any) -> Any:
    """Point the references of an inline schema at the document it came from."""
    if isinstance(schema, dict):
        return {
            name: _DOCUMENT + value
            if name == "$ref" and value.startswith("#")
            else _absolute(value)
            for name, value in schema.items()
        }
    return [_absolute(member) for member in schema] if isinstance(schema, list) else schema
