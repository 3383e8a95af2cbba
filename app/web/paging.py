"""Cursor pages: each page names where the next one starts, so that new rows shift nothing."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict

from app.web.problems import Problem

T = TypeVar("T")
R = TypeVar("R")

Limit = Annotated[int, Query(ge=1, le=200, description="the most items to return")]
Cursor = Annotated[str | None, Query(max_length=1000, description="`next` of the previous page")]


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    model_config = ConfigDict(use_attribute_docstrings=True)
    items: list[T]
    next: str | None
    """Cursor of the next page; null on the last one."""


def page(
    rows: Sequence[R], limit: int, show: Callable[[R], T], key: Callable[[R], int | str]
) -> Page[T]:
    """Make a page of rows that were queried with `limit + 1`.

    `show` turns a row into an item, `key` returns the value that the list is ordered by.
    """
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(items=[show(row) for row in shown], next=_write(key(shown[-1])) if more else None)


def after_number(cursor: str | None) -> int | None:
    """Return the last number of the previous page of a list that is ordered by a number."""
    value = _read(cursor)
    if value is None or (isinstance(value, int) and 0 <= value < 2**63):
        return value
    raise _bad()


def after_text(cursor: str | None) -> str | None:
    """Return the last text of the previous page of a list that is ordered by a text."""
    value = _read(cursor)
    if value is None or (isinstance(value, str) and "\0" not in value and value.isprintable()):
        return value
    raise _bad()


def _write(key: int | str) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def _read(cursor: str | None) -> int | str | None:
    if cursor is None:
        return None
    try:
        value = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        raise _bad() from None
    if isinstance(value, int | str) and not isinstance(value, bool):
        return value
    raise _bad()


def _bad() -> Problem:
    return Problem(422, "The cursor is invalid: start without one, then use `next`.")
