"""Autotask's records, as much of them as is used; unknown properties are passed over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from app.autotask.protocol import printable


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) else value


def _printable(value: object) -> object:
    return printable(value)[:50] if isinstance(value, str) else value


class UserDefinedField(_Record):
    """One user-defined field of a record; the value is text whatever its type."""

    name: str
    value: Annotated[str | None, BeforeValidator(_as_text)] = None


class Ticket(_Record):
    """.../REST/Entities/TicketsEntity.htm"""

    id: int
    number: Annotated[str | None, BeforeValidator(_printable)] = Field(None, alias="ticketNumber")
    company_id: int = Field(alias="companyID")
    contact_id: int | None = Field(None, alias="contactID")
    status: int | None = None
    fields: Annotated[tuple[UserDefinedField, ...], BeforeValidator(lambda v: v or ())] = Field(
        (), alias="userDefinedFields"
    )

    def udf(self, name: str) -> str | None:
        """Give a user-defined field's text, by its name in any casing; None if there is none."""
        folded = name.casefold()
        return next((f.value for f in self.fields if f.name.casefold() == folded), None)


class Link(_Record):
    """.../REST/Entities/TicketAdditionalContactsEntity.htm: one additional contact of a ticket."""

    id: int
    contact_id: int = Field(alias="contactID")


class Contact(_Record):
    """.../REST/Entities/ContactsEntity.htm"""

    id: int
    company_id: int | None = Field(None, alias="companyID")
    email: str | None = Field(None, alias="emailAddress")
    email2: str | None = Field(None, alias="emailAddress2")
    email3: str | None = Field(None, alias="emailAddress3")
    active: Annotated[bool, BeforeValidator(bool)] = Field(True, alias="isActive")  # 1, 0 or null
    note: str | None = None

    @property
    def emails(self) -> tuple[str, ...]:
        """Its addresses as Autotask has them, the first field first."""
        return tuple(e for e in (self.email, self.email2, self.email3) if e)


class Company(_Record):
    """.../REST/Entities/CompaniesEntity.htm"""

    id: int
    web_address: str | None = Field(None, alias="webAddress")


class Resource(_Record):
    """.../REST/Entities/ResourcesEntity.htm: one of the MSP's own people."""

    id: int
    email: str | None = None
    email2: str | None = None
    email3: str | None = None

    @property
    def emails(self) -> tuple[str, ...]:
        """Its addresses as Autotask has them."""
        return tuple(e for e in (self.email, self.email2, self.email3) if e)


class Zone(_Record):
    """.../REST/General_Topics/REST_Zones.htm: where a tenant's API and web pages are."""

    url: str
    web_url: str = Field("", validation_alias=AliasChoices("webUrl", "webURL"))


@dataclass(frozen=True, slots=True)
class NewContact:
    """A contact to be created. extra: further fields that a tenant requires."""

    first_name: str
    last_name: str
    email: str
    note: str
    extra: Mapping[str, Any]

    def body(self, company_id: int) -> dict[str, Any]:
        """Write the request. isActive is an integer here, and nobody asked for bulk mail."""
        return {
            **self.extra,
            "id": 0,
            "companyID": company_id,
            "firstName": self.first_name,
            "lastName": self.last_name,
            "emailAddress": self.email,
            "isActive": 1,
            "receivesEmailNotifications": True,
            "isOptedOutFromBulkEmail": True,
            "solicitationOptOut": True,
            "surveyOptOut": True,
            "note": self.note,
        }
