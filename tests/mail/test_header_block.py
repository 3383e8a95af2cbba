"""Header blocks in descriptions: as mail clients, gateways, templates and attackers write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.addresses import Address
from app.mail.header_block import read_header_block
from app.mail.html_lines import html_lines
from app.mail.message import Message

BLOCKS = Path(__file__).parents[1] / "corpus" / "blocks"
CASES = [
    pytest.param(case, id=f"{path.stem}-{case['about']}")
    for path in sorted(BLOCKS.glob("*.json"))
    for case in json.loads(path.read_text(encoding="utf-8"))
]
PIECES = st.sampled_from(
    'From: |Cc: |CC :|To: |Subject:|Von: |a@x.example|<b@y.example>|; |, |\n|\r|\n |> |*|"|('.split(
        "|"
    )
    + "<br>|<p>|</p>|<pre>|<div style='display:none'>|&lt;|-----|\u200b|\ud800|=?utf-8?Q?".split(
        "|"
    )
)


def text_of(case: dict[str, Any]) -> str:
    """Give a case's text: whole, in lines, or a head and a tail of 8,000 characters in all."""
    text = case["text"]
    if isinstance(text, dict):
        head, tail = "\n".join(text["head"]), text["tail"]
        return f"{head}{'x' * (8_000 - len(head) - len(tail))}{tail}"
    return text if isinstance(text, str) else "\n".join(text)


def seen(message: Message | None) -> dict[str, Any] | None:
    """Give what a case expects of a message; the filler of a long one is passed over."""
    if message is None:
        return None
    people = [one for one in message.entries if isinstance(one, Address)]
    rejected = [one for one in message.entries if not isinstance(one, Address)]
    return {
        "sender": message.sender,
        "sender_unclear": message.sender_unclear,
        "subject": message.subject,
        "people": [[one.key, one.name] for one in people],
        "rejected": [[one.text, one.reason] for one in rejected if "xxxx" not in one.text],
        "message_id": message.message_id,
        "automatic": message.automatic,
        "cut": message.cut,
    }


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    """At least 60 blocks, each about something of its own."""
    assert len({case.id for case in CASES}) == len(CASES) >= 60


@pytest.mark.parametrize("case", CASES)
def test_a_block_is_read(case: dict[str, Any]) -> None:
    """Exactly the people, the rejected entries and the message that the corpus expects."""
    message = read_header_block(text_of(case), include_to=case.get("include_to", False))
    usual = {"sender_unclear": False, "message_id": None, "automatic": None, "cut": False}
    assert seen(message) == (case["expect"] and {**usual, **case["expect"]})


@pytest.mark.parametrize("case", [case for case in CASES if "cut-" not in str(case.id)])
def test_line_ends_do_not_matter(case: dict[str, Any]) -> None:
    """With CRLF a block reads as with LF; a longer text may be cut."""
    text, include_to = text_of(case), case.get("include_to", False)
    crlf = read_header_block(text.replace("\n", "\r\n"), include_to=include_to)
    assert seen(crlf) == seen(read_header_block(text, include_to=include_to))


def test_the_cut_is_counted_in_the_units_of_autotask() -> None:
    """An emoji is two UTF-16 units, so that 4,000 of them fill a description."""
    short = read_header_block("Cc: " + "\N{PRINTER}" * 3_000 + ", a@x.example", include_to=False)
    full = read_header_block("Cc: " + "\N{PRINTER}" * 3_992 + ", a@x.example", include_to=False)
    assert short is not None
    assert full is not None
    assert (short.cut, full.cut) == (False, True)


def test_a_cut_html_list_yields_its_whole_addresses() -> None:
    """The cut leaves tags and entities in pieces."""
    many = "".join(f"P {i} &lt;p{i}@client.example&gt;; " for i in range(300))
    html = f"<div><b>From:</b> ann@client.example<br><b>Cc:</b> {many}"[:8_000]
    message = read_header_block(html, include_to=False)
    assert message is not None
    assert message.cut
    *whole, last = message.entries
    assert [one.key for one in whole if isinstance(one, Address)] == [
        f"p{i}@client.example" for i in range(len(whole))
    ]
    assert not isinstance(last, Address)
    assert last.reason == "cut_off"


def test_a_text_that_is_too_long_to_be_read_counts_as_cut() -> None:
    """What was not looked at may hold more of the list."""
    text = "Cc: " + "a@x.example, " * 10_000
    message = read_header_block(text, include_to=False)
    assert message is not None
    assert message.cut


def test_html_in_html_never_ends_the_process() -> None:
    """Nesting is the sender's: no recursion."""
    html = "<div>" * 6_000 + "Cc: a@x.example<p>Hello"
    message = read_header_block(html, include_to=False)
    assert message is not None
    assert [str(one) for one in message.entries] == [str(Address("a@x.example"))]


@pytest.mark.parametrize(
    ("html", "lines"),
    [
        ("a<br>b<br><br>c", ["a", "b", "", "c"]),
        ("<p>a</p><p>&nbsp;</p>\n<p>b</p>", ["a", "\N{NO-BREAK SPACE}", "b"]),
        ("<table><tr><th>a:</th><td>b</td></tr><tr><td>c</td></tr></table>", ["a: b", "c"]),
        ("<pre>a\n b\n\nc</pre>d", ["a", " b", "", "c", "d"]),
        ("<p hidden>a</p><p style='visibility: hidden'>b</p><p style='font-size:0px'>c</p>", []),
        ("<p style='font-size:0.9em'>a</p>", ["a"]),
        ("<title>a</title><textarea>b</textarea><svg><text>c</text></svg>", []),
        ("x &lt;a&gt; &amp;amp; y", ["x <a> &amp; y"]),
        ("", []),
    ],
)
def test_html_becomes_the_lines_that_people_see(html: str, lines: list[str]) -> None:
    """Blocks and breaks end lines, cells do not, and what is hidden is no line."""
    assert html_lines(html) == lines


@given(st.text() | st.lists(PIECES | st.text(max_size=5), max_size=40).map("".join), st.booleans())
def test_no_text_raises_and_nobody_is_invented(text: str, include_to: bool) -> None:
    """Whatever was written: an ASCII address that is found stands in the text."""
    message = read_header_block(text, include_to=include_to)
    for entry in message.entries if message else ():
        if isinstance(entry, Address) and text.isascii():
            local = entry.key.partition("@")[0]
            assert local.lower() in text.lower()


@given(st.lists(PIECES, max_size=40).map("".join))
def test_what_follows_a_blank_line_never_counts(text: str) -> None:
    """A body can't add to the header above it."""
    block = "From: ann@client.example\nSubject: Printer\n\n"
    message = read_header_block(block + text, include_to=True)
    assert message == Message("ann@client.example", False, "Printer", ())
