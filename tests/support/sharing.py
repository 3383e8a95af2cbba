"""Parts of libraries that all tests of a worker share, because each test would make them anew.

What the tests see stays the same: statements are compiled, and certificates loaded, only once.
"""

from __future__ import annotations

import sys
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, Dialect, Engine, event

_dialects: dict[type[Dialect], Dialect] = {}
_compiled: dict[Any, Any] = {}


@event.listens_for(Engine, "engine_connect")
def _share_compiled_statements(connection: Connection) -> None:
    # SQLAlchemy keeps them by engine, and by dialect, of which each engine has one.
    connection.dialect = _dialects.setdefault(type(connection.dialect), connection.dialect)
    connection.execution_options(compiled_cache=_compiled)


def share(patch: pytest.MonkeyPatch) -> None:
    """Load the certificates for all clients, and spare httpcore its search for sniffio."""
    context = httpx.create_ssl_context()
    patch.setattr("httpx._transports.default.create_ssl_context", lambda **_: context)
    # It is not installed, and looked for with each request: see httpcore/_synchronization.py.
    patch.setitem(sys.modules, "sniffio", None)
