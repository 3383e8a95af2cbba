"""The types of settings: lists, numbers, JSON, addresses and URLs, each written as text."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Annotated, Any, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from app.autotask.models import NewContact
from app.decide.policy import PolicyDocument, PresetName
from app.mail.addresses import address_key
from app.settings.cc_sources import CC_SOURCES
from app.settings.keys import ApiKey, parse_keys


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
    """Read a policy, or the name of a preset."""
    if not isinstance(value, str):
        return value
    return {"preset": value} if value.strip() in get_args(PresetName) else _json(value)


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


def _domain_keys(value: tuple[str, ...]) -> tuple[str, ...]:
    keys = [address_key(f"x@{domain.removeprefix('@')}") for domain in value]
    if None in keys:
        raise ValueError("each must be a domain, like example.com")
    return tuple(key.removeprefix("x@") for key in keys if key)


def _secret_lengths(value: tuple[str, ...]) -> tuple[str, ...]:
    if any(not 16 <= len(secret) <= 64 for secret in value):
        raise ValueError("each secret takes 16 to 64 characters")
    return value


def _keys(value: object) -> object:
    return parse_keys(value) if isinstance(value, str) else value


def _sources(value: tuple[str, ...]) -> tuple[str, ...]:
    value = tuple(re.sub(r"^udf:\s+", "udf:", source) for source in value)
    known = [source in CC_SOURCES or re.match(r"udf:.", source) for source in value]
    if not value or not all(known):
        raise ValueError(f"each is udf:<name of a ticket field> or {', '.join(CC_SOURCES)}")
    return tuple(dict.fromkeys(value))


def _without_own_domains(value: PolicyDocument) -> PolicyDocument:
    if value.own_domains:
        raise ValueError("own_domains belong to an account: PUT /admin/accounts/{id}/policy")
    return value


def _without_core_fields(value: dict[str, Any]) -> dict[str, Any]:
    new = NewContact(first_name="", last_name="", email="", note="", extra={})
    ours = {name.lower() for name in new.body(0)}
    wrong = sorted(name for name in value if name.lower() in ours)
    if wrong:
        raise ValueError(f"these fields are set by the product: {', '.join(wrong)}")
    return value


def _postgres(value: str) -> str:
    """Return a PostgreSQL URL as SQLAlchemy reads it."""
    scheme, sep, rest = value.partition("://")
    if not sep or scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise ValueError("must start with postgresql://")
    try:
        make_url(f"postgresql+psycopg://{rest}")
    except (ArgumentError, ValueError):
        raise ValueError("is not postgresql://user:password@host:port/database") from None
    return f"postgresql+psycopg://{rest}"


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _over_tls(value: str) -> str:
    """Check a URL to which credentials go: without TLS only on this machine."""
    url = urlsplit(value)
    if not url.hostname or url.query or url.fragment or (url.port or 1) < 1:
        raise ValueError("must be https://host, with a path at most")
    if url.username or url.password:
        raise ValueError("must not contain a user name or password")
    if url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname or "")):
        return re.sub(r"(/v1\.0)?/*$", "", value, flags=re.IGNORECASE)
    raise ValueError("must be https://…, or http:// on this machine")


Listed = Annotated[tuple[str, ...], BeforeValidator(_list)]
Numbers = Annotated[tuple[int, ...], BeforeValidator(_list)]
Addresses = Annotated[Listed, AfterValidator(_address_keys)]
Domains = Annotated[Listed, AfterValidator(_domain_keys)]
CcSources = Annotated[Listed, AfterValidator(_sources)]
WebhookSecrets = Annotated[Listed, AfterValidator(_secret_lengths)]
ApiKeys = Annotated[tuple[ApiKey, ...], BeforeValidator(_keys)]
HeaderText = Annotated[str, AfterValidator(_fit_for_header)]
DirectoryId = Annotated[str, AfterValidator(_directory_id)]
Trimmed = Annotated[str, AfterValidator(str.strip)]
DatabaseUrl = Annotated[str, AfterValidator(_postgres)]
Url = Annotated[str, AfterValidator(_over_tls)]
PolicyText = Annotated[PolicyDocument, BeforeValidator(_policy)]
DefaultPolicy = Annotated[PolicyText, AfterValidator(_without_own_domains)]
ContactDefaults = Annotated[
    dict[str, Any], BeforeValidator(_json), AfterValidator(_without_core_fields)
]
