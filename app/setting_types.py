"""What settings are written as: lists, numbers and JSON in text; hosts of this machine."""

from __future__ import annotations

import ipaddress
import json
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator

from app.policy import PolicyDocument, PresetName


def _list(value: object) -> object:
    """Read a comma-separated list."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _json(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("is not JSON") from None


def _policy(value: object) -> object:
    """Read a policy, or a preset's name."""
    if not isinstance(value, str):
        return value
    return {"preset": value} if value.strip() in get_args(PresetName) else _json(value)


Listed = Annotated[tuple[str, ...], BeforeValidator(_list)]
Numbers = Annotated[tuple[int, ...], BeforeValidator(_list)]
JsonObject = Annotated[dict[str, Any], BeforeValidator(_json)]
PolicyText = Annotated[PolicyDocument, BeforeValidator(_policy)]


def is_loopback(host: str) -> bool:
    """Tell whether a host's name or address is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
