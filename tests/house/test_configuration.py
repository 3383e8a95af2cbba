"""What is written about the settings, held against the settings."""

from __future__ import annotations

import re

from app.settings.environment import FILES
from app.settings.settings import Settings
from tests.support.configuration import PAGE, document

ROOT = PAGE.parents[1]
SETTINGS = {name.upper() for name in Settings.model_fields}
EXAMPLE = re.findall(r"^#?([A-Z][A-Z_]*)=", (ROOT / ".env.example").read_text(), re.MULTILINE)


def test_the_page_on_configuration_is_up_to_date() -> None:
    """It is written from the settings, and committed with them."""
    assert PAGE.read_text(encoding="utf-8") == document(), "Run `make docs` and commit the page."


def test_the_example_names_every_setting_once() -> None:
    """Set or commented out, so that a copy shows all settings."""
    missing = SETTINGS - set(EXAMPLE)
    assert not missing, f"Describe in .env.example: {sorted(missing)}"
    assert len(EXAMPLE) == len(set(EXAMPLE))


def test_the_example_names_nothing_else() -> None:
    """A setting that is gone would be set in vain; some are docker-compose.yml's own."""
    compose = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    unknown = set(EXAMPLE) - SETTINGS - compose
    assert not unknown, f"No such settings, remove from .env.example: {sorted(unknown)}"


def test_every_secret_can_be_a_file() -> None:
    """What is kept out of representations is a secret, and is documented as one."""
    secrets = {name.upper() for name, field in Settings.model_fields.items() if not field.repr}
    assert secrets == set(FILES)
    assert all(f"`{name}_FILE`" in document() for name in secrets)
