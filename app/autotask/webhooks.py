"""Calls that create, read and change ticket webhooks.

https://www.autotask.net/help/developerhelp/Content/APIs/Webhooks/REST_WebhooksEntity.htm, and for
fields REST_WebhookFieldsEntity.htm, same folder.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field

from app.autotask.answers import read_record, read_records
from app.autotask.calls import Calls
from app.autotask.errors import Unanswered
from app.autotask.models import Choice, FieldInfo, Record

LEAVE_SECONDS = 20.0
"""Send a change within this time, waiting for a slot included, or not at all."""

_ROOT = "/TicketWebhooks"
_ALL = [{"op": "gte", "field": "id", "value": 0}]
_Flag = Annotated[bool, BeforeValidator(bool)]  # null is no


class TicketWebhook(Record):
    """A webhook of the tenant."""

    id: int
    name: str | None = None
    url: str | None = Field(None, alias="webhookUrl")
    deactivation_url: str | None = Field(None, alias="deactivationUrl")
    active: _Flag = Field(False, alias="isActive")
    ready: _Flag = Field(False, alias="isReady")
    creates: _Flag = Field(False, alias="isSubscribedToCreateEvents")
    updates: _Flag = Field(False, alias="isSubscribedToUpdateEvents")
    deletes: _Flag = Field(False, alias="isSubscribedToDeleteEvents")
    owner_id: int | None = Field(None, alias="ownerResourceID")
    """The resource that created it; its rights decide what is called out."""

    guid: str | None = Field(None, alias="webhookGUID")
    secret: str | None = Field(None, alias="secretKey", repr=False)
    """None where Autotask does not show it."""


class WebhookField(Record):
    """A ticket's field, or a user-defined one, on a webhook."""

    id: int
    choice: int | None = Field(None, validation_alias=AliasChoices("fieldID", "udfFieldID"))
    """The field's id in the picklist."""

    shown: _Flag = Field(False, alias="isDisplayAlwaysField")
    subscribed: _Flag = Field(False, alias="isSubscribedField")


class ExcludedResource(Record):
    """A resource whose changes cause no callout."""

    id: int
    resource_id: int | None = Field(None, alias="resourceID")


class _Id(Record):
    id: int


class Webhooks:
    """The tenant's ticket webhooks. Methods raise an AutotaskError; one call at a time."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def all(self) -> list[TicketWebhook]:
        """List all webhooks that our user may see, of all creators, inactive ones too."""
        return await self._calls.query("TicketWebhooks", _ALL, TicketWebhook)

    async def one(self, webhook_id: int) -> TicketWebhook | None:
        """Read a webhook; None if it does not exist."""
        return await self._calls.item(f"{_ROOT}/{webhook_id}", TicketWebhook)

    async def fields(self, webhook_id: int) -> list[WebhookField]:
        """List a webhook's fields."""
        return await self._calls.pages(f"{_ROOT}/{webhook_id}/Fields", WebhookField)

    async def udfs(self, webhook_id: int) -> list[WebhookField]:
        """List a webhook's user-defined fields."""
        return await self._calls.pages(f"{_ROOT}/{webhook_id}/UdfFields", WebhookField)

    async def excluded(self, webhook_id: int) -> list[ExcludedResource]:
        """List the resources whose changes a webhook leaves out."""
        return await self._calls.pages(f"{_ROOT}/{webhook_id}/ExcludedResources", ExcludedResource)

    async def field_choices(self) -> tuple[Choice, ...]:
        """Read the fields that a webhook can have; their ids are in this picklist only."""
        return await self._choices("TicketWebhookFields", ("fieldid",))

    async def udf_choices(self) -> tuple[Choice, ...]:
        """Read the user-defined fields that a webhook can have."""
        # `fieldID` in older tenants: https://github.com/msoukhomlinov/n8n-nodes-autotask
        return await self._choices("TicketWebhookUdfFields", ("udffieldid", "fieldid"))

    async def _choices(self, entity: str, names: tuple[str, ...]) -> tuple[Choice, ...]:
        answer = await self._calls.get(f"/{entity}/entityInformation/fields")
        fields = {one.name.lower(): one for one in read_records(answer, FieldInfo, "fields")}
        found = next((fields[name] for name in names if name in fields), None)
        if found is None:
            raise Unanswered(f"{entity} has no picklist of fields")
        return tuple(read_record(choice, Choice) for choice in found.choices)

    async def resources_named(self, name: str) -> list[int]:
        """Find resources by user name or e-mail address."""
        fields = ("userName", "email")
        either = [{"op": "eq", "field": field, "value": name} for field in fields]
        wanted = [{"op": "or", "items": either}]
        return [one.id for one in await self._calls.query("Resources", wanted, _Id, ("id",))]

    async def create(self, values: Mapping[str, Any]) -> int:
        """Create a webhook and return its id."""
        return await self._calls.create(_ROOT, {"id": 0, **values}, _soon())

    async def change(self, webhook_id: int, values: Mapping[str, Any]) -> None:
        """Change some of a webhook's properties."""
        await self._calls.change(_ROOT, {"id": webhook_id, **values}, _soon())

    async def delete(self, webhook_id: int) -> None:
        """Delete a webhook with its rows; raise Refused as MISSING if it does not exist."""
        await self._calls.delete(f"{_ROOT}/{webhook_id}", _soon())

    async def put_field(self, webhook_id: int, choice: int, row: WebhookField | None) -> None:
        """Subscribe to a field and always include it; `row` if the webhook has the field."""
        await self._put(f"{_ROOT}/{webhook_id}/Fields", webhook_id, {"fieldID": choice}, row)

    async def put_udf(self, webhook_id: int, choice: int, row: WebhookField | None) -> None:
        """Do the same with a user-defined field."""
        await self._put(f"{_ROOT}/{webhook_id}/UdfFields", webhook_id, {"udfFieldID": choice}, row)

    async def _put(
        self, path: str, webhook_id: int, choice: dict[str, Any], row: WebhookField | None
    ) -> None:
        both = {"isSubscribedField": True, "isDisplayAlwaysField": True}
        if row is None:
            body = {"id": 0, "webhookID": webhook_id, **choice, **both}
            await self._calls.create(path, body, _soon())
        else:
            await self._calls.change(path, {"id": row.id, **both}, _soon())

    async def exclude(self, webhook_id: int, resource_id: int) -> None:
        """Exclude a resource's changes from the callouts."""
        body = {"id": 0, "webhookID": webhook_id, "resourceID": resource_id}
        path = f"{_ROOT}/{webhook_id}/ExcludedResources"
        await self._calls.create(path, body, _soon())


def _soon() -> float:
    return time.monotonic() + LEAVE_SECONDS
