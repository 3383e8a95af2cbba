"""Autotask's callouts: their signature and their body. No I/O.

https://www.autotask.net/help/developerhelp/Content/APIs/Webhooks/WEBHOOKS.htm
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass

_MAX_ID = 2**63 - 1


class BadCallout(ValueError):
    """An authentic callout that cannot be understood."""


@dataclass(frozen=True, slots=True)
class Callout:
    """One event as Autotask posted it. None where a key was absent or not usable."""

    action: str
    entity_type: str | None = None
    entity_id: int | None = None
    guid: str | None = None
    sequence_number: int | None = None
    event_time: str | None = None

    @property
    def is_new_ticket(self) -> bool:
        """Return whether a ticket was created."""
        return self._is_ticket and self.action.lower() == "create"

    @property
    def changed_ticket(self) -> int | None:
        """Return the changed or deleted ticket; None for another event or without a usable Id."""
        changed = self._is_ticket and self.action.lower() in ("update", "delete")
        return self.entity_id if changed else None

    @property
    def _is_ticket(self) -> bool:
        return (self.entity_type or "").lower() == "ticket"


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

    Raise BadCallout if it is not an object with an action, or if a required id is missing.
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
    """Return a short text of printable ASCII, which is all that Autotask sends for these keys."""
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        return None
    return value if value.isascii() and value.isprintable() else None


def _whole(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_ID:
        return value
    return None
