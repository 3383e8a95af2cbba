"""What can go wrong with a call to Autotask, sorted by what it means for the caller."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class AutotaskError(Exception):
    """A call to Autotask did not succeed. call names it, as in `POST Contacts`."""

    call = ""

    def __str__(self) -> str:
        message = super().__str__()
        return f"{self.call}: {message}" if self.call else message


class NotSent(AutotaskError):
    """The request never reached Autotask: nothing happened there, it may be sent again."""


class TooLate(NotSent):
    """The request's permission to leave had run out, so it was not sent."""


class Unanswered(AutotaskError):
    """The request may have reached Autotask, and there is no definite answer.

    A write may have taken effect, or may still: Autotask lets a request run for five minutes.
    """


class TooLarge(AutotaskError):
    """The answer is larger than the caller takes: the rest of it was not read."""


class Busy(AutotaskError):
    """Autotask turned the request away for load; nothing happened.

    retry_after is in seconds, None when Autotask did not say.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Overloaded(Busy):
    """The tenant has used up its requests of the hour: nobody's call would fare better now."""


class Barred(AutotaskError):
    """Autotask does not accept our user at all: no other call would fare better."""


class Unauthorized(Barred):
    """User name, secret or integration code are not accepted."""


class Forbidden(Barred):
    """The API user's security level does not allow the call."""


class Refusal(StrEnum):
    """What a refused request was refused for, as far as the text tells."""

    REFERENCE = "reference"  # a record that it names does not exist, is inactive or does not fit
    CAP = "cap"  # a maximum is reached
    DUPLICATE = "duplicate"  # it is there already
    MISSING = "missing"  # the record or the route itself does not exist
    OTHER = "other"


class Refused(AutotaskError):
    """Autotask understood the request and refused it; nothing happened.

    errors are Autotask's own texts. They can contain addresses: do not log them unmasked.
    """

    def __init__(self, errors: Sequence[str], kind: Refusal) -> None:
        super().__init__("; ".join(errors))
        self.errors = tuple(errors)
        self.kind = kind
