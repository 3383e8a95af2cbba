"""A mail message as Graph tells it, as much of it as is used; no body is ever asked for.

https://learn.microsoft.com/graph/api/resources/message
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

SELECTED = (
    "subject",
    "from",
    "toRecipients",
    "ccRecipients",
    "internetMessageId",
    "receivedDateTime",
    "internetMessageHeaders",
    # /messages lists drafts, too, with a receivedDateTime: a reply begun in the mailbox can carry
    # the very subject. Leaving them out by $filter was not tried together with $orderby, which
    # Graph answers with InefficientFilter when it does not like the two together.
    "isDraft",
)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody a message names, as it is told: either can be empty.

    The address of a sender within Exchange can be a path: `/O=EXCHANGELABS/OU=…/CN=…`.
    """

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message. Texts are the sender's, with whatever characters he chose (also NUL).

    sender is Graph's `from`, whom the message is from, and not its `sender`, who sent it for him.
    headers: name and value in the message's order; none of what was sent from the mailbox itself
    has any (https://github.com/microsoftgraph/microsoft-graph-docs/issues/3066).
    """

    id: str
    message_id: str | None
    subject: str
    sender: Person | None
    to: tuple[Person, ...]
    cc: tuple[Person, ...]
    received_at: datetime
    headers: tuple[tuple[str, str], ...]
    is_draft: bool


def _text(value: object) -> object:
    """Take null for empty, and half a surrogate pair, which no database stores, for U+FFFD."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


Text = Annotated[str, BeforeValidator(_text)]


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class _Address(_Told):
    name: Text = ""
    address: Text = ""


class _Recipient(_Told):
    email: Annotated[_Address, BeforeValidator(lambda value: value or {})] = Field(
        _Address(), alias="emailAddress"
    )

    def person(self) -> Person:
        return Person(self.email.name, self.email.address)


class _Header(_Told):
    name: Text = ""
    value: Text = ""


_Recipients = Annotated[tuple[_Recipient, ...], BeforeValidator(lambda value: value or ())]
_Headers = Annotated[tuple[_Header, ...], BeforeValidator(lambda value: value or ())]


class _Message(_Told):
    id: str
    subject: Text = ""
    sender: _Recipient | None = Field(None, alias="from")
    to: _Recipients = Field((), alias="toRecipients")
    cc: _Recipients = Field((), alias="ccRecipients")
    message_id: Text = Field("", alias="internetMessageId")
    received_at: AwareDatetime = Field(alias="receivedDateTime")
    headers: _Headers = Field((), alias="internetMessageHeaders")
    is_draft: bool = Field(False, alias="isDraft")


def read_message(told: object) -> Message:
    """Read one message; raises pydantic's ValidationError, which does not quote it.

    Whatever a sender can leave out or garble is taken as it is: only an id, a time and the shapes
    that Graph itself makes are insisted on.
    """
    one = _Message.model_validate(told)
    return Message(
        id=one.id,
        message_id=one.message_id or None,
        subject=one.subject,
        sender=one.sender.person() if one.sender else None,
        to=tuple(recipient.person() for recipient in one.to),
        cc=tuple(recipient.person() for recipient in one.cc),
        received_at=one.received_at,
        headers=tuple((header.name, header.value) for header in one.headers),
        is_draft=one.is_draft,
    )


class Token(_Told):
    """An access token, as it can stand in a header; expires_in is in seconds from its making."""

    access_token: str = Field(pattern=r"^[!-~]+$", repr=False)
    expires_in: int
