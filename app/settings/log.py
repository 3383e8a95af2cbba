"""Structured logs, as JSON or for people to read, without secrets and with addresses masked."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Hashable
from typing import Any

import structlog

from app.mail.addresses import mask

_SPARED = ("uvicorn.error", "asyncio")  # what strangers can make them say has no end


class Sparing:
    """Lets a few lines of each kind through every minute, and counts the others."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kinds: dict[Hashable, tuple[float, int]] = {}  # since when, how many

    def spare(self, kind: Hashable) -> dict[str, int] | None:
        """Return None for a line that is to be left out, else what to add to it: how many were.

        Kinds come from a closed set: none is forgotten.
        """
        now = time.monotonic()
        since, number = self._kinds.get(kind, (now, 0))
        if now - since >= 60.0:
            self._kinds[kind] = now, 1
            return {"left_out": number - self._most} if number > self._most else {}
        self._kinds[kind] = since, number + 1
        return {} if number < self._most else None


class _SparingFilter(logging.Filter):
    """Spares lines of libraries; a kind is how a line begins."""

    def __init__(self) -> None:
        super().__init__()
        self._sparing = Sparing(5)

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name not in _SPARED:
            return True
        more = self._sparing.spare((record.name, str(record.msg)[:30]))
        if more:
            record.msg = f"{record.msg} ({more['left_out']} more in the minute before)"
        return more is not None


def configure(log_format: str, *, quiet: bool = False) -> None:
    """Write all logs, also those of libraries, in one masked format to standard error.

    With `quiet` write warnings and errors only.
    """
    level = logging.WARNING if quiet else logging.INFO
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _mask_addresses,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(_SparingFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("httpx", "httpcore", "uvicorn.access", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers[:] = []


def _mask_addresses(_logger: Any, _name: str, event: Any) -> Any:
    """Mask addresses in every value, tracebacks included: they are personal data."""
    return {key: _masked(value) for key, value in event.items()}


def _masked(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {mask(str(key)): _masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(item) for item in value]
    return mask(str(value))
