"""Keys to the admin API: read them from text, and find the one of a request."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

Role = Literal["read", "write", "intake"]

_RESERVED = {"cli": "the command line", "service": "the service itself"}


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key to the admin API: the name of its holder, and what it permits."""

    name: str
    role: Role
    key: str = field(repr=False)


def parse_keys(text: str) -> tuple[ApiKey, ...]:
    """Read a comma-separated list of name:role:key. Raise ValueError if it is wrong."""
    keys = tuple(_api_key(part) for part in text.split(",") if part.strip())
    if min(len({key.key for key in keys}), len({key.name for key in keys})) < len(keys):
        raise ValueError("names and keys must differ from each other")
    return keys


def _api_key(text: str) -> ApiKey:
    name, _, rest = text.strip().partition(":")
    role, _, key = rest.partition(":")
    if role not in ("read", "write", "intake") or not name:
        raise ValueError("each is name:role:key, with role read, write or intake")
    if name.lower() in _RESERVED:
        raise ValueError(
            f"the audit calls {_RESERVED[name.lower()]} {name.lower()}: name the key otherwise"
        )
    if not (key.isascii() and key.isprintable()):
        raise ValueError("keys are plain ASCII: they are sent as HTTP headers")
    if len(key) < 32:
        raise ValueError("each key takes 32 characters or more")
    return ApiKey(name, cast(Role, role), key)


def find_key(keys: Sequence[ApiKey], header: str | None) -> ApiKey | None:
    """Return the key of an Authorization header. How long it takes reveals nothing about it."""
    scheme, _, presented = (header or "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    # Starlette decodes headers as Latin-1; this restores the bytes that were sent.
    digest = hashlib.sha256(presented.strip().encode("latin-1")).digest()
    match = None
    for key in keys:
        if hmac.compare_digest(hashlib.sha256(key.key.encode()).digest(), digest):
            match = key
    return match
