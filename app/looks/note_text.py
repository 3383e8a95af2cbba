"""The text of a note on a ticket: its participants, for a technician to read. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from app.autotask.protocol import NOTE_DESCRIPTION, printable
from app.db.states import FAILURES, Outcome
from app.db.tables import Participant
from app.decide import NOT_CUSTOMER, Reason
from app.decide.words import why

_ADDED = {
    Outcome.LINKED: "existing contact",
    Outcome.CREATED_AND_LINKED: "new contact",
    Outcome.ALREADY_LINKED: "already on the ticket",
}
# These alone are no reason for a note; beside others they are named.
_NO_NEWS = (*NOT_CUSTOMER, Reason.TICKET_CONTACT)
_TEXT = 200  # characters of a stranger's text
_MARKUP = str.maketrans("", "", "<>[]{}|`")


def compose(
    people: Sequence[Participant], ticket_id: int, mode: Literal["exceptions", "internal"]
) -> str | None:
    """Return the note about a ticket's participants; None if there is nothing to write.

    It has at most NOTE_DESCRIPTION characters, and a stranger's text on one line. Forgotten
    addresses are not named.
    """
    shown = [row for row in people if row.outcome and row.reason != Reason.FORGOTTEN]
    if not any(_is_news(row) for row in shown):
        return None
    if mode == "exceptions" and not any(_is_exception(row) for row in shown):
        return None
    held = [row for row in shown if row.outcome == Outcome.HELD]
    parts = [
        ("Added to this ticket:", [_added(row) for row in shown if row.outcome in _ADDED]),
        ("Held, waiting for approval:", [_held(row) for row in held]),
        ("Could not be added:", [_failed(row) for row in shown if row.outcome in FAILURES]),
        ("Taken off again:", [_named(row) for row in shown if row.outcome == Outcome.UNLINKED]),
        ("Not added:", [_ignored(row) for row in shown if row.outcome == Outcome.IGNORED]),
    ]
    lines = ["People in the Cc of this ticket's mail, by autotask-cc."]
    for title, members in parts:
        if members:
            lines += ["", title, *(f"- {member}" for member in members)]
    return _within(lines, ["", _to_approve(held)] if held else [], ticket_id)


def _is_news(row: Participant) -> bool:
    if row.outcome == Outcome.RETIRED:
        return False  # the ticket is over
    return row.outcome != Outcome.IGNORED or row.reason not in _NO_NEWS


def _is_exception(row: Participant) -> bool:
    muted = row.outcome in _ADDED and bool(row.muted)
    return muted or row.outcome == Outcome.HELD or row.outcome in FAILURES


def _added(row: Participant) -> str:
    how = _ADDED[Outcome(row.outcome or "")]
    muted = "; the contact is set to get no mail" if row.muted else ""
    return f"{_named(row)} ({how}{muted})"


def _held(row: Participant) -> str:
    return f"{_named(row)}: {why(row.reason)} (number {row.id})"


def _to_approve(held: Sequence[Participant]) -> str:
    numbers = ", ".join(str(row.id) for row in held)
    what = "number" if len(held) == 1 else "numbers"
    return f"Held people can be approved by an administrator of autotask-cc: {what} {numbers}."


def _failed(row: Participant) -> str:
    made = "; its contact was created" if row.outcome == Outcome.CREATED_NOT_LINKED else ""
    return f"{_named(row)}: {_line(row.detail or 'no reason is known')}{made}"


def _ignored(row: Participant) -> str:
    return f"{_named(row)}: {why(row.reason)}"


def _named(row: Participant) -> str:
    name, address = _line(row.name), _line(row.key)
    return f"{name}, {address}" if name and name != address else address


def _line(text: str) -> str:
    """Return a stranger's text as one line, without markup and without a link to click on."""
    line = printable(text).translate(_MARKUP).replace("://", ": //")
    return line if len(line) <= _TEXT else f"{line[: _TEXT - 1]}…"


def _within(lines: list[str], closing: list[str], ticket_id: int) -> str:
    """Join as many lines as there is room for, and the closing ones."""
    more = f"… and more: an administrator of autotask-cc sees all of ticket {ticket_id}."
    left = NOTE_DESCRIPTION - sum(_length(line) for line in (more, *closing))
    kept: list[str] = []
    for line in lines:
        left -= _length(line)
        if left < 0:
            kept.append(more)
            break
        kept.append(line)
    return "\n".join([*kept, *closing])


def _length(line: str) -> int:
    """Return the length of a line and its end; Autotask counts UTF-16 units at worst."""
    return len(line.encode("utf-16-le")) // 2 + 1
