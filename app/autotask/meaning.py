"""What an answer of Autotask's means, by its status, headers and texts. Pure.

Statuses and texts: https://www.autotask.net/help/developerhelp/Content/APIs/REST/General_Topics/REST_Error_Codes.htm
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from app.autotask.errors import (
    AutotaskError,
    Busy,
    Forbidden,
    Intercepted,
    Overloaded,
    Refusal,
    Refused,
    Unanswered,
    Unauthorized,
)
from app.autotask.protocol import printable

_SHORTEST_WAIT, _LONGEST_WAIT = 1.0, 3600.0

# The first pattern that matches decides. Those that stop more than one person's work are whole
# wordings at the start of a text: a text can quote a stranger, for example in a name.
# "No matching records found. The logged in Resource may not have the required permissions" is
# about the record, so it comes before the permissions. The texts about one record were reported
# from a live tenant.
_THRESHOLD = (
    r"^(?:(?:the|your|this|autotask|api|rest|soap|web|services?|external|tenant|hourly|error|of"
    r"|database|maximum|number|allowed|has|have|been|you|reached|exceeded)[ :]+){0,10}"
)
_TEXTS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (meaning, re.compile(pattern, re.IGNORECASE | re.MULTILINE))
    for meaning, pattern in (
        ("missing", r"no matching records found"),
        ("busy", _THRESHOLD + r"thread threshold|^(error )?itgenatr005"),
        ("overloaded", _THRESHOLD + r"request threshold"),
        ("unanswered", r"^.{0,40}(timeout expired|timed out|was deadlocked)"),
        ("unauthorized", r"^integration ?code is invalid|^invalid user ?name or password"),
        ("unauthorized", r"^zone information could not be determined"),
        ("record", r"^you do not have permission to [a-z ]+ that you did not create"),
        ("record", r"^user not authorized to change"),
        ("forbidden", r"^the logged in resource does not have the adequate permissions"),
        ("reference", r"does not exist or is invalid|does not reference an existing"),
        ("duplicate", r"duplicate|already"),
        ("cap", r"maximum|more than \d+|limit of|exceed"),
    )
)

# What an answer of Autotask's has at its top. Its failures have `errors`, or the `Message` of the
# framework below it.
_FAILS = ("errors", "message")
_ANSWERS = (
    *("item", "items", "itemid", "fields", "info", "querycount", "pagedetails", "errors"),
    *("url", "zonename", "externalrequestthreshold", "apiversions"),
)


def decipher(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return an answer's JSON object, or raise the AutotaskError that it means.

    Autotask answers most failures with 500 and `{"errors": ["text"]}`; a 500 without texts may
    come from anything in between and says nothing about whether a write took effect. Its 401 and
    403 have no body, as live tenants show. A page or a text is not Autotask's, whatever its status.
    """
    parsed = _json_object(body)
    if 200 <= status < 300:
        if not body.strip():
            raise Unanswered(f"status {status} without a JSON object")
        if parsed is None or not _has_any(parsed, _ANSWERS):
            raise _intercepted(status, headers)
        return parsed
    if status == 429:
        raise _too_many(headers, _error_texts(parsed))
    foreign = bool(body.strip()) and not (parsed is not None and _has_any(parsed, _FAILS))
    if status < 400 or status == 407 or (foreign and status < 500):
        raise _intercepted(status, headers)
    if foreign:
        raise Unanswered(f"status {status}, and no answer in Autotask's form")
    raise _failure(status, _error_texts(parsed))


def _failure(status: int, texts: Sequence[str]) -> AutotaskError:
    """Return what a failure in Autotask's form means."""
    if status == 401:
        return Unauthorized("Autotask does not accept the credentials (401)")
    if status == 404:
        return Refused(texts or ["no such record or route (404)"], Refusal.MISSING)
    if status == 403 and not (texts and _meaning(texts) == "record"):
        return Forbidden("Autotask forbids the call to this API user (403)")
    if texts:
        return _refusal(texts)
    if status < 500:
        return Refused([f"status {status}"], Refusal.OTHER)
    return Unanswered(f"status {status}")


def _too_many(headers: Mapping[str, str], texts: Sequence[str]) -> AutotaskError:
    seconds = retry_after(headers.get("retry-after"))
    if texts and _meaning(texts) == "busy":
        return Busy("; ".join(texts), seconds)
    return Overloaded("; ".join(texts) or "too many requests (429)", seconds)


def _intercepted(status: int, headers: Mapping[str, str]) -> Intercepted:
    kind = printable(headers.get("content-type", "").partition(";")[0])[:40] or "no type"
    return Intercepted(
        f"something between this machine and Autotask answered in its place ({status}, {kind})"
    )


def _has_any(parsed: Mapping[str, Any], names: Sequence[str]) -> bool:
    return any(name.lower() in names for name in parsed)


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Return a Retry-After header, seconds or a date, in seconds from now: one to an hour.

    None if it is missing or cannot be understood.
    """
    if not value:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return _bounded(int(value.strip()[:9]))
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    try:
        seconds = (at - (now or datetime.now(UTC))).total_seconds()
    except OverflowError:
        return None
    return _bounded(seconds)


def _bounded(seconds: float) -> float:
    return min(max(_SHORTEST_WAIT, seconds), _LONGEST_WAIT)


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


def _meaning(texts: Sequence[str]) -> str:
    lines = "\n".join(texts)
    return next((meaning for meaning, pattern in _TEXTS if pattern.search(lines)), "other")


def _refusal(texts: Sequence[str]) -> AutotaskError:
    meaning = _meaning(texts)
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
    return Refused(texts, Refusal.OTHER if meaning == "record" else Refusal(meaning))
