"""Which mail is a ticket's own: its sender, its header, and what says that a machine wrote it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.addresses import Address, Rejected
from app.mail.message import (
    MAX_LISTS,
    Message,
    automatic_reason,
    is_own,
    message_of,
)

ANN = "ann@client.example"
FIELDS = [("from", f"Ann <{ANN}>"), ("subject", "Printer"), ("cc", "bob@client.example")]


def read(*fields: tuple[str, str], include_to: bool = False, cut: bool = False) -> Message:
    """Read a header."""
    return message_of(fields, include_to=include_to, cut=cut)


# --- whose it is ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "own"),
    [
        (FIELDS, True),
        ([("cc", "bob@client.example")], True),
        ([("from", "eve@evil.example"), ("subject", "Printer")], False),
        ([("from", f"{ANN}, eve@evil.example"), ("subject", "Printer")], False),
        ([("from", f"eve@evil.example ({ANN})"), ("subject", "Printer")], False),
        ([("from", f'"{ANN}" <eve@evil.example>'), ("subject", "Printer")], False),
        ([("from", ANN), ("from", "eve@evil.example"), ("subject", "Printer")], False),
        ([("from", ANN), ("from", ANN), ("subject", "Printer")], False),
        ([("from", ANN), ("from", ""), ("subject", "Printer")], False),
        ([("from", ""), ("subject", "Printer")], False),
        ([("from", ANN), ("subject", "Gift cards")], False),
        ([("from", ANN), ("subject", "")], False),
        ([("from", ANN), ("subject", "Printer"), ("subject", "Printer")], False),
    ],
)
def test_a_message_is_own_by_sender_and_subject(fields: list[tuple[str, str]], own: bool) -> None:
    """What is there must fit, and be there once; what is not there says nothing."""
    assert is_own(read(*fields), "Printer", {ANN, "ann@home.example"}) is own


def test_a_message_of_a_ticket_without_a_contact_is_own_only_without_a_from() -> None:
    """Nobody's addresses fit no sender."""
    assert not is_own(read(*FIELDS), "Printer", ())
    assert is_own(read(("cc", "bob@client.example")), "Printer", ())


# --- what a machine wrote ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("Auto-Submitted", "auto-replied", "Auto-Submitted"),
        ("AUTO-SUBMITTED", "auto-generated; owner-email=x", "Auto-Submitted"),
        ("Auto-Submitted", "(by hand) no (really)", None),
        ("Auto-Submitted", "No; x=y", None),
        ("X-Auto-Response-Suppress", "DR, OOF, AutoReply", "X-Auto-Response-Suppress"),
        ("X-Auto-Response-Suppress", "None", None),
        ("X-Auto-Response-Suppress", " ", None),
        ("Return-Path", " < > (bounce)", "null sender"),
        ("Return-Path", "<ann@client.example>", None),
        ("Content-Type", 'multipart/report; report-type="delivery-status"', "delivery report"),
        (
            "Content-Type",
            "Multipart/Report;\n Report-Type=disposition-notification",
            "delivery report",
        ),
        ("Content-Type", "multipart/report; report-type=feedback-report", None),
        ("Content-Type", "multipart/mixed; boundary=delivery-status", None),
        ("X-Failed-Recipients", "bob@client.example", "delivery report"),
        ("Precedence", "bulk", None),
        ("List-Id", "<staff.client.example>", None),
    ],
)
def test_headers_say_that_a_machine_wrote_it(name: str, value: str, reason: str | None) -> None:
    """The standard's header, Microsoft's, a null sender, and reports; never a list's."""
    assert automatic_reason([("Subject", "x"), (name, value)]) == reason


# --- its header ----------------------------------------------------------------------------------


def test_people_come_from_cc_alone_unless_to_was_asked_for() -> None:
    """Nobody is taken from a field that is no copy."""
    fields = [
        ("to", "to@client.example"),
        *((name, "eve@evil.example") for name in ("bcc", "reply-to", "delivered-to", "resent-cc")),
        ("cc", "bob@client.example"),
    ]
    assert read(*fields).entries == (Address("bob@client.example"),)
    with_to = read(*fields, include_to=True).entries
    assert with_to == (Address("to@client.example"), Address("bob@client.example"))


def test_only_the_last_field_of_a_cut_header_lacks_its_end() -> None:
    """The fields above it are whole."""
    first, last = ("cc", "bob@client.example"), ("cc", "dora@client.co")
    assert read(first, last, cut=True).entries == (
        Address("bob@client.example"),
        Rejected("dora@client.co", "cut_off"),
    )
    assert read(last, ("subject", "Prin"), cut=True).entries == (Address("dora@client.co"),)


def test_lists_without_end_are_not_all_read() -> None:
    """What is left out is said."""
    fields = [("cc", f"p{number}@client.example") for number in range(MAX_LISTS + 9)]
    *whole, last = read(*fields).entries
    assert len(whole) == MAX_LISTS
    assert last == Rejected(f"p{MAX_LISTS}@client.example …", "too_many")


@pytest.mark.parametrize(
    ("values", "identifier"),
    [
        ([" <abc@client.example> "], "abc@client.example"),
        (["abc"], "abc"),
        (["<a@x>", "<b@x>"], None),
        (["<a\N{ZERO WIDTH SPACE}@x>"], None),
        (["<>"], None),
        ([f"<{'x' * 995}>"], "x" * 995),
        ([f"<{'x' * 996}>"], None),
    ],
)
def test_a_message_id_is_taken_without_its_brackets(
    values: list[str], identifier: str | None
) -> None:
    """One, printable, of a length that a header line can have; else none."""
    assert read(*(("message-id", value) for value in values)).message_id == identifier


@given(st.lists(st.tuples(st.sampled_from(["from", "cc", "subject", "to", "x"]), st.text())))
def test_no_header_raises(fields: list[tuple[str, str]]) -> None:
    """Whatever stands in it; and a sender is clear or unclear, never both."""
    message = read(*fields, include_to=True, cut=True)
    assert not (message.sender and message.sender_unclear)
    assert message.sender_unclear <= any(name == "from" for name, _ in fields)
