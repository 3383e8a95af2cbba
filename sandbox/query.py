"""Evaluate Autotask's query grammar over records, and refuse what Autotask refuses.

Grammar: https://www.autotask.net/help/developerhelp/Content/APIs/REST/API_Calls/
REST_Basic_Query_Calls.htm and REST_Advanced_Query_Features.htm, same folder.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from sandbox.model import Entity, Field, Record, RefusedError, parse_utc
from sandbox.switches import Switches

MAX_ROWS = 500
MAX_OR = 500
TOO_MANY_OR = "Invalid query syntax. Queries are limited to 500 or fewer 'OR' conditions."

Predicate = Callable[[Record], bool]
Reader = Callable[[Record], Any]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda stored, asked: bool(stored == asked),
    "noteq": lambda stored, asked: bool(stored != asked),
    "gt": lambda stored, asked: bool(stored > asked),
    "gte": lambda stored, asked: bool(stored >= asked),
    "lt": lambda stored, asked: bool(stored < asked),
    "lte": lambda stored, asked: bool(stored <= asked),
    "beginsWith": lambda stored, asked: str(stored).startswith(str(asked)),
    "endsWith": lambda stored, asked: str(stored).endswith(str(asked)),
    "contains": lambda stored, asked: str(asked) in str(stored),
}
_LISTS = ("in", "notIn")
_PRESENCE = ("exist", "notExist")
_GROUPS = ("and", "or")


@dataclass(frozen=True)
class Query:
    """A parsed query: what matches, which fields to answer (None: all), rows on a page."""

    matches: Predicate
    include: tuple[str, ...] | None
    page_size: int


def parse_query(
    entity: Entity, body: object, switches: Switches, udf_names: Collection[str] = ()
) -> Query:
    """Parse a query body; its top-level names may be in any case. Raise `RefusedError`."""
    if not isinstance(body, dict):
        raise RefusedError("The query must be a JSON object with a filter.")
    given = {str(name).lower(): value for name, value in body.items()}
    filters = _lower_names(given.get("filter"))
    if not isinstance(filters, list) or not filters:
        raise RefusedError("The query has no filter. A filter is mandatory.")
    if _count_or(filters) > MAX_OR:
        raise RefusedError(TOO_MANY_OR)
    if _count_udf(filters) > 1:
        raise RefusedError("Only one user-defined field can be queried at a time.")
    size = given.get("maxrecords", MAX_ROWS)
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MAX_ROWS:
        raise RefusedError(f"MaxRecords must be a number from 1 to {MAX_ROWS}.")
    include = given.get("includefields")
    if include is not None and not isinstance(include, list):
        raise RefusedError("IncludeFields must be a list of field names.")
    return Query(
        matches=_Compiler(entity, switches, udf_names).all_of(filters),
        include=tuple(entity.field(name).name for name in include) if include else None,
        page_size=size,
    )


def _lower_names(filters: object) -> object:
    if isinstance(filters, list):
        return [_lower_names(item) for item in filters]
    if isinstance(filters, dict):
        return {str(name).lower(): _lower_names(value) for name, value in filters.items()}
    return filters


def _leaves(filters: list[Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for item in filters:
        if isinstance(item, dict):
            nested = item.get("items")
            found.extend(_leaves(nested) if isinstance(nested, list) else [item])
    return found


def _count_udf(filters: list[Any]) -> int:
    return sum(1 for leaf in _leaves(filters) if leaf.get("udf"))


def _count_or(filters: list[Any], *, inside_or: bool = False) -> int:
    """Count OR conditions: each member of an `or` group, each value of a list (vendor's rule)."""
    total = 0
    for item in filters:
        if not isinstance(item, dict):
            continue
        nested, value, own = item.get("items"), item.get("value"), 0
        if isinstance(nested, list):
            own = _count_or(nested, inside_or=item.get("op") == "or")
        elif isinstance(value, list):
            own = len(value)
        total += max(own, 1) if inside_or else own
    return total


class _Compiler:
    """Turn filters into predicates for one entity."""

    def __init__(self, entity: Entity, switches: Switches, udf_names: Collection[str]) -> None:
        self._entity = entity
        self._switches = switches
        self._udfs = {name.lower(): name for name in udf_names}

    def all_of(self, filters: list[Any]) -> Predicate:
        parts = [self._one(item) for item in filters]
        return lambda record: all(part(record) for part in parts)

    def _any_of(self, filters: list[Any]) -> Predicate:
        parts = [self._one(item) for item in filters]
        return lambda record: any(part(record) for part in parts)

    def _one(self, given: object) -> Predicate:
        if not isinstance(given, dict):
            raise RefusedError("A filter must be a JSON object.")
        op = given.get("op")
        if op in _GROUPS:
            nested = given.get("items")
            if not isinstance(nested, list) or not nested:
                raise RefusedError(f"A filter with the operator {op} needs items.")
            if "field" in given or "value" in given:
                raise RefusedError(f"A filter with the operator {op} has neither field nor value.")
            return self.all_of(nested) if op == "and" else self._any_of(nested)
        if op not in (*_COMPARE, *_LISTS, *_PRESENCE):
            raise RefusedError(f"{op} is not a valid query operator.")
        field, read = self._reader(given)
        if op in _PRESENCE:
            return lambda record: (read(record) is not None) == (op == "exist")
        return self._compare(field, read, op, given.get("value"))

    def _reader(self, given: dict[str, Any]) -> tuple[Field, Reader]:
        if given.get("udf"):
            name = self._udfs.get(str(given.get("field")).lower())
            if name is None:
                raise RefusedError(
                    f"Unable to find {given.get('field')} in the {self._entity.singular} Entity."
                )
            return Field(name, "str"), lambda record: _udf_value(record, name)
        field = self._entity.field(given.get("field"))
        if not field.queryable:
            raise RefusedError(f"The field {field.name} is not queryable.")
        return field, lambda record: record[field.name]

    def _compare(self, field: Field, read: Reader, op: str, value: object) -> Predicate:
        if op in _LISTS:
            if not isinstance(value, list) or not value:
                raise RefusedError(f"The operator {op} needs a list of values.")
            wanted = frozenset(self._asked(field, member) for member in value)
            if op == "in":
                return lambda record: self._stored(field, read(record)) in wanted
            # A NULL is in no comparison's result, not even in that of a negative one.
            return lambda record: (
                read(record) is not None and self._stored(field, read(record)) not in wanted
            )
        compare, asked = _COMPARE[op], self._asked(field, value)

        def holds(record: Record) -> bool:
            stored = self._stored(field, read(record))
            return stored is not None and compare(stored, asked)

        return holds

    def _stored(self, field: Field, value: Any) -> Any:
        if value is None:
            return None
        if field.kind == "str":
            return self._text(str(value))
        return parse_utc(value) if field.kind == "datetime" else value

    def _text(self, text: str) -> str:
        # SQL Server compares without trailing spaces, and its usual collation without case.
        text = text.rstrip(" ")
        return text if self._switches.case_sensitive else text.lower()

    def _asked(self, field: Field, value: object) -> Any:
        if value is None or isinstance(value, dict | list):
            raise RefusedError(f"The value for the field {field.name} must not be null or nested.")
        if field.kind == "str":
            return self._text(str(value))
        if field.kind == "bool":
            if not isinstance(value, bool):
                raise RefusedError(f"The value for the field {field.name} must be true or false.")
            return value
        if field.kind == "datetime":
            return _as_datetime(value)
        if self._entity.name == "Contacts" and field.name == "isActive":
            value = self._active(value)
        return _as_number(field, value)

    def _active(self, value: object) -> object:
        rule = self._switches.contact_active_filter
        if rule != "either" and isinstance(value, bool) != (rule == "bool_only"):
            raise RefusedError("The value for the field isActive has the wrong type.")
        return int(value) if isinstance(value, bool) else value


def _udf_value(record: Record, name: str) -> object:
    for udf in record["userDefinedFields"]:
        if udf["name"] == name:
            return udf["value"]
    return None


def _as_datetime(value: object) -> Any:
    try:
        return parse_utc(str(value))
    except ValueError:
        raise RefusedError(
            "Conversion failed when converting date and/or time from character string."
        ) from None


def _as_number(field: Field, value: object) -> int | float:
    kind = "float" if field.kind == "float" else "int"
    try:
        # By way of text, as the server does: true and 1.5 are no integers.
        return float(str(value)) if kind == "float" else int(str(value))
    except ValueError:
        raise RefusedError(
            f"Conversion failed when converting varchar '{value}' to data type {kind}"
        ) from None
