"""Mail files: the outermost header and nothing else, however broken."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.addresses import Address, Rejected
from app.mail.eml import MAX_HEADER, MAX_MAIL_FILE, read_mail_file
from app.mail.message import Message, is_own

BOB = Address("bob@client.example")
PIECES = st.sampled_from(
    b"From: |Cc: |cc :|Subject: |\r\n|\n|\r|\r\n |\t|\x00|a@x.example|<b@y.example>|, |; |\xff"
    b"|\xef\xbb\xbf|=?x?b?=?=".split(b"|")
)


def read(data: bytes | str, *, include_to: bool = False) -> Message | None:
    """Read a file."""
    return read_mail_file(data.encode() if isinstance(data, str) else data, include_to=include_to)


def keys(data: bytes | str) -> list[str] | None:
    """Give the addresses that a file copies; None: it is no mail."""
    message = read(data)
    if message is None:
        return None
    return [one.key for one in message.entries if isinstance(one, Address)]


def test_a_whole_header_is_read() -> None:
    """Folded, encoded, with everything that is known of a mail."""
    message = read(
        "Received: from mx\r\n\tby mail\r\n"
        "Auto-Submitted: auto-generated\r\n"
        "From: =?utf-8?q?Ann_L=C3=A9e?= <Ann@Client.example>\r\n"
        "To: help@msp.example\r\n"
        "CC: =?utf-8?B?TcO8bGxlciwg?=\r\n =?utf-8?B?SsO8cmdlbg==?= <jm@client.example>,\r\n"
        "\tbob@client.example\r\n"
        "Subject: =?utf-8?q?Printer?=\r\n on floor 3\r\n"
        "Message-ID:\r\n <1@client.example>\r\n"
        "\r\nCc: eve@evil.example\r\n"
    )
    assert message == Message(
        sender="ann@client.example",
        sender_unclear=False,
        subject="Printer on floor 3",
        entries=(Address("jm@client.example", "Müller, Jürgen"), BOB),
        message_id="1@client.example",
        automatic="Auto-Submitted",
    )


@pytest.mark.parametrize(
    "text",
    [
        "From: ann@client.example\nCC: bob@client.example\n\nbody",
        "From: ann@client.example\r\ncc : bob@client.example\r\n\r\n",
        "From: ann@client.example\rCc: bob@client.example\r\rCc: eve@evil.example",
        "From: ann@client.example\r\r\nCc: bob@client.example\r\r\n\r\r\nbody",
        "\ufeffFrom: ann@client.example\nCc: bob@client.example\n",
        "From ann@client.example Wed Oct 27\nFrom: ann@client.example\nCc: bob@client.example\n",
        "From: ann@client.example\nCc: bob@client.example",
        "From: ann@client.example\nCc:\n bob@client.example\n\n",
        "From: ann@client.example\nCc: bob@client.example,\nCc: bob@client.example\n\n",
    ],
    ids=["lf", "obsolete", "cr", "crcrlf", "bom", "mbox", "no end", "folded at once", "twice"],
)
def test_a_header_may_be_written_in_many_ways(text: str) -> None:
    """Each copies Bob, and only Bob, and hides nothing."""
    message = read(text)
    assert message is not None
    assert (message.sender, message.entries, message.cut) == ("ann@client.example", (BOB,), False)


@pytest.mark.parametrize(
    "text",
    [
        "From: ann@client.example\n\nCc: eve@evil.example\n",
        "From: ann@client.example\nSubject: x\n Cc: eve@evil.example\n\n",
        "From: ann@client.example\nX: a\rCc: eve@evil.example\n\n",
        "From: ann@client.example\nContent-Type: message/rfc822\n\nFrom: x\nCc: eve@evil.example\n",
        "From: ann@client.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\n"
        "Content-Type: message/rfc822\n\nCc: eve@evil.example\n\n--b--\n",
        "From: ann@client.example\nBcc: eve@evil.example\nReply-To: eve@evil.example\n"
        "Delivered-To: eve@evil.example\nResent-Cc: eve@evil.example\nX-Cc: eve@evil.example\n\n",
        'From: ann@client.example\nCc: "eve@evil.example" <>\n\n',
    ],
    ids=["body", "fold", "bare cr", "attached", "part", "other fields", "display name"],
)
def test_nobody_is_taken_from_elsewhere(text: str) -> None:
    """What is no Cc field of the outermost header copies nobody."""
    assert keys(text) == []


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\n", b"Hello\n", b"\nFrom: ann@client.example\n", b"Hello: world\n\n"),
        *(b"\xff\xfeF\x00", b"PK\x03\x04", b"From: x\n" + b"x" * MAX_MAIL_FILE),
        b"Von: ann@client.example\n",
    ],
    ids=["empty", "blank", "text", "blank first", "word", "utf-16", "zip", "too large", "german"],
)
def test_what_has_no_header_is_no_mail(data: bytes) -> None:
    """It proves nothing about who was copied."""
    assert keys(data) is None


def test_a_mail_without_a_from_is_never_the_own_one() -> None:
    """A real mail has one."""
    message = read("Subject: Printer\nCc: bob@client.example\n\n")
    assert message is not None
    assert message.sender_unclear
    assert not is_own(message, "Printer", {"ann@client.example"})


def test_a_line_that_is_no_header_ends_it_and_proves_nothing() -> None:
    """Readers differ about what comes next: there may be a list that we do not see."""
    message = read("From: ann@client.example\nbroken\nCc: eve@evil.example\n\n")
    assert message is not None
    assert (message.entries, message.cut) == ((), True)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("Jürgen".encode(), "Jürgen"),
        ("Jürgen".encode("cp1252"), "Jürgen"),
        (b"=?x-unknown?q?J=FCrgen?=", "Jürgen"),
        (b"=?utf-8?b?!!!?=", "=?utf-8?b?!!!?="),
        (b"J\x00r", "Jr"),
    ],
    ids=["utf-8", "cp1252", "unknown charset", "broken word", "nul"],
)
def test_a_name_survives_its_encoding(raw: bytes, name: str) -> None:
    """And its address is read whatever became of it."""
    message = read(b"From: ann@client.example\nCc: " + raw + b" <bob@client.example>\n\n")
    assert message is not None
    [one] = message.entries
    assert isinstance(one, Address)
    assert one.key == BOB.key
    assert one.name == name or name.startswith("=?")


def test_a_header_that_is_too_long_is_cut() -> None:
    """What lies beyond was not looked at."""
    message = read(b"From: ann@client.example\n" + b"X: y\n" * (MAX_HEADER // 5) + b"Cc: b@x\n\n")
    assert message is not None
    assert (message.entries, message.cut) == ((), True)


def test_a_large_body_costs_nothing() -> None:
    """Only the header's part of it is looked at."""
    data = b"From: ann@client.example\nCc: bob@client.example\n\n" + b"x\n" * (
        MAX_MAIL_FILE // 2 - 50
    )
    start = time.perf_counter()
    assert keys(data) == [BOB.key]
    assert time.perf_counter() - start < 1


@given(st.binary() | st.lists(PIECES, max_size=40).map(b"".join), st.booleans())
def test_no_bytes_raise_and_nobody_is_invented(data: bytes, include_to: bool) -> None:
    """Whatever was written: an address that is found stands in the file."""
    message = read_mail_file(data, include_to=include_to)
    for entry in message.entries if message else ():
        if isinstance(entry, Address) and data.isascii():
            assert entry.key.partition("@")[0].encode() in data.lower()


def test_entries_are_bounded_over_all_fields() -> None:
    """Fifty fields of a thousand people would keep a worker busy for seconds."""
    fields = "".join(
        f"Cc: {', '.join(f'p{n}-{m}@x.example' for m in range(900))}\r\n" for n in range(5)
    )
    mail = read_mail_file(f"From: a@x.example\r\n{fields}\r\n".encode(), include_to=False)
    assert mail is not None
    assert 1_000 <= len(mail.entries) <= 2_001
    assert isinstance(mail.entries[-1], Rejected)
    assert mail.entries[-1].reason == "too_many"
