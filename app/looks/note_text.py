"""What a note on a ticket says about the people in its Cc, for a technician to read. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from app.autotask.protocol import NOTE_DESCRIPTION, printable
from app.db.states import FAILURES, Outcome
from app.db.tables import Participant
from app.decide import Reason
from app.decide.words import why

_ADDED = {
    Outcome.LINKED: "contact was there",
    Outcome.CREATED_AND_LINKED: "new contact",
    Outcome.ALREADY_LINKED: "was on the ticket already",
}
# Nobody needs to be told that these were left out; they are named beside others only.
_NO_NEWS = (Reason.OWN_ADDRESS, Reason.MACHINE, Reason.TECHNICIAN, Reason.TICKET_CONTACT)
_TEXT = 200  # characters of a stranger's text
_MARKUP = str.maketrans("", "", "<>[]{}|`")


def compose(
    people: Sequence[Participant], ticket_id: int, mode: Literal["exceptions", "internal"]
) -> str | None:
    """Write what became of a ticket's people; None when that is nothing to tell.

    At most NOTE_DESCRIPTION characters, strangers' texts on one line each. Whoever is to be
    forgotten is not named.
    """
    told = [one for one in people if one.outcome and one.reason != Reason.FORGOTTEN]
    if not any(_is_news(one) for one in told):
        return None
    if mode == "exceptions" and not any(_is_exception(one) for one in told):
        return None
    held = [one for one in told if one.outcome == Outcome.HELD]
    parts = [
        ("Added to this ticket:", [_added(o) for o in told if o.outcome in _ADDED]),
        ("Held, waiting for a person's word:", [_held(one) for one in held]),
        ("Could not be added:", [_failed(one) for one in told if one.outcome in FAILURES]),
        ("Taken off again:", [_named(o) for o in told if o.outcome == Outcome.UNLINKED]),
        ("Not added:", [_ignored(o) for o in told if o.outcome == Outcome.IGNORED]),
    ]
    lines = ["People in the Cc of this ticket's mail, by autotask-cc."]
    for title, members in parts:
        if members:
            lines += ["", title, *(f"- {member}" for member in members)]
    return _within(lines, ["", _to_approve(held)] if held else [], ticket_id)


def _is_news(one: Participant) -> bool:
    if one.outcome == Outcome.RETIRED:
        return False  # the ticket is over
    return one.outcome != Outcome.IGNORED or one.reason not in _NO_NEWS


def _is_exception(one: Participant) -> bool:
    muted = one.outcome in _ADDED and bool(one.muted)
    return muted or one.outcome == Outcome.HELD or one.outcome in FAILURES


def _added(one: Participant) -> str:
    how = _ADDED[Outcome(one.outcome or "")]
    muted = "; gets no mail: contact is set so" if one.muted else ""
    return f"{_named(one)} ({how}{muted})"


def _held(one: Participant) -> str:
    return f"{_named(one)}: {why(one.reason)} (number {one.id})"


def _to_approve(held: Sequence[Participant]) -> str:
    numbers = ", ".join(str(one.id) for one in held)
    what = "number" if len(held) == 1 else "numbers"
    return f"Held people can be approved by an administrator of autotask-cc: {what} {numbers}."


def _failed(one: Participant) -> str:
    made = "; its contact was created" if one.outcome == Outcome.CREATED_NOT_LINKED else ""
    return f"{_named(one)}: {_line(one.detail or 'no reason is known')}{made}"


def _ignored(one: Participant) -> str:
    return f"{_named(one)}: {why(one.reason)}"


def _named(one: Participant) -> str:
    name, address = _line(one.name), _line(one.key)
    return f"{name}, {address}" if name and name != address else address


def _line(text: str) -> str:
    """Make a stranger's text one line without markup, and without an address to click on."""
    line = printable(text).translate(_MARKUP).replace("://", ": //")
    return line if len(line) <= _TEXT else f"{line[: _TEXT - 1]}…"


def _within(lines: list[str], closing: list[str], ticket_id: int) -> str:
    """Keep as many lines as there is room for before the closing ones."""
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
    """Count a line and its end; Autotask counts UTF-16 at worst."""
    return len(line.encode("utf-16-le")) // 2 + 1
