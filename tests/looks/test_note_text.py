"""What a note says, from participants alone."""

from __future__ import annotations

from typing import Any

import pytest

from app.autotask.protocol import NOTE_DESCRIPTION
from app.db.tables import Participant
from app.looks.note_text import compose

TICKET = 7


def one(key: str = "carla@client.example", **values: Any) -> Participant:
    """Make somebody who was linked, unless it is said otherwise."""
    usual = {"name": "Carla Mendes", "reason": "known", "decision": "link", "outcome": "linked"}
    return Participant(ticket_id=TICKET, key=key, **{"id": 17, **usual, **values})


def held(**values: Any) -> Participant:
    """Make somebody who is held."""
    return one(**{"decision": "hold", "outcome": "held", "reason": "outside", **values})


def ignored(reason: str, **values: Any) -> Participant:
    """Make somebody who is ignored."""
    return one(decision="ignore", outcome="ignored", reason=reason, **values)


def said(*people: Participant) -> str:
    """Compose a note that must be one."""
    text = compose(people, TICKET, "internal")
    assert text is not None
    return text


@pytest.mark.parametrize(
    ("person", "line"),
    [
        (one(), "- Carla Mendes, carla@client.example (existing contact)"),
        (one(outcome="created_and_linked"), "- Carla Mendes, carla@client.example (new contact)"),
        (one(name=""), "- carla@client.example (existing contact)"),
        (
            one(muted=True),
            "- Carla Mendes, carla@client.example (existing contact; the contact is set to get "
            "no mail)",
        ),
        (
            held(),
            "- Carla Mendes, carla@client.example: it is new, from outside the account (number 17)",
        ),
        (
            one(outcome="failed", detail="POST Contacts: No."),
            "- Carla Mendes, carla@client.example: POST Contacts: No.",
        ),
        (
            one(outcome="created_not_linked", detail="No."),
            "- Carla Mendes, carla@client.example: No.; its contact was created",
        ),
        (
            ignored("denied"),
            "- Carla Mendes, carla@client.example: the account's policy denies it",
        ),
        (
            held(reason="moved"),
            "- Carla Mendes, carla@client.example: it was copied while the ticket was another "
            "customer's (number 17)",
        ),
        (one(outcome="unlinked", reason="known"), "- Carla Mendes, carla@client.example"),
    ],
)
def test_each_outcome_has_its_line(person: Participant, line: str) -> None:
    """Who, and what came of it, in words."""
    assert line in said(person).splitlines()


@pytest.mark.parametrize(
    ("people", "told"),
    [
        ([one()], False),
        ([one(outcome="created_and_linked")], False),
        ([ignored("denied")], False),
        ([one(muted=True)], True),
        ([one(), held()], True),
        ([held(reason="over_limit")], True),
        ([one(outcome="failed")], True),
        ([one(outcome="created_not_linked")], True),
    ],
)
def test_exceptions_are_the_held_failed_and_muted(people: list[Participant], told: bool) -> None:
    """The rest needs nobody's attention."""
    assert (compose(people, TICKET, "exceptions") is not None) is told


@pytest.mark.parametrize("reason", ["own_address", "machine", "technician", "ticket_contact"])
def test_who_never_counts_makes_no_note(reason: str) -> None:
    """Our own mailbox is in many a Cc."""
    assert compose([ignored(reason)], TICKET, "internal") is None


def test_who_was_retired_with_the_ticket_is_no_news() -> None:
    """Alone they make no note, and beside others they are not named."""
    gone = one(key="gone@client.example", outcome="retired")
    for mode in ("exceptions", "internal"):
        assert compose([gone], TICKET, mode) is None
    assert "gone@" not in said(one(), gone)


def test_nobody_makes_no_note() -> None:
    """Nor does somebody who is not finished."""
    assert compose([], TICKET, "internal") is None
    assert compose([one(outcome=None)], TICKET, "internal") is None


def test_who_is_to_be_forgotten_is_not_named() -> None:
    """Beside others, as little as alone."""
    gone = ignored("forgotten", key="gone@client.example")
    assert "gone@" not in said(one(), gone)
    assert compose([gone], TICKET, "internal") is None


@pytest.mark.parametrize(
    "name",
    [
        "Carla\nHeld, waiting:\r\n- x",
        "<b>Carla</b>\u2028<script>",
        "see https://evil.example/x",
        "a\u202eb\x00c",
        "x" * 5000,
    ],
)
def test_a_strangers_name_stays_one_line_without_markup(name: str) -> None:
    """It can neither look like ours nor be clicked on."""
    text = said(one(name=name))
    assert len(text.splitlines()) == len(said(one()).splitlines())
    assert not any(sign in text for sign in ("<", ">", "://", "\u202e", "\x00"))
    assert max(len(line) for line in text.splitlines()) < 400


def test_it_fits_and_says_that_there_is_more() -> None:
    """A hundred long names, in letters of two units each; who can approve them is not lost."""
    people = [held(id=n, key=f"p{n}@x.example", name="\U0001d49c" * 300) for n in range(100)]
    text = said(*people)
    assert len(text.encode("utf-16-le")) // 2 <= NOTE_DESCRIPTION
    more, empty, closing = text.splitlines()[-3:]
    assert (more[:10], more[-9:], empty) == ("… and more", "ticket 7.", "")
    assert closing.endswith("numbers " + ", ".join(map(str, range(100))) + ".")


def test_held_people_are_an_administrators_to_approve() -> None:
    """A technician is told the numbers to name, and no address of an API."""
    text = said(held(id=12), one(), held(id=15, key="nina@radiology.example"))
    expected = "Held people can be approved by an administrator of autotask-cc: numbers 12, 15."
    assert text.splitlines()[-1] == expected
    assert "/admin" not in text
    assert said(held(id=12)).splitlines()[-1].endswith(" autotask-cc: number 12.")
    assert "administrator" not in said(one())
