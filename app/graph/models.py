"""A mail message from Graph, with the properties in use; no body is ever requested.

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
    # /messages lists drafts, too, with a receivedDateTime: a reply begun in the mailbox can have
    # the same subject. Excluding them by $filter was not tried together with $orderby: Graph
    # answers some such pairs with InefficientFilter.
    "isDraft",
)


@dataclass(frozen=True, slots=True)
class Person:
    """A sender or recipient of a message; name or address can be empty.

    The address of a sender within Exchange can be a path: `/O=EXCHANGELABS/OU=…/CN=…`.
    """

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message. Its texts can contain any character, NUL included."""

    id: str
    message_id: str | None
    subject: str
    sender: Person | None
    """Graph's `from`, the author; not its `sender`, who may have sent it on the author's behalf."""

    to: tuple[Person, ...]
    cc: tuple[Person, ...]
    received_at: datetime
    headers: tuple[tuple[str, str], ...]
    """Names and values in the message's order; empty for a message sent from the mailbox itself:
    https://github.com/microsoftgraph/microsoft-graph-docs/issues/3066"""

    is_draft: bool


def _text(value: object) -> object:
    """Return null as empty, and half a surrogate pair, which no database stores, as U+FFFD."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


Text = Annotated[str, BeforeValidator(_text)]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class _Address(_Answer):
    name: Text = ""
    address: Text = ""


class _Recipient(_Answer):
    email: Annotated[_Address, BeforeValidator(lambda value: value or {})] = Field(
        _Address(), alias="emailAddress"
    )

    def person(self) -> Person:
        return Person(self.email.name, self.email.address)


class _Header(_Answer):
    name: Text = ""
    value: Text = ""


_Recipients = Annotated[tuple[_Recipient, ...], BeforeValidator(lambda value: value or ())]
_Headers = Annotated[tuple[_Header, ...], BeforeValidator(lambda value: value or ())]


class _Message(_Answer):
    id: str
    subject: Text = ""
    sender: _Recipient | None = Field(None, alias="from")
    to: _Recipients = Field((), alias="toRecipients")
    cc: _Recipients = Field((), alias="ccRecipients")
    message_id: Text = Field("", alias="internetMessageId")
    received_at: AwareDatetime = Field(alias="receivedDateTime")
    headers: _Headers = Field((), alias="internetMessageHeaders")
    is_draft: bool = Field(False, alias="isDraft")


def read_message(answer: object) -> Message:
    """Read one message; raise pydantic's ValidationError, which does not quote it.

    Anything that a sender can omit or garble is accepted; only an id, a time and the shapes that
    Graph itself makes are required.
    """
    message = _Message.model_validate(answer)
    return Message(
        id=message.id,
        message_id=message.message_id or None,
        subject=message.subject,
        sender=message.sender.person() if message.sender else None,
        to=tuple(recipient.person() for recipient in message.to),
        cc=tuple(recipient.person() for recipient in message.cc),
        received_at=message.received_at,
        headers=tuple((header.name, header.value) for header in message.headers),
        is_draft=message.is_draft,
    )


class Token(_Answer):
    """An access token that is valid in a header."""

    access_token: str = Field(pattern=r"^[!-~]+$", repr=False)
    expires_in: int
    """Seconds from its creation."""
