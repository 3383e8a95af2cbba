"""The documented rules of Autotask's API, as functions without I/O.

Facts and their sources: the vendor's developer help, https://www.autotask.net/help/developerhelp/
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from app.autotask.errors import (
    AutotaskError,
    Busy,
    Forbidden,
    Overloaded,
    Refusal,
    Refused,
    Unanswered,
    Unauthorized,
)

MAX_ADDITIONAL_CONTACTS = 30
"""Additional contacts per ticket, at most: .../REST/Entities/TicketAdditionalContactsEntity.htm"""

THREADS_PER_ENTITY = 3
"""Requests at once per tracking identifier and entity: .../General/ThreadLimiting.htm"""

REQUESTS_PER_HOUR = 10_000
"""A tenant's default, all tools together: .../REST/General_Topics/REST_Thresholds_Limits.htm"""

NOTE_TITLE = 250
NOTE_DESCRIPTION = 32_000
"""The most characters in a ticket's note: .../REST/Entities/TicketNotesEntity.htm"""

STATUS_COMPLETE = 5
"""The system status "Complete" of a ticket."""

OWN_ORGANISATION = 0
"""The company id of the MSP itself."""

# V2.0 is advertised by /versioninformation and answers 404: the version is pinned.
_VERSION = "v1.0"
_ZONE_HOST = re.compile(r"(webservices\d*|prde|pres)\.autotask\.net", re.ASCII)
_LONGEST_WAIT = 3600.0


# --- addresses of the API: .../REST/General_Topics/REST_Zones.htm --------------------------------


def api_root(url: str) -> str:
    """Return the root of the pinned version for the API's address from a zone or a setting.

    `https://webservices5.autotask.net/ATServicesRest/` becomes `…/ATServicesRest/v1.0`.
    """
    return f"{url.rstrip('/')}/{_VERSION}"


def is_zone_url(url: str) -> bool:
    """Return whether a zone's address is on a host of Autotask's."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(_ZONE_HOST.fullmatch(parts.hostname or ""))


def same_origin(url: str, other: str) -> bool:
    """Return whether two addresses have the same scheme, host and port."""
    try:
        return _origin(url) == _origin(other)
    except ValueError:
        return False


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


_CHILDREN = {
    "additionalcontacts": "TicketAdditionalContacts",
    "attachments": "TicketAttachments",
    "contacts": "Contacts",
    "notes": "TicketNotes",
}


def entity_of(path: str) -> str:
    """Return the entity of a path below the API's root, for child and root paths alike."""
    parts = path.strip("/").split("/")
    if len(parts) >= 3:
        return _CHILDREN.get(parts[2].lower(), parts[0])
    return parts[0]


# --- queries: .../REST/API_Calls/REST_Basic_Query_Calls.htm --------------------------------------

_EMAIL_FIELDS = ("emailAddress", "emailAddress2", "emailAddress3")

LOOKUP_ADDRESSES = 100
LOOKUP_IDS = 150
"""Limits of one contact query: 500 values, and an address counts once per e-mail field."""


def contact_filter(
    company_id: int, addresses: Sequence[str], contact_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """Filter a company's contacts by any e-mail field, inactive ones too, and some by id."""
    wanted: list[dict[str, Any]] = []
    if contact_ids:
        wanted.append({"op": "in", "field": "id", "value": sorted(contact_ids)})
    if addresses:
        by_address = [
            {"op": "in", "field": field, "value": list(addresses)} for field in _EMAIL_FIELDS
        ]
        company = {"op": "eq", "field": "companyID", "value": company_id}
        wanted.append({"op": "and", "items": [company, {"op": "or", "items": by_address}]})
    return [{"op": "or", "items": wanted}]


def created_filter(
    since: datetime, after_id: int, company_id: int | None = None
) -> list[dict[str, Any]]:
    """Filter records created since a time with a greater id, of one company or of all."""
    created = f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"
    wanted: list[dict[str, Any]] = [
        {"op": "gte", "field": "createDate", "value": created},
        {"op": "gt", "field": "id", "value": after_id},
    ]
    if company_id is not None:
        wanted.append({"op": "eq", "field": "companyID", "value": company_id})
    return wanted


# --- answers: .../REST/General_Topics/REST_Error_Codes.htm and what clients report ---------------

# The first pattern that matches decides. Those that stop more than one person's work are whole
# wordings at the start of a text: a text can quote a stranger, for example in a name.
# "No matching records found. The logged in Resource may not have the required permissions" is
# about the record, so it comes before the permissions.
_TEXTS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (meaning, re.compile(pattern, re.IGNORECASE | re.MULTILINE))
    for meaning, pattern in (
        ("missing", r"no matching records found"),
        ("busy", r"^.{0,40}thread threshold|^.{0,20}itgenatr005"),
        ("overloaded", r"^.{0,40}request threshold"),
        ("unanswered", r"^.{0,40}(timeout expired|timed out|was deadlocked)"),
        ("unauthorized", r"^integration ?code is invalid|^invalid user ?name or password"),
        ("unauthorized", r"^zone information could not be determined"),
        ("forbidden", r"^the logged in resource does not have the adequate permissions"),
        ("reference", r"does not exist or is invalid|does not reference an existing"),
        ("duplicate", r"duplicate|already"),
        ("cap", r"maximum|more than \d+|limit of|exceed"),
    )
)


def decipher(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return an answer's JSON object, or raise the AutotaskError that it means.

    Autotask answers most failures with 500 and `{"errors": ["text"]}`; a 500 without texts may
    come from anything in between and says nothing about whether a write took effect.
    """
    parsed = _json_object(body)
    if 200 <= status < 300:
        if parsed is None:
            raise Unanswered(f"status {status} without a JSON object")
        return parsed
    if status == 401:
        raise Unauthorized("Autotask does not accept the credentials (401)")
    if status == 403:
        raise Forbidden("Autotask forbids the call to this API user (403)")
    texts = _error_texts(parsed)
    if status == 404:
        raise Refused(texts or ["no such record or route (404)"], Refusal.MISSING)
    error = _refusal(texts) if texts else None
    if status == 429 and not isinstance(error, Busy):
        raise Overloaded("too many requests (429)", retry_after(headers.get("retry-after")))
    if error:
        raise error
    if 400 <= status < 500:
        raise Refused([f"status {status}"], Refusal.OTHER)
    raise Unanswered(f"status {status}")


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Return a Retry-After header, seconds or a date, in seconds from now, at most an hour."""
    if not value:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(min(int(value.strip()[:9]), _LONGEST_WAIT))
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    try:
        seconds = (at - (now or datetime.now(UTC))).total_seconds()
    except OverflowError:
        return None
    return min(max(0.0, seconds), _LONGEST_WAIT)


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _error_texts(parsed: dict[str, Any] | None) -> list[str]:
    """Read the errors array; most are strings, some clients report objects with a message."""
    errors = (parsed or {}).get("errors")
    if not isinstance(errors, list):
        return []
    texts = [e.get("message") if isinstance(e, dict) else e for e in errors]
    return [printable(str(text))[:500] for text in texts if text]


def printable(text: str) -> str:
    """Return a text as one line of printable characters, safe for a database and a log."""
    line = " ".join(text.split())
    return "".join(char for char in line if char.isprintable())


def next_page(answer: Mapping[str, Any]) -> str | None:
    """Return the address of a query's next page, None after the last one.

    Raise Unanswered if the answer does not say: half a list must not count as a whole one.
    """
    details = answer.get("pageDetails")
    url = details.get("nextPageUrl") if isinstance(details, dict) else details
    if url is None or isinstance(url, str):
        return url or None
    raise Unanswered("the answer's paging cannot be read")


def _refusal(texts: Sequence[str]) -> AutotaskError:
    lines = "\n".join(texts)
    meaning = next((m for m, pattern in _TEXTS if pattern.search(lines)), "other")
    joined = "; ".join(texts)
    if meaning == "busy":
        return Busy(joined)
    if meaning == "overloaded":
        return Overloaded(joined)
    if meaning == "unanswered":
        return Unanswered(joined)
    if meaning == "unauthorized":
        return Unauthorized(joined)
    if meaning == "forbidden":
        return Forbidden(joined)
    return Refused(texts, Refusal(meaning))
