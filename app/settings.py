"""Everything that can be configured, from the environment and a `.env` file, and nothing else.

A setting that holds a secret can also be given as a file: `NAME_FILE=/path` instead of `NAME`.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from app.addresses import address_key
from app.autotask.client import Credentials
from app.autotask.models import NewContact
from app.keys import ApiKey, parse_keys

_FILES = (
    "DATABASE_URL",
    "AUTOTASK_SECRET",
    "AUTOTASK_INTEGRATION_CODE",
    "WEBHOOK_SECRETS",
    "API_KEYS",
)


class SettingsError(Exception):
    """The configuration is missing something or wrong; the message names all of it."""


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


Listed = Annotated[tuple[str, ...], BeforeValidator(_list)]


class Settings(BaseSettings):
    """The configuration of one deployment, which serves one Autotask tenant."""

    model_config = SettingsConfigDict(hide_input_in_errors=True, extra="ignore", frozen=True)

    database_url: str | None = Field(
        None, repr=False, description="PostgreSQL; unset: an embedded one in DATA_DIR, for trials"
    )
    data_dir: Path | None = Field(None, description="where the embedded PostgreSQL keeps its data")

    autotask_username: str = Field(min_length=1, description="user name of the API user")
    autotask_secret: str = Field(min_length=1, repr=False, description="its password")
    autotask_integration_code: str = Field(
        min_length=1, repr=False, description="its tracking identifier"
    )
    autotask_api_url: str | None = Field(
        None, description="the API's address; unset: asked from Autotask by the user name"
    )

    webhook_secrets: Listed = Field(
        (), repr=False, description="secrets of the webhook, 16 to 64 characters; none: it is off"
    )
    api_keys: tuple[ApiKey, ...] = Field(
        (), repr=False, description="name:role:key, role read, write or intake; key 32 or more"
    )

    own_addresses: Listed = Field((), description="the help desk's own mailboxes, aliases too")
    own_domains: Listed = Field(
        (), validate_default=True, description="domains that belong to the help desk itself"
    )
    cc_sources: Listed = Field(
        ("udf:CC",), description="where a ticket's Cc list is read: udf:<name of a ticket field>"
    )
    catch_all_accounts: Annotated[tuple[int, ...], BeforeValidator(_list)] = Field(
        (), description="company ids that hold mail of unknown senders; nobody is added there"
    )
    contact_defaults: Annotated[dict[str, Any], BeforeValidator(_json)] = Field(
        {}, description="JSON: further fields of new contacts, where the tenant requires them"
    )

    settle_seconds: float = Field(3, ge=0, le=600, description="from a callout to the first look")
    create_settle: float = Field(
        330, ge=1, le=3600, description="seconds until a create without an answer is looked up"
    )
    budget_share: float = Field(0.5, gt=0, le=1, description="our share of the tenant's API calls")
    budget_window: float = Field(3600, ge=1, le=3600, description="the budget's window, seconds")

    run_worker: bool = Field(True, description="let the API process work, too")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on")
    log_format: Literal["json", "console"] = Field("json", description="json or console")

    @property
    def credentials(self) -> Credentials:
        """What Autotask wants to see on every call."""
        return Credentials(
            self.autotask_username, self.autotask_secret, self.autotask_integration_code
        )

    @field_validator("database_url")
    @classmethod
    def _postgres_only(cls, value: str | None) -> str | None:
        if not value:
            return None
        scheme, sep, rest = value.partition("://")
        if not sep or scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
            raise ValueError("must start with postgresql://")
        try:
            make_url(f"postgresql+psycopg://{rest}")
        except (ArgumentError, ValueError):
            raise ValueError("is not postgresql://user:password@host:port/database") from None
        return f"postgresql+psycopg://{rest}"

    @field_validator("autotask_username", "autotask_secret", "autotask_integration_code")
    @classmethod
    def _fit_for_headers(cls, value: str) -> str:
        value = value.strip()
        if not (value and value.isascii() and value.isprintable()):
            raise ValueError("must be plain ASCII: it is sent as an HTTP header")
        return value

    @field_validator("autotask_api_url")
    @classmethod
    def _api_over_tls(cls, value: str | None) -> str | None:
        """Credentials go there with every call: in the clear only on this machine."""
        if not value:
            return None
        url = urlsplit(value)
        if url.username or url.password:
            raise ValueError("must not contain a user name or password")
        if url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.hostname or "")):
            return re.sub(r"(/v1\.0)?/*$", "", value, flags=re.IGNORECASE)
        raise ValueError("must be https://…, or http:// on this machine")

    @field_validator("webhook_secrets")
    @classmethod
    def _secret_lengths(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not 16 <= len(secret) <= 64 for secret in value):
            raise ValueError("each secret takes 16 to 64 characters")
        return value

    @field_validator("api_keys", mode="before")
    @classmethod
    def _parse_keys(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return parse_keys(value)

    @field_validator("own_addresses")
    @classmethod
    def _address_keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        keys = [address_key(address) for address in value]
        if None in keys:
            raise ValueError("each must be an e-mail address")
        return tuple(key for key in keys if key)

    @field_validator("own_domains")
    @classmethod
    def _domain_keys(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        keys = [address_key(f"x@{domain.removeprefix('@')}") for domain in value]
        if None in keys:
            raise ValueError("each must be a domain, like example.com")
        if not keys and info.data.get("own_addresses") == ():
            raise ValueError(
                "one of OWN_ADDRESSES and OWN_DOMAINS is required, or a help-desk mailbox in a Cc "
                "becomes a mail loop"
            )
        return tuple(key.removeprefix("x@") for key in keys if key)

    @field_validator("cc_sources")
    @classmethod
    def _known_sources(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [source for source in value if not source.removeprefix("udf:").strip()]
        wrong += [source for source in value if not source.startswith("udf:")]
        if wrong or not value:
            raise ValueError("this version reads udf:<name of a ticket field>, comma-separated")
        return value

    @field_validator("contact_defaults")
    @classmethod
    def _no_core_fields(cls, value: dict[str, Any]) -> dict[str, Any]:
        new = NewContact(first_name="", last_name="", email="", note="", extra={})
        ours = {name.lower() for name in new.body(0)}
        wrong = sorted(name for name in value if name.lower() in ours)
        if wrong:
            raise ValueError(f"these fields are set by the product: {', '.join(wrong)}")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from load_settings alone, which has read the environment."""
        return (init_settings,)


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment, which wins, and `.env` in the working directory.

    Raises SettingsError, with every setting that is missing or wrong in one message.
    """
    if environ is None:
        # Not interpolated: a password may have ${ in it, and single quotes do not keep it.
        file = dotenv_values(".env", interpolate=False)
        environ = {k: v for k, v in file.items() if v is not None} | dict(os.environ)
    values = {k.upper(): v for k, v in environ.items() if v != ""}
    problems = _read_files(values)
    names = {name.upper(): name for name in Settings.model_fields}
    given: dict[str, Any] = {names[k]: v for k, v in values.items() if k in names}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        problems += [
            _problem(dict(e)) for e in error.errors(include_input=False, include_url=False)
        ]
    if problems:
        raise SettingsError("\n".join(["The configuration needs attention:", *problems]))
    return settings


def _read_files(values: dict[str, str]) -> list[str]:
    problems = []
    for name in _FILES:
        path = values.get(f"{name}_FILE")
        if path is None:
            continue
        if name in values:
            problems.append(f"  {name}: set it or {name}_FILE, not both")
            continue
        try:
            values[name] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            problems.append(f"  {name}_FILE: cannot be read ({type(error).__name__})")
            continue
        if not values[name]:
            problems.append(f"  {name}_FILE: the file is empty")
    return problems


def _problem(error: dict[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    name = str(error["loc"][0]).upper() if error["loc"] else ""
    if error["type"] == "missing":
        message = f"is missing ({Settings.model_fields[str(error['loc'][0])].description})"
    return f"  {name}: {message}" if name else f"  {message}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
