"""Reads the settings from the environment and a `.env` file, and nothing else.

A setting that holds a secret can also be given as a file: `NAME_FILE=/path` instead of `NAME`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import ValidationError

from app.settings.settings import Settings

FILES = (
    "DATABASE_URL",
    "AUTOTASK_SECRET",
    "AUTOTASK_INTEGRATION_CODE",
    "WEBHOOK_SECRETS",
    "API_KEYS",
    "GRAPH_CLIENT_SECRET",
)
"""Settings that can be given as a file."""


class SettingsError(Exception):
    """The configuration is missing something or wrong; the message names all of it."""


def load_settings(
    environ: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")
) -> Settings:
    """Read the settings from the environment, which wins, and from a file in its format.

    Raises SettingsError, with every setting that is missing or wrong in one message.
    """
    if environ is None:
        # Not interpolated: a password may have ${ in it, and single quotes do not keep it.
        file = dotenv_values(env_file, interpolate=False) if env_file else {}
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
    for name in FILES:
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
