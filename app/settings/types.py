"""What settings are written as: lists, numbers, JSON and addresses in text."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Annotated, Any, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator

from app.decide.policy import PolicyDocument, PresetName
from app.mail.addresses import address_key


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


def _fit_for_header(value: str) -> str:
    value = value.strip()
    if not (value and value.isascii() and value.isprintable()):
        raise ValueError("must be plain ASCII: it is sent as an HTTP header")
    return value


def _directory_id(value: str | None) -> str | None:
    if value and not re.fullmatch(r"\w[\w.-]*", value.strip(), re.ASCII):
        raise ValueError("is the id that the app's overview page shows")
    return value.strip() if value else None


def _address_keys(value: tuple[str, ...]) -> tuple[str, ...]:
    keys = [address_key(address) for address in value]
    if None in keys:
        raise ValueError("each must be an e-mail address")
    return tuple(key for key in keys if key)


JsonObject = Annotated[dict[str, Any], BeforeValidator(_json)]
HeaderText = Annotated[str, AfterValidator(_fit_for_header)]
DirectoryId = Annotated[str, AfterValidator(_directory_id)]
Addresses = Annotated[tuple[str, ...], BeforeValidator(_list), AfterValidator(_address_keys)]
PolicyText = Annotated[PolicyDocument, BeforeValidator(_policy)]


def is_loopback(host: str) -> bool:
    """Tell whether a host's name or address is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _over_tls(value: str) -> str:
    """Credentials go there with every call: in the clear only on this machine."""
    url = urlsplit(value)
    if not url.hostname or url.query or url.fragment or (url.port or 1) < 1:
        raise ValueError("must be https://host, with a path at most")
    if url.username or url.password:
        raise ValueError("must not contain a user name or password")
    if url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname or "")):
        return re.sub(r"(/v1\.0)?/*$", "", value, flags=re.IGNORECASE)
    raise ValueError("must be https://…, or http:// on this machine")


Url = Annotated[str, AfterValidator(_over_tls)]
