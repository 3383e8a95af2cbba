"""Reasons why a mailbox cannot be read, and the answers of Microsoft's that mean them.

Microsoft's texts are never quoted, because they contain addresses and ids; its codes are.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

import httpx

_SHORTEST_WAIT, _LONGEST_WAIT = 1.0, 3600.0
_SECONDS = re.compile(r"\d+(\.\d+)?", re.ASCII)
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}", re.ASCII)


class Trouble(StrEnum):
    """Why the mailbox cannot be read; each reason has its own cure."""

    THROTTLED = "mailbox_throttled"  # too many requests, ours or others'
    SECRET_EXPIRED = "mailbox_secret_expired"  # noqa: S105 - a code, no secret
    CREDENTIALS = "mailbox_credentials"  # the directory knows the application, but not this secret
    TENANT = "mailbox_tenant"  # no such directory, or the application is not in it
    OUT_OF_SCOPE = "mailbox_out_of_scope"  # the application may not read this mailbox
    MISSING = "mailbox_missing"  # no such mailbox, or it is not in Exchange Online
    AWAY = "mailbox_away"  # no answer, or none that can be understood


class GraphError(Exception):
    """A mailbox could not be read. The text contains no secrets, tokens or addresses."""

    def __init__(self, trouble: Trouble, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.retry_after = retry_after
        """Seconds; None if Microsoft did not say."""


class PageError(GraphError):
    """One page cannot be read, which says nothing about the rest of the mailbox."""


class Unclear(GraphError):
    """There is no answer: from the mailbox, or only to this question."""

    def __init__(self, message: str, *, slow: bool = False) -> None:
        super().__init__(Trouble.AWAY, message)
        self.slow = slow
        """It took too long."""


# https://learn.microsoft.com/entra/identity-platform/reference-error-codes, which warns that the
# numbers change: for a number that is not listed, OAuth's word below decides.
_MEANING_OF_NUMBER = {
    7000222: Trouble.SECRET_EXPIRED,
    7000215: Trouble.CREDENTIALS,  # wrong secret, often the secret's id
    7000112: Trouble.CREDENTIALS,  # application switched off
    90002: Trouble.TENANT,  # no such directory
    900021: Trouble.TENANT,
    900023: Trouble.TENANT,  # not a directory's name
    50059: Trouble.TENANT,  # no directory named
    50194: Trouble.TENANT,  # /common for an application of one directory
    700016: Trouble.TENANT,  # application not in this directory
    7000229: Trouble.TENANT,  # registered, but without consent in this directory
    50196: Trouble.THROTTLED,  # the same request too often
    90055: Trouble.THROTTLED,
}
_MEANING_OF_WORD = {
    "unauthorized_client": Trouble.TENANT,
    "temporarily_unavailable": Trouble.AWAY,
    "server_error": Trouble.AWAY,
}
_SENTENCES = {
    Trouble.SECRET_EXPIRED: "the application's secret has expired",
    Trouble.CREDENTIALS: "the directory does not accept the application's credentials",
    Trouble.TENANT: "no such directory, or the application is not in it",
    Trouble.THROTTLED: "the directory is asked too often",
    Trouble.AWAY: "the directory gives no token",
}


def refused_token(response: httpx.Response) -> GraphError:
    """Return why the directory issued no token.

    The status is 400 or 401 without a rule, so the body decides:
    https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
    """
    if busy := _busy(response):
        return busy
    answer = json_object(response) or {}
    word, number = answer.get("error"), _aadsts(answer)
    if response.status_code >= 500 or not isinstance(word, str):
        return GraphError(Trouble.AWAY, f"the directory answers {response.status_code}")
    trouble = _MEANING_OF_NUMBER.get(number or 0) or _MEANING_OF_WORD.get(word, Trouble.CREDENTIALS)
    named = f"AADSTS{number}" if number else _word(word)
    return GraphError(trouble, f"{_SENTENCES[trouble]} ({response.status_code} {named})")


def refused_call(response: httpx.Response) -> GraphError:
    """Return why Graph returned no messages: https://learn.microsoft.com/graph/errors

    A 404 without Graph's own error object comes from something else at that address.
    """
    if busy := _busy(response):
        return busy
    status = response.status_code
    error = (json_object(response) or {}).get("error")
    code = error.get("code") if isinstance(error, dict) else None
    named = f"({status} {_word(code)})"
    if status == 401:
        return GraphError(Trouble.CREDENTIALS, f"Graph does not accept a fresh token {named}")
    if status == 403:
        message = f"the application may not read this mailbox {named}"
        return GraphError(Trouble.OUT_OF_SCOPE, message)
    if status == 404 and code:
        return GraphError(Trouble.MISSING, f"no such mailbox in Exchange Online {named}")
    if status == 504 or code:
        return Unclear(f"Graph gives no messages {named}", slow=status == 504)
    return GraphError(Trouble.AWAY, f"Graph gives no messages {named}")


def json_object(response: httpx.Response) -> dict[str, Any] | None:
    """Return a body as a JSON object; None if it is not one."""
    try:
        parsed = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def retry_after(response: httpx.Response) -> float | None:
    """Return a Retry-After header, seconds or a date, in seconds from now: a second to an hour.

    None if there is none that can be read. A date counts from the server's own clock.
    """
    text = response.headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    elif (at := _date(text)) is not None:
        now = _date(response.headers.get("date", "")) or datetime.now(UTC)
        seconds = (at - now).total_seconds()
    else:
        return None
    return min(max(_SHORTEST_WAIT, seconds), _LONGEST_WAIT)


def _date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _busy(response: httpx.Response) -> GraphError | None:
    """Return the error for throttling: 429, often without a time, or 503 and 504 with one.
    https://learn.microsoft.com/graph/throttling
    """
    status, wait = response.status_code, retry_after(response)
    if status == 429 or (status in (503, 504) and wait is not None):
        return GraphError(Trouble.THROTTLED, f"Microsoft asks us to wait ({status})", wait)
    return None


def _aadsts(answer: dict[str, Any]) -> int | None:
    """Return the number of a directory's error, from the list or from the text."""
    codes = answer.get("error_codes")
    if isinstance(codes, list) and codes and type(codes[0]) is int:
        return codes[0]
    found = re.search(r"AADSTS(\d{1,9})\b", str(answer.get("error_description")), re.ASCII)
    return int(found[1]) if found else None


def _word(code: object) -> str:
    return code if isinstance(code, str) and _CODE.fullmatch(code) else "without a code"
