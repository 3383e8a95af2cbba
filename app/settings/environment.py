"""Read the settings from environment variables and a `.env` file.

A secret can also be given as a file: `NAME_FILE=/path` in place of `NAME`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from app.settings.settings import Settings

FILES = tuple(name.upper() for name, field in Settings.model_fields.items() if not field.repr)
"""Settings that can be given as a file: all secrets."""


class SettingsError(Exception):
    """A setting is missing or wrong; the message names all of them."""


def load_settings(
    environ: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")
) -> Settings:
    """Read the settings from the process's environment, and from a file for what is not in it.

    With `environ` only that is read. Raises SettingsError, which names every setting that is
    missing or wrong, or the file that is no text.
    """
    if environ is None:
        environ = _file(env_file) | dict(os.environ)
    variables = _Variables(_Fields, environ)
    problems = variables.problems
    try:
        settings = Settings(**variables())
    except ValidationError as error:
        problems += map(_problem, error.errors(include_input=False, include_url=False))
    if problems:
        raise SettingsError("\n".join(["The configuration needs attention:", *problems]))
    return settings


def _file(path: Path | None) -> dict[str, str]:
    try:
        # Not interpolated: a password may contain ${, which single quotes do not protect.
        file = dotenv_values(path, interpolate=False, encoding="utf-8-sig") if path else {}
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8: save it as UTF-8.") from None
    return {name: text for name, text in file.items() if text is not None}


class _Fields(BaseSettings, Settings):
    """The settings as pydantic-settings reads them; lists and JSON are left to their types."""

    model_config = SettingsConfigDict(enable_decoding=False)


class _Variables(EnvSettingsSource):
    """Variables, and the files that `NAME_FILE` names. An empty variable counts as unset."""

    def __init__(self, fields: type[BaseSettings], variables: Mapping[str, str]) -> None:
        super().__init__(fields)
        self.env_vars = {name.lower(): text for name, text in variables.items() if text}
        self.problems: list[str] = []

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        value, key, is_complex = super().get_field_value(field, field_name)
        name, path = field_name.upper(), self.env_vars.get(f"{field_name}_file")
        if field.repr or path is None:
            return value, key, is_complex
        if value is not None:
            self.problems.append(f"  {name}: set it or {name}_FILE, not both")
            return value, key, is_complex
        try:
            value = Path(path).read_text(encoding="utf-8").strip() or None
        except (OSError, ValueError) as error:
            self.problems.append(f"  {name}_FILE: cannot be read ({type(error).__name__})")
        else:
            if value is None:
                self.problems.append(f"  {name}_FILE: the file is empty")
        return value, key, is_complex


def _problem(error: ErrorDetails) -> str:
    message = error["msg"].removeprefix("Value error, ")
    field = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "missing":
        message = f"is missing ({Settings.model_fields[field].description})"
    return f"  {field.upper()}: {message}" if field else f"  {message}"
