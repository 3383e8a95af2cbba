"""Write docs/configuration.md from the settings themselves: `make docs`."""

from __future__ import annotations

from pathlib import Path

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from app.decide.policy import PolicyDocument
from app.settings.environment import FILES
from app.settings.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"

_HEAD = """\
# Configuration

Written from `app/settings/settings.py` by `make docs`; a test fails when it is out of date.

Settings are environment variables, or lines of a file `.env` in the working directory; the
environment wins, and an empty value counts as unset. Lists are separated by commas. If settings
are missing or wrong, the service does not start: one message names all of them, without their
values. Begin with a copy of `.env.example`.

A secret can be given as a file instead: `NAME_FILE=/path/to/file` in place of `NAME`, as Docker
and Kubernetes provide secrets. White space around the text is removed.

One of `OWN_ADDRESSES` and `OWN_DOMAINS` is required as well.

| setting | default | what it is |
| --- | --- | --- |
"""


def document() -> str:
    """Write the page."""
    return _HEAD + "".join(
        f"| `{name.upper()}` | {_default(field)} | {_what(name.upper(), field)} |\n"
        for name, field in Settings.model_fields.items()
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    if field.default is None or field.default in ((), {}):
        return "none"
    if isinstance(field.default, PolicyDocument):
        return f"`{field.default.model_dump_json(exclude_none=True)}`"
    if isinstance(field.default, tuple):
        return f"`{','.join(field.default)}`"
    return f"`{str(field.default).lower() if field.annotation is bool else field.default}`"


def _what(name: str, field: FieldInfo) -> str:
    assert field.description, f"{name} needs a description."
    text = field.description.replace("|", "\\|").replace("<", "&lt;")
    limits = [
        f"{word} {limit:g}"
        for one in field.metadata
        for kind, word in ((Ge, "from"), (Gt, "above"), (Le, "to"))
        if isinstance(one, kind)
        and isinstance(limit := getattr(one, kind.__name__.lower()), float | int)
    ]
    secret = f". **Secret**, or `{name}_FILE`" if name in FILES else ""
    return f"{text}{'; ' if limits else ''}{' '.join(limits)}{secret}"


if __name__ == "__main__":
    PAGE.write_text(document(), encoding="utf-8")
