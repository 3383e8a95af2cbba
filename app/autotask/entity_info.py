"""Autotask's description of its entities: rights, fields, required values.
.../REST/API_Calls/REST_Entity_Information_Call.htm
"""

from __future__ import annotations

import json
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import AliasChoices, BeforeValidator, Field

from app.autotask.answers import read_record, read_records
from app.autotask.calls import Calls
from app.autotask.models import Choice, Record

_NO_ACCESS = ("None", "0")  # RestUserAccessLevel: None, All, Restricted, by name or as 0, 1, 2
_LEVELS = {"0": "None", "1": "All", "2": "Restricted"}
_ANY_ID = json.dumps(
    {"MaxRecords": 1, "IncludeFields": ["id"], "filter": [{"op": "gte", "field": "id", "value": 0}]}
)


class Access(Record):
    """What the API allows with an entity (`can_update`), and what the asking user may do.

    A user's level is None, All or Restricted (by department, company or the like).
    """

    can_update: bool | None = Field(None, alias="canUpdate")
    query: Annotated[str | None, BeforeValidator(lambda v: v if v is None else str(v))] = Field(
        None, alias="userAccessForQuery"
    )
    create: Annotated[str | None, BeforeValidator(lambda v: v if v is None else str(v))] = Field(
        None, alias="userAccessForCreate"
    )
    update: Annotated[str | None, BeforeValidator(lambda v: v if v is None else str(v))] = Field(
        None, alias="userAccessForUpdate"
    )

    def level(self, verb: Literal["query", "create", "update"]) -> str | None:
        """Return None, All or Restricted by name; None if Autotask does not say."""
        said: str | None = getattr(self, verb)
        return _LEVELS.get(said, said) if said else None

    @property
    def may_update(self) -> bool:
        """Whether no answer of Autotask's rules out that the user changes such a record."""
        return self.can_update is not False and self.update not in _NO_ACCESS


class FieldFacts(Record):
    """One field of an entity, its own or user-defined."""

    name: Annotated[str, BeforeValidator(lambda v: v or "")]
    label: str | None = None
    type: str | None = Field(None, validation_alias=AliasChoices("dataType", "type"))
    length: Annotated[int | None, BeforeValidator(lambda v: v or None)] = None
    """In characters; None if Autotask does not say."""

    required: Annotated[bool, BeforeValidator(bool)] = Field(False, alias="isRequired")
    read_only: Annotated[bool, BeforeValidator(bool)] = Field(False, alias="isReadOnly")
    is_choice: Annotated[bool, BeforeValidator(bool)] = Field(False, alias="isPickList")
    picklist: Annotated[tuple[object, ...], BeforeValidator(lambda v: v or ())] = Field(
        (), alias="picklistValues"
    )

    @property
    def choices(self) -> list[Choice]:
        """Return the picklist's values; raise Unanswered if they are not numbers."""
        return [read_record(one, Choice) for one in self.picklist]


class _Info(Record):
    info: Access


class _Row(Record):
    id: int | None = None


class EntityInfo:
    """Entity information for one caller. Each method raises an AutotaskError."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def access(self, entity: str) -> Access:
        """Read the rights on an entity."""
        return read_record(await self._calls.get(f"/{entity}/entityInformation"), _Info).info

    async def fields(self, entity: str) -> list[FieldFacts]:
        """List an entity's own fields."""
        answer = await self._calls.get(f"/{entity}/entityInformation/fields")
        return read_records(answer, FieldFacts, "fields")

    async def user_defined_fields(self, entity: str) -> list[FieldFacts]:
        """List an entity's user-defined fields."""
        answer = await self._calls.get(f"/{entity}/entityInformation/userDefinedFields")
        return read_records(answer, FieldFacts, "fields")

    async def shows_any(self, entity: str) -> bool:
        """Return whether the user sees at least one record; raise Forbidden without the right."""
        answer = await self._calls.get(f"/{entity}/query?search={quote(_ANY_ID)}")
        return bool(read_records(answer, _Row))
