"""Errors of a call to Autotask, sorted by the consequence for the caller."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class AutotaskError(Exception):
    """A call to Autotask did not succeed."""

    call = ""
    """Method and entity, as in `POST Contacts`."""

    def __str__(self) -> str:
        message = super().__str__()
        return f"{self.call}: {message}" if self.call else message


class NotSent(AutotaskError):
    """The request never reached Autotask: nothing happened there, it may be sent again."""


class TooLate(NotSent):
    """The request's permission to leave had expired, so it was not sent."""


class Unanswered(AutotaskError):
    """The request may have reached Autotask, and there is no definite answer.

    A write may have taken effect, or may still: Autotask lets a request run for five minutes.
    """


class Intercepted(Unanswered):
    """Something between this machine and Autotask answered in its place: a firewall, a proxy.

    It says nothing about credentials or rights. A firewall may also keep back the answer to a
    request that it let through, so a write may have taken effect.
    """


class NoEffect(AutotaskError):
    """Autotask answered that a change was made, and a reading does not show it.

    That has been seen of several entities, as queued workflow rules may undo a change. It may also
    be that the reading lags.
    """


class TooLarge(AutotaskError):
    """The answer is larger than the caller accepts; the rest was not read."""


class Busy(AutotaskError):
    """Autotask rejected the request because of load; nothing happened."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds; None if Autotask did not say."""


class Overloaded(Busy):
    """The tenant has used up its requests of the hour: no other call would succeed now."""


class Barred(AutotaskError):
    """Autotask does not accept our API user: no other call would succeed."""


class Unauthorized(Barred):
    """Autotask does not accept user name, secret or integration code."""


class Forbidden(Barred):
    """The API user's security level does not allow the call."""


class Refusal(StrEnum):
    """Why a request was refused, as far as the text says."""

    REFERENCE = "reference"  # a record that it names does not exist, is inactive or does not fit
    CAP = "cap"  # a maximum is reached
    DUPLICATE = "duplicate"  # it exists already
    MISSING = "missing"  # the record or the route itself does not exist
    OTHER = "other"


class Refused(AutotaskError):
    """Autotask understood the request and refused it; nothing happened."""

    def __init__(self, errors: Sequence[str], kind: Refusal) -> None:
        super().__init__("; ".join(errors))
        self.errors = tuple(errors)
        """Autotask's own texts. They can contain addresses: mask them before logging."""
        self.kind = kind
