"""What Autotask's documentation says, as functions without I/O.

Facts and their sources: the vendor's developer help, https://www.autotask.net/help/developerhelp/
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from app.autotask.errors import (
    AutotaskError,
    Busy,
    Forbidden,
    Refusal,
    Refused,
    Unanswered,
    Unauthorized,
)

MAX_ADDITIONAL_CONTACTS = 30
"""Additional contacts a ticket can have: .../REST/Entities/TicketAdditionalContactsEntity.htm"""

THREADS_PER_ENTITY = 3
"""Requests at once per tracking identifier and entity: .../General/ThreadLimiting.htm"""

REQUESTS_PER_HOUR = 10_000
"""A tenant's default, all tools together: .../REST/General_Topics/REST_Thresholds_Limits.htm"""

STATUS_COMPLETE = 5
"""The system status "Complete" of a ticket."""

OWN_ORGANISATION = 0
"""The company id of the MSP itself."""

# V2.0 is advertised by /versioninformation and answers 404: the version is pinned.
_VERSION = "v1.0"
_ZONE_HOST = re.compile(r"(webservices\d*|prde|pres)\.autotask\.net", re.ASCII)
_MAX_ID = 2**63 - 1


# --- callouts: .../Webhooks/WEBHOOKS.htm ---------------------------------------------------------


class BadCallout(ValueError):
    """An authentic callout that cannot be understood."""


@dataclass(frozen=True, slots=True)
class Callout:
    """One event as Autotask posted it. None where a key was absent or of no use."""

    action: str
    entity_type: str | None = None
    entity_id: int | None = None
    guid: str | None = None
    sequence_number: int | None = None
    event_time: str | None = None

    @property
    def is_new_ticket(self) -> bool:
        """Tell whether this is the one event that the product works on."""
        return self.action.lower() == "create" and (self.entity_type or "").lower() == "ticket"


def signature_is_valid(secrets: Iterable[str], header: str | None, body: bytes) -> bool:
    """Check `X-Hook-Signature: sha1=<base64 HMAC-SHA1>` over the raw bytes, in constant time.

    .../Webhooks/SecretKeyPayloadVerification.htm. Several secrets may be in force at once.
    """
    if not header:
        return False
    try:
        given = base64.b64decode(header.strip().removeprefix("sha1="), validate=True)
    except (binascii.Error, ValueError):
        return False
    valid = False
    for secret in secrets:
        expected = hmac.new(secret.encode(), body, hashlib.sha1).digest()
        valid |= hmac.compare_digest(expected, given)
    return valid


def parse_callout(body: bytes) -> Callout:
    """Read a callout's body, whatever the casing of its keys.

    Raises BadCallout when it is not an object with an action, or names no record where it must.
    """
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        raise BadCallout("the body is not JSON") from None
    if not isinstance(payload, dict):
        raise BadCallout("the body is not a JSON object")
    keys = {key.lower(): value for key, value in payload.items()}
    action = _text(keys.get("action"))
    if action is None:
        raise BadCallout("the body has no Action")
    callout = Callout(
        action=action,
        entity_type=_text(keys.get("entitytype")),
        entity_id=_whole(keys.get("id")),
        guid=_text(keys.get("guid")),
        sequence_number=_whole(keys.get("sequencenumber")),
        event_time=_text(keys.get("eventtime")),
    )
    if callout.entity_type is None and action.lower() != "deactivated":
        raise BadCallout("the body has no EntityType")
    if callout.is_new_ticket and callout.entity_id is None:
        raise BadCallout("the body has no usable Id")
    return callout


def _text(value: object) -> str | None:
    """Take a short text of printable ASCII, as all that Autotask sends for these keys."""
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        return None
    return value if value.isascii() and value.isprintable() else None


def _whole(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_ID:
        return value
    return None


# --- addresses of the API: .../REST/General_Topics/REST_Zones.htm --------------------------------


def api_root(url: str) -> str:
    """Turn the API's address as a zone or a setting gives it into the root of the pinned version.

    `https://webservices5.autotask.net/ATServicesRest/` becomes `…/ATServicesRest/v1.0`.
    """
    return f"{url.rstrip('/')}/{_VERSION}"


def is_zone_url(url: str) -> bool:
    """Tell whether a zone that Autotask named is a host of Autotask's."""
    parts = urlsplit(url)
    return parts.scheme == "https" and bool(_ZONE_HOST.fullmatch(parts.hostname or ""))


def same_origin(url: str, other: str) -> bool:
    """Tell whether two addresses go to the same scheme, host and port."""
    a, b = urlsplit(url), urlsplit(other)
    return (a.scheme, a.hostname, a.port) == (b.scheme, b.hostname, b.port)


_CHILDREN = {"additionalcontacts": "TicketAdditionalContacts", "contacts": "Contacts"}


def entity_of(path: str) -> str:
    """Name the entity that a path below the API's root works on, child and root paths alike."""
    parts = path.strip("/").split("/")
    if len(parts) >= 3:
        return _CHILDREN.get(parts[2].lower(), parts[0])
    return parts[0]


# --- queries: .../REST/API_Calls/REST_Basic_Query_Calls.htm --------------------------------------

_EMAIL_FIELDS = ("emailAddress", "emailAddress2", "emailAddress3")

LOOKUP_ADDRESSES = 100
LOOKUP_IDS = 150
"""What fits one contact query: 500 values, and an address counts once per e-mail field."""


def contact_filter(
    company_id: int, addresses: Sequence[str], contact_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """Ask for a company's contacts by any e-mail field, inactive ones too, and for some by id."""
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


# --- answers: .../REST/General_Topics/REST_Error_Codes.htm and what clients report ---------------

# The first pattern that is found decides. Those that stop more than one person's work are whole
# wordings at the start of a text: a text can quote what a stranger wrote, a name for example.
# "No matching records found. The logged in Resource may not have the required permissions" is
# about the record, so it stands before the permissions.
_TEXTS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (meaning, re.compile(pattern, re.IGNORECASE | re.MULTILINE))
    for meaning, pattern in (
        ("missing", r"no matching records found"),
        ("busy", r"^.{0,40}thread threshold|^.{0,20}itgenatr005|^.{0,40}request threshold"),
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
    """Turn an answer into its JSON object, or raise the AutotaskError that it means.

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
    if status == 429:
        raise Busy("too many requests (429)", retry_after(headers.get("retry-after")))
    texts = _error_texts(parsed)
    if texts:
        raise _refusal(texts)
    if status in (404, 405):
        raise Refused([f"no such record or route ({status})"], Refusal.MISSING)
    if 400 <= status < 500:
        raise Refused([f"status {status}"], Refusal.OTHER)
    raise Unanswered(f"status {status}")


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Read a Retry-After header, seconds or a date, as seconds from now."""
    if not value:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(min(int(value.strip()), 86_400))
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())


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
    return [" ".join(str(text).split())[:500] for text in texts if text]


def _refusal(texts: Sequence[str]) -> AutotaskError:
    lines = "\n".join(texts)
    meaning = next((m for m, pattern in _TEXTS if pattern.search(lines)), "other")
    joined = "; ".join(texts)
    if meaning == "busy":
        return Busy(joined)
    if meaning == "unanswered":
        return Unanswered(joined)
    if meaning == "unauthorized":
        return Unauthorized(joined)
    if meaning == "forbidden":
        return Forbidden(joined)
    return Refused(texts, Refusal(meaning))
