"""How many new people may be brought within a day: by a sender, for an account, in all. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from app.decide.policy import Side

_INSIDE_TIMES = 10  # so many times as many colleagues as strangers
_ACCOUNTS_SHARE = 5  # one account may use up a fifth of the day
_UNDIVIDED = 10  # a day of fewer is not shared out


@dataclass(frozen=True, slots=True)
class Brought:
    """How many new people of one side were brought within 24 hours."""

    by_sender: int
    """By the sender, and by the people that it brought, and so on."""
    for_account: int
    in_all: int


@dataclass(frozen=True, slots=True)
class Caps:
    """How many new people from outside may be brought within 24 hours.

    Of the account's own domains ten times as many may: a customer's whole staff may write to us,
    but not without end.
    """

    per_sender: int
    per_day: int

    def left(self, brought: Brought, whose: Side) -> int:
        """Return how many more may be brought; below 0: so many too many were."""
        sender, account, day = self._of(whose)
        return min(sender - brought.by_sender, account - brought.for_account, day - brought.in_all)

    def _of(self, whose: Side) -> tuple[int, int, int]:
        # A cap of 0 says that no stranger is wanted, and nothing about colleagues.
        sender, day = self.per_sender, self.per_day
        if whose == "inside":
            sender, day = (_INSIDE_TIMES * max(cap, 1) for cap in (sender, day))
        if day < _UNDIVIDED:
            return sender, day, day
        # An account has what one sender may, but never more than half of what all may.
        return sender, max(day // _ACCOUNTS_SHARE, min(sender, day // 2)), day
