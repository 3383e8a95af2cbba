"""The documented rules of Autotask's API, as functions without I/O.

Facts and their sources: the vendor's developer help, https://www.autotask.net/help/developerhelp/
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from app.autotask.errors import Unanswered

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


_RECORDS = {"companies": "account", "contacts": "contact", "tickets": "ticket"}


def about(path: str) -> str:
    """Return the account or else the record that a path names, as in `account 174`."""
    parts = path.strip("/").split("/")
    kind = _RECORDS.get(parts[0].lower())
    return f"{kind} {int(parts[1])}" if kind and len(parts) > 1 and parts[1].isdigit() else ""


def about_account(account_id: int | None) -> str:
    """Return how a call says which account it is about; empty if that is not known."""
    return "" if account_id is None else f"account {account_id}"


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


# --- answers --------------------------------------------------------------------------------------


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
