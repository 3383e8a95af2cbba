"""Read the records in an answer; raise Unanswered for an answer that cannot be understood."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from app.autotask.errors import Unanswered
from app.autotask.models import Choice, Content, FieldInfo, Record

R = TypeVar("R", bound=Record)


def read_record(item: object, model: type[R]) -> R:
    """Read one record of an answer; raise Unanswered, without quoting it, if it is not one."""
    try:
        return model.model_validate(item)
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, one["loc"])) for one in error.errors())
        raise Unanswered(f"unexpected {model.__name__}: {wrong}") from error


def read_item(answer: Mapping[str, Any], model: type[R], record_id: int) -> R | None:
    """Read the record that was asked for by its id; None if the answer says that there is none.

    Only `{"item": null}` says that. Raise Unanswered for an answer that does not, and for another
    record.
    """
    if "item" not in answer:
        raise Unanswered("the answer has no item")
    if answer["item"] is None:
        return None
    record = read_record(answer["item"], model)
    if getattr(record, "id", record_id) != record_id:
        raise Unanswered("the answer has another record")
    return record


def without_errors(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of a success; raise Unanswered if it names errors all the same."""
    if answer.get("errors"):
        raise Unanswered("the answer names errors, though its status is a success")
    return answer


def read_records(answer: Mapping[str, Any], model: type[R], key: str = "items") -> list[R]:
    """Read the records of a list or query; raise Unanswered if it is neither."""
    items = answer.get(key)
    if not isinstance(items, list):
        raise Unanswered(f"the answer has no {key}")
    return [read_record(item, model) for item in items]


def read_picklists(
    answer: Mapping[str, Any], names: Collection[str]
) -> dict[str, tuple[Choice, ...]]:
    """Return the picklists of these fields from field definitions; empty for a missing field."""
    fields = {field.name: field.choices for field in read_records(answer, FieldInfo, "fields")}
    return {
        name: tuple(read_record(choice, Choice) for choice in fields.get(name, ()))
        for name in names
    }


def read_data(answer: Mapping[str, Any], attachment_id: int) -> bytes | None:
    """Return the data of an attachment in an answer; None if it is missing or not base64.

    The child path answers `{"items": [one]}`, the root path `{"item": one}`, as clients report.
    """
    if "item" in answer:
        found = [] if answer["item"] is None else [read_record(answer["item"], Content)]
    else:
        found = read_records(answer, Content)
    data = next((one.data for one in found if one.id == attachment_id), None)
    try:
        return None if data is None else b64decode("".join(data.split()), validate=True)
    except ValueError:
        return None
