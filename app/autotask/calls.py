"""Single calls to Autotask on any entity: each permitted, bounded in time, sent once."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from app.autotask import protocol
from app.autotask.answers import R, read_item, read_records, without_errors
from app.autotask.errors import AutotaskError, NotSent, Refusal, Refused, TooLate, Unanswered
from app.autotask.meaning import decipher
from app.autotask.models import Record
from app.autotask.sending import send

REQUEST_SECONDS = 45.0
"""A request is given up after this time without a whole answer."""

PERMIT_SECONDS = 10.0
"""Send a write within this time of its permission, or not at all: a process that was stopped in
between must not send it later, when another has taken over."""

_VERBS = {"POST": "create", "PATCH": "change", "DELETE": "delete"}
_PAGE = 500  # rows at most, says .../REST/API_Calls/REST_Advanced_Query_Features.htm
_PAGE_LIMIT = 200


class Throttle(Protocol):
    """Asks for permission to make one call, and holds it during the call."""

    def __call__(
        self, entity: str, *, write: bool, verb: str = "", about: str = ""
    ) -> AbstractAsyncContextManager[None]:
        """Return a context for one call on an entity; `write` if it changes something there.

        verb: how it changes it. about: the account or record that the call is about, in words.
        """


@dataclass(frozen=True, slots=True)
class Credentials:
    """The three headers of every call: .../REST/General_Topics/REST_Security_Auth.htm"""

    username: str
    secret: str = field(repr=False)
    integration_code: str = field(repr=False)

    def headers(self) -> dict[str, str]:
        """Return the three headers."""
        return {
            "UserName": self.username,
            "Secret": self.secret,
            "ApiIntegrationCode": self.integration_code,
        }

    def digest(self) -> str:
        """Return a keyed hash, by which other credentials are told from these."""
        named = f"{self.username.casefold()}\0{self.integration_code}"
        return hmac.new(self.secret.encode(), named.encode(), "sha256").hexdigest()


class Calls:
    """The API's kinds of calls, for one caller. Each raises an AutotaskError.

    `not_after` is the time.monotonic() after which a write must not leave (TooLate).
    """

    def __init__(
        self, http: httpx.AsyncClient, api_url: str, credentials: Credentials, throttle: Throttle
    ) -> None:
        self._http = http
        self._root = protocol.api_root(api_url)
        self._credentials = credentials
        self._throttle = throttle
        self.asked_at = 0.0
        """time.monotonic() when the latest call was permitted, just before it left."""
        self.made = 0
        """How many calls were permitted."""
        self.written = 0
        """How many of them have changed something."""

    async def get(self, path: str, most: int | None = None) -> dict[str, Any]:
        """Read any answer; raise TooLarge if it has more than `most` bytes."""
        return await self._call("GET", path, most=most)

    async def item(self, path: str, model: type[R]) -> R | None:
        """Read one record. A missing one is `{"item": null}`, or 404 as some clients report."""
        entity, _, record_id = path.strip("/").partition("/")
        try:
            answer = await self._call("GET", path)
        except Refused as refused:
            return await self.confirm_missing(refused, entity, {"id": int(record_id)}, model)
        return read_item(answer, model, int(record_id))

    async def confirm_missing(
        self, refused: Refused, entity: str, ids: dict[str, int], model: type[R]
    ) -> R | None:
        """Repeat the read as a query: a wrong address or a proxy answers 404 to everything."""
        if refused.kind is not Refusal.MISSING:
            raise refused
        wanted = [{"op": "eq", "field": name, "value": number} for name, number in ids.items()]
        try:
            found = await self.query(entity, wanted, model)
        except Refused as error:
            raise Unanswered(f"404, and so is the query: {error}") from error
        return found[0] if found else None

    async def query(
        self,
        entity: str,
        wanted: list[dict[str, Any]],
        model: type[R],
        fields: tuple[str, ...] = (),
        most: int = _PAGE_LIMIT,
    ) -> list[R]:
        """Return all records that match a filter, with these fields only (default: all).

        .../REST/API_Calls/REST_Advanced_Query_Features.htm: beyond 500 rows the id must be named.
        More than `most` pages are no answer.
        """
        return await self._pages("POST", f"/{entity}/query", _query(wanted, fields), model, most)

    async def page(
        self,
        entity: str,
        wanted: list[dict[str, Any]],
        model: type[R],
        fields: tuple[str, ...] = (),
    ) -> tuple[list[R], bool]:
        """Return the first 500 records by id that match a filter, and whether there are more."""
        body = _query(wanted, fields)
        answer = await self._call("POST", f"/{entity}/query", body)
        found = read_records(answer, model)
        return found, bool(protocol.next_page(answer)) or len(found) >= _PAGE

    async def pages(self, path: str, model: type[R]) -> list[R]:
        """List the records below another one."""
        return await self._pages("GET", path, None, model)

    async def create(
        self, path: str, body: dict[str, Any], not_after: float, about: str = ""
    ) -> int:
        """Create a record and return its id. about: where the path does not say it."""
        answer = await self._call("POST", path, body, not_after=not_after, write=True, about=about)
        return _named(answer)

    async def change(self, path: str, body: dict[str, Any], not_after: float) -> None:
        """Change the fields of a record that the body names beside its id; the rest stays."""
        _named(await self._call("PATCH", path, body, not_after=not_after, write=True))

    async def delete(self, path: str, not_after: float, about: str = "") -> None:
        """Delete a record; raise Refused as MISSING if it does not exist."""
        answer = await self._call("DELETE", path, not_after=not_after, write=True, about=about)
        _named(answer)

    async def _pages(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        model: type[R],
        most: int = _PAGE_LIMIT,
    ) -> list[R]:
        """Read all pages; each is requested like the first, on the API's own origin only.

        Pages that lead back to one that was read, or repeat its records, are no answer.
        """
        answer = await self._call(method, path, body)
        found = read_records(answer, model)
        asked, seen = {self._root + path}, _ids(found)
        while url := protocol.next_page(answer):
            if not protocol.same_origin(url, self._root):
                raise Unanswered("the next page is not on the API's own origin")
            if url in asked:
                raise Unanswered("the pages lead back to one that was read")
            if len(asked) >= most:
                raise Unanswered(f"more than {most} pages")
            asked.add(url)
            answer = await self._call(method, path, body, url=url)
            page = read_records(answer, model)
            if page and _ids(page) <= seen:
                raise Unanswered("the pages repeat the records of those before")
            seen |= _ids(page)
            found += page
        return found

    async def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        url: str | None = None,
        not_after: float = float("inf"),
        write: bool = False,
        most: int | None = None,
        about: str = "",
    ) -> dict[str, Any]:
        entity = protocol.entity_of(path)
        verb = _VERBS[method] if write else "read"
        about = about or protocol.about(path)
        try:
            async with self._throttle(entity, write=write, verb=verb, about=about):
                self.asked_at = time.monotonic()
                self.made += 1
                not_after = min(not_after, self.asked_at + PERMIT_SECONDS)
                request = self._request(method, url or self._root + path, body, not_after)
                if write and body is None:
                    request.extensions["trace"] = _gate(not_after)
                answer = await send(self._http, request, REQUEST_SECONDS, most)
                deciphered = without_errors(decipher(*answer))
                self.written += write
                return deciphered
        except AutotaskError as error:
            error.call = f"{method} {entity}"
            raise

    def _request(
        self, method: str, url: str, body: dict[str, Any] | None, not_after: float
    ) -> httpx.Request:
        headers = self._credentials.headers() | {"Content-Type": "application/json"}
        if body is None:
            return self._build(method, url, headers=headers)
        content = json.dumps(body).encode()
        headers["Content-Length"] = str(len(content))
        return self._build(method, url, headers=headers, content=_guarded(content, not_after))

    def _build(self, method: str, url: str, **parts: Any) -> httpx.Request:
        try:
            return self._http.build_request(method, url, **parts)
        except httpx.InvalidURL as error:
            raise NotSent("Autotask named an invalid address") from error


def _query(wanted: list[dict[str, Any]], fields: tuple[str, ...]) -> dict[str, Any]:
    body: dict[str, Any] = {"filter": wanted, "MaxRecords": _PAGE}
    return body | {"IncludeFields": list(fields)} if fields else body


def _ids(records: Sequence[Record]) -> set[object]:
    return {getattr(record, "id", None) for record in records}


def _named(answer: dict[str, Any]) -> int:
    """Return the id of the written record; without one it is unknown whether it took effect."""
    item_id = answer.get("itemId")
    if not isinstance(item_id, int) or isinstance(item_id, bool) or item_id <= 0:
        raise Unanswered("the answer names no record")
    return item_id


async def _guarded(content: bytes, not_after: float) -> AsyncIterator[bytes]:
    """Yield a request's body at the last moment before it is written to the socket.

    By now the connection is open. Without the body Autotask has an incomplete request, which it
    cannot carry out.
    """
    _in_time(not_after)
    yield content


def _gate(not_after: float) -> Callable[[str, object], Awaitable[None]]:
    """Return a callback for httpcore's extension `trace`, called at each step of a request.

    For requests without a body: the connection is open when their first byte is written.
    """

    async def step(name: str, _details: object) -> None:
        if name.endswith("send_request_headers.started"):
            _in_time(not_after)

    return step


def _in_time(not_after: float) -> None:
    if time.monotonic() > not_after:
        raise TooLate("the permission to send had run out")
