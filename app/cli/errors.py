"""Messages for errors that come from outside: settings, database, Autotask, files."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from app.autotask.errors import AutotaskError
from app.db import database
from app.db.embedded.server import EmbeddedPostgresError
from app.db.schema import SchemaError
from app.outbound.rules import NotNow
from app.outbound.tenant import WrongTenant
from app.settings.environment import SettingsError


def explain(error: Exception) -> str | None:
    """Return the message for an error; None for a defect of the program."""
    match error:
        case SettingsError() | EmbeddedPostgresError() | WrongTenant() | SchemaError():
            text: str | None = str(error)
        case ModuleNotFoundError(name="sandbox"):
            text = "`demo` and `sandbox` need a checkout: this installation is the service alone."
        case DBAPIError():
            reason = database.refusal(error)
            text = reason and f"PostgreSQL cannot be used: {reason}. Check DATABASE_URL."
        case AutotaskError() | NotNow():
            text = f"Autotask cannot be asked now: {error}. Try again later."
        case OSError(filename=str(name)):
            text = f"{name}: {error.strerror}."
        case OSError():
            text = f"{error.strerror or error}. Is the port in use?"
        case _:
            text = None
    return text
