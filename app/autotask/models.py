"""Autotask's records, with the properties in use; others are ignored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from app.autotask.protocol import printable


class Record(BaseModel):
    """Some of a record's properties."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) else value


def _printable(value: object) -> object:
    return printable(value)[:50] if isinstance(value, str) else value


def _moment(value: object) -> datetime | None:
    # UTC, which not every answer says. An unreadable date must not make the record unreadable.
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is None:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _whole(value: object) -> int | None:
    # An unreadable number must not make the record unreadable. The contract has doubles, too.
    if isinstance(value, float):
        return int(value) if math.isfinite(value) else None
    return value if isinstance(value, int) else None


_Moment = Annotated[datetime | None, BeforeValidator(_moment)]
_Whole = Annotated[int | None, BeforeValidator(_whole)]


class UserDefinedField(Record):
    """One user-defined field of a record; the value is text whatever its type."""

    name: str
    value: Annotated[str | None, BeforeValidator(_as_text)] = None


class Ticket(Record):
    """.../REST/Entities/TicketsEntity.htm"""

    id: int
    number: Annotated[str | None, BeforeValidator(_printable)] = Field(None, alias="ticketNumber")
    company_id: int = Field(alias="companyID")
    contact_id: int | None = Field(None, alias="contactID")
    status: int | None = None
    source: int | None = None
    title: str | None = None
    """A stranger's text, cut at 255 characters."""

    description: str | None = None
    """A stranger's text, cut at 8,000 characters."""

    created_at: _Moment = Field(None, alias="createDate")
    """UTC; None if it cannot be read."""

    fields: Annotated[tuple[UserDefinedField, ...], BeforeValidator(lambda v: v or ())] = Field(
        (), alias="userDefinedFields"
    )

    def udf(self, name: str) -> str | None:
        """Return a user-defined field's text, by its name in any casing; None if there is none."""
        folded = name.casefold()
        return next((f.value for f in self.fields if f.name.casefold() == folded), None)


class Link(Record):
    """.../REST/Entities/TicketAdditionalContactsEntity.htm: one additional contact of a ticket."""

    id: int
    contact_id: int = Field(alias="contactID")


class Attachment(Record):
    """.../REST/Entities/TicketAttachmentsEntity.htm: a file of a ticket, without its data.

    A ticket's list includes those of its notes and time entries, such as the attachments of a
    reply (.../General/AttachmentChanges.htm). `title` and `full_path` are a stranger's text.
    """

    id: int
    title: str | None = None
    full_path: str | None = Field(None, alias="fullPath")
    content_type: str | None = Field(None, alias="contentType")
    size: _Whole = Field(None, alias="fileSize")
    """In bytes, according to Autotask."""

    note_id: int | None = Field(None, alias="ticketNoteID")
    time_entry_id: int | None = Field(None, alias="timeEntryID")
    parent_attachment_id: int | None = Field(None, alias="parentAttachmentID")

    @property
    def of_ticket(self) -> bool:
        """Whether it belongs to the ticket itself, not to a note, time entry or attachment."""
        return not (self.note_id or self.time_entry_id or self.parent_attachment_id)


class Note(Record):
    """.../REST/Entities/TicketNotesEntity.htm: a note of a ticket; a mailed reply is one, too."""

    id: int
    title: str | None = None
    description: str | None = None
    creator_id: int | None = Field(None, alias="creatorResourceID")
    """The resource that wrote it; None if a contact did."""

    created_at: _Moment = Field(None, alias="createDateTime")
    """UTC; None if it cannot be read."""


class Choice(Record):
    """.../REST/API_Calls/REST_Entity_Information_Call.htm: one value of a field's picklist.

    An inactive one stays on old records and cannot be chosen for new ones.
    """

    value: int
    label: Annotated[str, BeforeValidator(lambda v: v or "")] = ""
    active: Annotated[bool, BeforeValidator(lambda v: v is not False)] = Field(
        True, alias="isActive"
    )


class FieldInfo(Record):
    name: str
    choices: Annotated[tuple[object, ...], BeforeValidator(lambda v: v or ())] = Field(
        (), alias="picklistValues"
    )


class UserDefinedFieldInfo(Record):
    """.../REST/API_Calls/REST_Entity_Information_Call.htm"""

    name: str
    default: Annotated[str | None, BeforeValidator(_as_text)] = Field(None, alias="defaultValue")
    """The value in a new record."""


class Content(Record):
    id: int
    data: str | None = None


class Contact(Record):
    """.../REST/Entities/ContactsEntity.htm"""

    id: int
    company_id: int | None = Field(None, alias="companyID")
    email: str | None = Field(None, alias="emailAddress")
    email2: str | None = Field(None, alias="emailAddress2")
    email3: str | None = Field(None, alias="emailAddress3")
    active: Annotated[bool, BeforeValidator(bool)] = Field(True, alias="isActive")  # 1, 0 or null
    gets_mail: bool | None = Field(None, alias="receivesEmailNotifications")
    note: str | None = None

    @property
    def emails(self) -> tuple[str, ...]:
        """Its addresses as Autotask has them, in the order of the fields."""
        return tuple(e for e in (self.email, self.email2, self.email3) if e)


class WholeContact(Contact):
    """A contact with all its fields, under Autotask's names."""

    model_config = ConfigDict(extra="allow")

    @property
    def fields(self) -> dict[str, Any]:
        """Return every field as Autotask has it."""
        return self.model_dump(by_alias=True)


class NewTicket(Record):
    """A ticket's id and time of creation."""

    id: int
    created_at: _Moment = Field(None, alias="createDate")
    """UTC; None if it cannot be read."""


class TicketState(Record):
    """A ticket's account and status."""

    id: int
    company_id: int = Field(alias="companyID")
    status: int | None = None
    completed_at: _Moment = Field(None, alias="completedDate")
    """UTC; None if it is not complete."""


class Threshold(Record):
    """.../REST/General_Topics/REST_Thresholds_Limits.htm: calls within the last `minutes`."""

    limit: int = Field(alias="externalRequestThreshold", gt=0, le=10_000_000)  # else it is nonsense
    minutes: int = Field(alias="requestThresholdTimeframe", gt=0)
    used: int = Field(alias="currentTimeframeRequestCount", ge=0, le=10_000_000)


class ContactLink(Record):
    """A row that makes a contact an additional contact of a ticket."""

    id: int
    ticket_id: int = Field(alias="ticketID")


class PortalUser(Record):
    """.../REST/Entities/ClientPortalUsersEntity.htm: a contact with access to the portal."""

    id: int


class Company(Record):
    """.../REST/Entities/CompaniesEntity.htm"""

    id: int
    name: Annotated[str | None, BeforeValidator(_printable)] = Field(None, alias="companyName")
    web_address: str | None = Field(None, alias="webAddress")
    parent_id: int | None = Field(None, alias="parentCompanyID")
    type: _Whole = Field(None, alias="companyType")


class Resource(Record):
    """.../REST/Entities/ResourcesEntity.htm: a user of the MSP's Autotask."""

    id: int
    license: _Whole = Field(None, alias="licenseType")
    email: str | None = None
    email2: str | None = None
    email3: str | None = None

    @property
    def emails(self) -> tuple[str, ...]:
        """Its addresses as Autotask has them."""
        return tuple(e for e in (self.email, self.email2, self.email3) if e)

    @property
    def is_customers(self) -> bool:
        """Whether a customer's own person uses it: .../REST/Entities/ComanagedAssociationsEntity"""
        return self.license == 9

    @property
    def is_technician(self) -> bool:
        """Whether it works for the help desk; an API user (7) is no person."""
        return not self.is_customers and self.license != 7


class Zone(Record):
    """.../REST/General_Topics/REST_Zones.htm: where a tenant's API and web pages are."""

    url: str
    web_url: str = Field("", validation_alias=AliasChoices("webUrl", "webURL"))


@dataclass(frozen=True, slots=True)
class NewContact:
    """A contact to be created."""

    first_name: str
    last_name: str
    email: str
    note: str
    extra: Mapping[str, Any]
    """Further fields that a tenant requires."""

    def body(self, company_id: int) -> dict[str, Any]:
        """Return the request: isActive is an integer, and surveys and bulk mail are off."""
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
