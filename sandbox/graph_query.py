"""Read the query options of a request for messages that Graph is known to accept."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from operator import eq, ge, gt, le, lt
from typing import Any

from sandbox.graph import Mail

# https://learn.microsoft.com/graph/api/resources/message#properties
_PROPERTIES = frozenset(
    "bccRecipients body bodyPreview categories ccRecipients changeKey conversationId"
    " conversationIndex createdDateTime flag from hasAttachments id importance"
    " inferenceClassification internetMessageHeaders internetMessageId"
    " isDeliveryReceiptRequested isDraft isRead isReadReceiptRequested lastModifiedDateTime"
    " parentFolderId receivedDateTime replyTo sender sentDateTime subject toRecipients"
    " uniqueBody webLink".split()
)
_ONLY_WHEN_SELECTED = {"internetMessageHeaders"}
_OPTIONS = {"$filter", "$orderby", "$select", "$top", "$skip"}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": eq,
    "ge": ge,
    "gt": gt,
    "le": le,
    "lt": lt,
}
_CLAUSE = re.compile(
    r"(?:receivedDateTime (eq|ge|gt|le|lt) (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,7})?Z)"
    r"|isDraft eq (true|false))",
    re.ASCII,
)
_LARGEST_PAGE, _USUAL_PAGE = 1000, 10


class InvalidQueryError(Exception):
    """Refuse a query with status 400 and this code."""

    def __init__(self, message: str, code: str = "BadRequest") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Query:
    """What is asked for. clauses are (property, comparison, value)."""

    clauses: tuple[tuple[str, str, datetime | bool], ...]
    newest_first: bool | None
    selected: frozenset[str]
    top: int
    skip: int

    def matches(self, mail: Mail) -> bool:
        """Return whether a message matches; its time counts to the microsecond."""
        values = {"receivedDateTime": mail.received_at, "isDraft": mail.is_draft}
        return all(_COMPARISONS[how](values[name], value) for name, how, value in self.clauses)

    def selects(self, name: str) -> bool:
        """Return whether a property is in the answer."""
        return name in self.selected if self.selected else name not in _ONLY_WHEN_SELECTED

    def sorted(self, mails: list[Mail]) -> list[Mail]:
        """Put messages in the order asked for."""
        if self.newest_first is None:
            return mails
        return sorted(mails, key=lambda mail: mail.received_at, reverse=self.newest_first)


def parse_query(asked: dict[str, str]) -> Query:
    """Read the options; raise InvalidQueryError for any that Graph is not known to accept."""
    if unknown := set(asked) - _OPTIONS:
        raise InvalidQueryError(f"The query parameter '{min(unknown)}' is not supported.")
    clauses = _clauses(asked["$filter"]) if "$filter" in asked else ()
    return Query(
        clauses,
        _newest_first(asked["$orderby"], clauses) if "$orderby" in asked else None,
        _selection(asked["$select"]) if "$select" in asked else frozenset(),
        _number(asked.get("$top", str(_USUAL_PAGE)), 1, _LARGEST_PAGE),
        _number(asked.get("$skip", "0"), 0, 10**9),
    )


def _clauses(text: str) -> tuple[tuple[str, str, datetime | bool], ...]:
    found: list[tuple[str, str, datetime | bool]] = []
    for part in text.split(" and "):
        match = _CLAUSE.fullmatch(part)
        if match is None:
            raise InvalidQueryError(f"Invalid filter clause: {part}")
        how, moment, draft = match.groups()
        if draft:
            found.append(("isDraft", "eq", draft == "true"))
        else:
            found.append(("receivedDateTime", how, datetime.fromisoformat(moment)))
    return tuple(found)


def _newest_first(text: str, clauses: tuple[tuple[str, str, datetime | bool], ...]) -> bool:
    """Read the order; by a property that does not come first in $filter it is refused.

    https://learn.microsoft.com/graph/api/user-list-messages#using-filter-and-orderby-in-the-same-query
    """
    name, _, direction = text.partition(" ")
    if name != "receivedDateTime" or direction not in ("", "asc", "desc"):
        raise InvalidQueryError(f"The order '{text}' is not supported.")
    if clauses and clauses[0][0] != name:
        message = "The restriction or sort order is too complex for this operation."
        raise InvalidQueryError(message, "InefficientFilter")
    return direction == "desc"


def _selection(text: str) -> frozenset[str]:
    names = frozenset(text.split(","))
    if unknown := names - _PROPERTIES:
        raise InvalidQueryError(f"Could not find a property named '{min(unknown)}'.")
    return names


def _number(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise InvalidQueryError(f"Invalid value '{text}' for $top or $skip.")
    return int(text)
