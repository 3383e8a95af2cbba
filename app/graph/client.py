"""The HTTP client: reads the messages of a mailbox between two times, as an application.

The application signs in with its secret (client credentials), so there is no user and no refresh
token: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from pydantic import ValidationError

from app.fetch import bounded
from app.graph.errors import (
    GraphError,
    PageError,
    Trouble,
    Unclear,
    json_object,
    refused_call,
    refused_token,
)
from app.graph.models import SELECTED, Message, Token, read_message

REQUEST_SECONDS = 30.0
"""A page is given up after this time, with a token if it needs one."""

PAGE_SIZE = 100
"""Messages on a page, of 1,000 possible: larger pages time out at Microsoft's gateway (504)."""

_RENEW_BEFORE = 300.0  # seconds; as Microsoft's own libraries do


@dataclass(frozen=True, slots=True)
class GraphCredentials:
    """An application of the directory, and its secret."""

    tenant_id: str
    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the messages of a time, and where the next ones are."""

    messages: list[Message]
    next_url: str | None


class Graph:
    """Microsoft Graph for one application. It keeps the token: make one per process.

    `url` and `login_url` are for other clouds: https://learn.microsoft.com/graph/deployments
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        credentials: GraphCredentials,
        *,
        url: str = "https://graph.microsoft.com",
        login_url: str = "https://login.microsoftonline.com",
    ) -> None:
        self._http = http
        self._credentials = credentials
        self._url = url.rstrip("/")
        self._login_url = login_url.rstrip("/")
        self._fetching = asyncio.Lock()
        self._token: str | None = None
        self._renew_at = 0.0

    async def page(
        self,
        mailbox: str,
        since: datetime,
        until: datetime,
        *,
        size: int = PAGE_SIZE,
        url: str | None = None,
    ) -> Page:
        """List messages that a mailbox received between two times, in any folder, newest first.

        Both ends count, and fractions of a second are rounded outwards. url: of a page but the
        first. A page may be empty, and a message may be on two: pages are cut by counting, so a
        newer message moves the others on. Raise GraphError.
        A single unreadable message spoils its page: it could be the one looked for, and without it
        another could pass for it. A sender cannot cause that: read_message accepts anything a
        sender can write.
        """
        query = {
            # Graph's rule: the property of $orderby comes first in $filter.
            "$filter": f"receivedDateTime ge {_second(since)}"
            f" and receivedDateTime le {_second(until + timedelta(microseconds=999_999))}",
            "$orderby": "receivedDateTime desc",
            "$select": ",".join(SELECTED),
            "$top": str(size),
        }
        asked = url or self._messages_url(mailbox, query)
        async with _bounded():
            members, next_url = await self._page(asked)
        following = None if next_url is None else self._on_our_origin(next_url)
        if following == asked:
            raise PageError(Trouble.AWAY, "Graph gives the same page for ever")
        return Page([_read(member) for member in members], following)

    async def check(self, mailbox: str) -> None:
        """Read one message's id; raise GraphError if the mailbox cannot be read.

        The token does not tell: its roles lack the rights that Exchange grants
        (https://learn.microsoft.com/exchange/permissions-exo/application-rbac).
        """
        async with _bounded():
            await self._page(self._messages_url(mailbox, {"$top": "1", "$select": "id"}))

    async def _page(self, url: str) -> tuple[list[Any], object]:
        """Return a page's members, and the address of the next page; a page may be empty."""
        response = await self._ask(url)
        if response.status_code == 401:  # revoked, or our clocks differ: a fresh one decides
            response = await self._ask(url)
        if response.status_code != 200:
            raise refused_call(response)
        answer = json_object(response) or {}
        members = answer.get("value")
        if not isinstance(members, list):
            raise GraphError(Trouble.AWAY, "Graph's answer is no list of messages")
        return members, answer.get("@odata.nextLink")

    async def _ask(self, url: str) -> httpx.Response:
        token = await self._bearer()
        response = await self._send("GET", url, headers={"Authorization": f"Bearer {token}"})
        if response.status_code == 401 and self._token == token:
            self._token = None
        return response

    async def _bearer(self) -> str:
        """Return a token; callers that come while it is fetched wait for the same one."""
        async with self._fetching:
            if self._token is None or monotonic() >= self._renew_at:
                asked_at = monotonic()
                fetched = await self._fetch()
                life = fetched.expires_in
                self._renew_at = asked_at + life - min(_RENEW_BEFORE, life / 10)
                self._token = fetched.access_token
            return self._token

    async def _fetch(self) -> Token:
        tenant = quote(self._credentials.tenant_id, safe="")
        form = {
            "grant_type": "client_credentials",
            "client_id": self._credentials.client_id,
            "client_secret": self._credentials.client_secret,
            "scope": f"{self._url}/.default",
        }
        url = f"{self._login_url}/{tenant}/oauth2/v2.0/token"
        response = await self._send("POST", url, data=form)
        if response.status_code != 200:
            raise refused_token(response)
        try:
            return Token.model_validate(json_object(response))
        except ValidationError:
            raise GraphError(Trouble.AWAY, "the directory's answer is no token") from None

    async def _send(self, method: str, url: str, **parts: Any) -> httpx.Response:
        try:
            request = self._http.build_request(method, url, **parts)
            return await bounded.fetch(self._http, request)
        except (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeError):
            # Their texts and causes quote the invalid part, which may be a secret.
            raise GraphError(Trouble.AWAY, "the request cannot be written") from None
        except bounded.TooMuch:
            raise GraphError(Trouble.AWAY, "the answer is longer than any") from None
        except httpx.HTTPError as error:
            raise GraphError(Trouble.AWAY, f"no answer: {type(error).__name__}") from error

    def _messages_url(self, mailbox: str, query: dict[str, str]) -> str:
        # %20 and not +, which OData does not take for a space everywhere.
        asked = urlencode(query, quote_via=quote, safe="$,:")
        return f"{self._url}/v1.0/users/{quote(mailbox, safe='')}/messages?{asked}"

    def _on_our_origin(self, url: object) -> str:
        """Refuse a next page elsewhere: the token would go with it."""
        if isinstance(url, str) and _origin(url) == _origin(self._url):
            return url
        raise PageError(Trouble.AWAY, "Graph's next page is not on its own origin")


@asynccontextmanager
async def _bounded() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            yield
    except TimeoutError as error:
        raise Unclear(f"no answer within {REQUEST_SECONDS:.0f} s", slow=True) from error


def _read(answer: object) -> Message:
    try:
        return read_message(answer)
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, one["loc"])) for one in error.errors())
        raise PageError(Trouble.AWAY, f"a message cannot be read: {wrong}") from None


def _second(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _origin(url: str) -> tuple[str, str, int | None, bytes] | None:
    """Return the parts of a URL that decide where the token goes; None if it is not a URL."""
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        return None
    return parts.scheme, parts.host, parts.port, parts.userinfo
