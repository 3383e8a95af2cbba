"""The HTTP client: one method per call that the product makes, each slot and time bounded."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from app.autotask import protocol
from app.autotask.errors import (
    AutotaskError,
    NotSent,
    Refusal,
    Refused,
    TooLarge,
    TooLate,
    Unanswered,
)
from app.autotask.models import (
    Attachment,
    Company,
    Contact,
    Link,
    NewContact,
    R,
    Resource,
    Ticket,
    Zone,
    read_data,
    read_record,
    read_records,
)
from app.autotask.sending import send

REQUEST_SECONDS = 45.0
"""After this long without a whole answer a request is given up."""

PERMIT_SECONDS = 10.0
"""A write leaves within this time of its permission, or not at all: a process that was stopped
in between must not send it later, when another has taken over."""

_ZONES = "https://webservices.autotask.net/ATServicesRest"
_PAGE_LIMIT = 200
_RECORD_ROOM = 64 * 1024  # what an attachment's record has besides its data


class Throttle(Protocol):
    """Asks for permission to make one call on an entity, and keeps it while the call is made.

    write: it changes something at Autotask.
    """

    def __call__(self, entity: str, *, write: bool) -> AbstractAsyncContextManager[None]: ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """.../REST/General_Topics/REST_Security_Auth.htm: three headers on every call."""

    username: str
    secret: str = field(repr=False)
    integration_code: str = field(repr=False)

    def headers(self) -> dict[str, str]:
        """Write the three headers."""
        return {
            "UserName": self.username,
            "Secret": self.secret,
            "ApiIntegrationCode": self.integration_code,
        }


def http_client() -> httpx.AsyncClient:
    """Make the connection pool that all clients of a process share; no redirects, all timed."""
    return httpx.AsyncClient(
        follow_redirects=False,
        timeout=httpx.Timeout(REQUEST_SECONDS - 5, connect=10.0),
        limits=httpx.Limits(max_connections=40, keepalive_expiry=5.0),
    )


class Autotask:
    """Autotask as one caller sees it. Cheap to make: the pool is shared.

    Every method raises an AutotaskError as errors.py sorts them, or what the throttle raises.
    asked_at: time.monotonic() when the latest call was permitted, just before it left.
    """

    def __init__(
        self, http: httpx.AsyncClient, api_url: str, credentials: Credentials, throttle: Throttle
    ) -> None:
        self._http = http
        self._root = protocol.api_root(api_url)
        self._credentials = credentials
        self._throttle = throttle
        self.asked_at = 0.0

    async def ticket(self, ticket_id: int) -> Ticket | None:
        """Read a ticket; None when it does not exist."""
        return await self._item(f"/Tickets/{ticket_id}", Ticket)

    async def contact(self, contact_id: int) -> Contact | None:
        """Read a contact; None when it does not exist."""
        return await self._item(f"/Contacts/{contact_id}", Contact)

    async def company(self, company_id: int) -> Company | None:
        """Read a company; None when it does not exist."""
        return await self._item(f"/Companies/{company_id}", Company)

    async def additional_contacts(self, ticket_id: int) -> list[Link]:
        """List a ticket's additional contacts (at most 30, so one page)."""
        answer = await self._call("GET", f"/Tickets/{ticket_id}/AdditionalContacts")
        return read_records(answer, Link)

    async def attachments(self, ticket_id: int) -> list[Attachment]:
        """List a ticket's attachments, and those of its notes and time entries."""
        return await self._pages("GET", f"/Tickets/{ticket_id}/Attachments", None, Attachment)

    async def attachment_data(self, ticket_id: int, attachment_id: int, limit: int) -> bytes | None:
        """Read what is in an attachment; None: it is gone, over limit bytes, or no base64.

        The answer is given up, and its connection closed, at about one and a half times the limit.
        """
        # Base64 takes four thirds, line ends and escapes in the JSON up to an eighth of that.
        most = limit * 3 // 2 + _RECORD_ROOM
        try:
            answer = await self._call(
                "GET", f"/Tickets/{ticket_id}/Attachments/{attachment_id}", most=most
            )
        except TooLarge:
            return None
        except Refused as refused:
            ids = {"id": attachment_id, "ticketID": ticket_id}
            if await self._confirm_missing(refused, "TicketAttachments", ids, Attachment):
                raise Unanswered("404, and yet the query finds it") from refused
            return None
        data = read_data(answer, attachment_id)
        return None if data is None or len(data) > limit else data

    async def contacts(
        self, company_id: int, addresses: Sequence[str], contact_ids: Sequence[int]
    ) -> list[Contact]:
        """Find a company's contacts by address, and some by id, inactive ones included.

        At most LOOKUP_ADDRESSES addresses. What was asked for by id can be of another company.
        """
        wanted = protocol.contact_filter(company_id, addresses, contact_ids)
        return await self._query("/Contacts/query", wanted, Contact)

    async def active_resources(self) -> list[Resource]:
        """List the MSP's own active people."""
        active = [{"op": "eq", "field": "isActive", "value": True}]
        return await self._query("/Resources/query", active, Resource)

    async def create_contact(self, company_id: int, contact: NewContact, not_after: float) -> int:
        """Create a contact in a company and give its id. Never sent twice by this client.

        not_after: time.monotonic() after which the request must not leave (TooLate).
        """
        path = f"/Companies/{company_id}/Contacts"
        return await self._create(path, contact.body(company_id), not_after)

    async def link_contact(self, ticket_id: int, contact_id: int, not_after: float) -> int:
        """Make a contact an additional contact of a ticket and give the link's id.

        not_after: time.monotonic() after which the request must not leave (TooLate).
        """
        body = {"id": 0, "ticketID": ticket_id, "contactID": contact_id}
        return await self._create(f"/Tickets/{ticket_id}/AdditionalContacts", body, not_after)

    async def _item(self, path: str, model: type[R]) -> R | None:
        """Read one record. A missing one is `{"item": null}`, or 404 as some clients report."""
        try:
            answer = await self._call("GET", path)
        except Refused as refused:
            entity, _, record_id = path.strip("/").partition("/")
            return await self._confirm_missing(refused, entity, {"id": int(record_id)}, model)
        item = answer.get("item")
        return None if item is None else read_record(item, model)

    async def _confirm_missing(
        self, refused: Refused, entity: str, ids: dict[str, int], model: type[R]
    ) -> R | None:
        """Ask once more in another way: a wrong address or a proxy says 404 of everything."""
        if refused.kind is not Refusal.MISSING:
            raise refused
        wanted = [{"op": "eq", "field": name, "value": number} for name, number in ids.items()]
        try:
            found = await self._query(f"/{entity}/query", wanted, model)
        except Refused as error:
            raise Unanswered(f"404, and so is the query: {error}") from error
        return found[0] if found else None

    async def _query(self, path: str, wanted: list[dict[str, Any]], model: type[R]) -> list[R]:
        return await self._pages("POST", path, {"filter": wanted, "MaxRecords": 500}, model)

    async def _pages(
        self, method: str, path: str, body: dict[str, Any] | None, model: type[R]
    ) -> list[R]:
        """Read all pages; each next one is asked for as the first was, on the API's own origin."""
        answer = await self._call(method, path, body)
        found = read_records(answer, model)
        for _ in range(_PAGE_LIMIT):
            url = protocol.next_page(answer)
            if not url:
                return found
            if not protocol.same_origin(url, self._root):
                raise Unanswered("the next page is not on the API's own origin")
            answer = await self._call(method, path, body, url=url)
            found += read_records(answer, model)
        raise Unanswered(f"more than {_PAGE_LIMIT} pages")

    async def _create(self, path: str, body: dict[str, Any], not_after: float) -> int:
        answer = await self._call("POST", path, body, not_after=not_after, write=True)
        item_id = answer.get("itemId")
        if not isinstance(item_id, int) or isinstance(item_id, bool) or item_id <= 0:
            raise Unanswered("the answer names no record")
        return item_id

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
    ) -> dict[str, Any]:
        entity = protocol.entity_of(path)
        try:
            async with self._throttle(entity, write=write):
                self.asked_at = time.monotonic()
                not_after = min(not_after, self.asked_at + PERMIT_SECONDS)
                request = self._request(method, url or self._root + path, body, not_after)
                answer = await send(self._http, request, REQUEST_SECONDS, most)
                return protocol.decipher(*answer)
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
            raise NotSent("an address that Autotask named is none") from error


async def discover_zone(http: httpx.AsyncClient, username: str) -> Zone:
    """Ask Autotask in which zone a user's tenant is; needs no other credentials.

    Raises Unauthorized for an unknown user, Unanswered for a zone that is not Autotask's.
    """
    url = f"{protocol.api_root(_ZONES)}/ZoneInformation"
    request = http.build_request("GET", url, params={"user": username})
    answer = await send(http, request, REQUEST_SECONDS)
    zone = read_record(protocol.decipher(*answer), Zone)
    if not protocol.is_zone_url(zone.url):
        raise Unanswered("the zone's address is not one of Autotask's")
    return zone


async def _guarded(content: bytes, not_after: float) -> AsyncIterator[bytes]:
    """Hand out a request's body, at the last moment before it is written to the socket.

    By now the connection stands. A body that never comes leaves Autotask with an incomplete
    request, which it cannot carry out.
    """
    if time.monotonic() > not_after:
        raise TooLate("the permission to send had run out")
    yield content
