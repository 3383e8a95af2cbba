"""Properties of reading any text as an address list."""

import base64
import re
import sys
import unicodedata
from collections.abc import Callable
from types import FrameType
from typing import Any

import idna
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.mail.addresses import MAX_ENTRIES, Address, Rejected, address_key, mask, read_addresses
from app.mail.text import is_hidden

MAX_SHOWN = 200  # characters of a name or of a refused text, header_text.clean()

# Text made of the pieces that matter, so that structure is met often.
SPECIALS = [*"\"'<>()[]{}:;,.@\\&=?%! \t\r\n", "\r\n ", "&lt;", "&gt;", "&amp;", "Cc:", "Bcc:"]
SPECIALS += ["mailto:", "[mailto:", "{{cc}}", "=?utf-8?Q?", "=2C=40?=", '"ceo@client.com" ']
SPECIALS += ["=?utf-8?B?PGJAeC5jb20+?=", "Team: ", "Doe, John ", "(", "\\)", "mailto:a@x.com>>"]
LETTERS = ["a", "B", "é", "ß", "＠", "，", "ﬁ", "K", "\u0331", "\u0338", "。", "．"]
HIDDEN = ["\u200b", "\u202e", "\x00", "\ud800", "\ufe0f"]
WHOLE = ["a@x.com", "bob@evil.example", "<c@x.com>", "例え.jp", "xn--r8jz45g.jp", "@bücher.example"]
PIECES = st.sampled_from([*SPECIALS, *LETTERS, *HIDDEN, *WHOLE])
SIMPLE = st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=60)


def _encoded(name: str) -> str:
    data = name.encode("utf-8", "replace")
    return f"=?utf-8?B?{base64.b64encode(data).decode()}?="


NESTED = SIMPLE.map(_encoded) | SIMPLE.map(_encoded).map(_encoded)
ENDS = st.sampled_from([" <a@x.com>", " (J) b@x.com,", ""])
TEXTS = SIMPLE | st.tuples(NESTED, ENDS, SIMPLE).map("".join)

# Pieces that once made, or could make, reading slow: what opens and never closes, what nests.
HOSTILE = ["a@x.com,", "(", "<", '"', "<a", '<"', "((", "[mailto:", "a:", "\\", "=?utf-8?Q?a?= "]
HOSTILE += ["&lt;", "a,", "\n ", "[", "x <", "<a@x<mailto:", "\u200b", "\ud800", "\ufdfa", "{{"]
HOSTILE += ["@", "a@", "%a", "a.", ":", "&lt;&gt;", "(\\", ")", "'", "a b ", "a@xn--a.com,"]
HOSTILE += ["()", "<>", '"",', "(a@x.com),", "=?", "a, <", "Smith, "]


def _keys(text: str) -> list[str]:
    return [entry.key for entry in read_addresses(text) if isinstance(entry, Address)]


@settings(max_examples=600, deadline=None)
@given(TEXTS, st.booleans())
def test_keys_are_stable(text: str, cut: bool) -> None:
    """Whatever the text, nothing is raised, and every key reads as itself, alone or in a list."""
    read = read_addresses(text, cut=cut)
    mask(text)
    keys = [entry.key for entry in read if isinstance(entry, Address)]
    assert [address_key(key) for key in keys] == keys
    assert _keys(", ".join(keys)) == keys
    assert len(set(keys)) == len(keys)


@settings(max_examples=25, deadline=None)
@given(TEXTS, TEXTS, TEXTS, st.sampled_from([1_000, 100_000, 1_000_000]))
def test_long_text_is_finished(head: str, piece: str, tail: str, size: int) -> None:
    """Text of up to a million characters is read, and what comes of it is bounded."""
    text = head + (piece * (size // max(len(piece), 1)))[:size] + tail
    read = read_addresses(text)
    assert len(read) <= MAX_ENTRIES + 1
    assert all(len(_shown(entry)) <= MAX_SHOWN for entry in read)


@settings(max_examples=600, deadline=None)
@given(TEXTS)
def test_no_key_is_invented(text: str) -> None:
    """Every key stands in the text as one run, apart from case, width and the form of the IDN."""
    written = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    for key in _keys(text):
        local, _, domain = key.rpartition("@")
        # UTS 46 takes the ideographic full stop for a dot; NFKC does not.
        forms = ("[.。]".join(map(re.escape, d.split("."))) for d in (domain, idna.decode(domain)))
        assert any(re.search(re.escape(f"{local}@") + form, written) for form in forms)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_an_ascii_key_stands_in_the_text_as_it_is(text: str) -> None:
    """No normalisation spells an address of plain letters out of others: only case may differ."""
    for key in _keys(text):
        if key.isascii() and "xn--" not in key and text.isascii():
            assert key in text.lower()


def _quoted(name: str) -> str:
    return '"' + re.sub(r'([\\"])', r"\\\1", name) + '"'


def _comment(name: str) -> str:
    return "(" + re.sub(r"([\\()])", r"\\\1", name) + ")"


# How a name may stand beside an address, each written as the standard asks.
BESIDE: dict[str, Callable[[str], str]] = {
    "quoted": lambda name: f"{_quoted(name)} <real@x.com>",
    "comment behind": lambda name: f"real@x.com {_comment(name)}",
    "comment in front": lambda name: f"{_comment(name)} <real@x.com>",
    "encoded": lambda name: f"{_encoded(name)} <real@x.com>",
    "encoded in quotes": lambda name: f'"{_encoded(name)}" <real@x.com>',
    "encoded comment": lambda name: f"<real@x.com> ({_encoded(name)})",
}


@pytest.mark.parametrize("form", BESIDE)
@settings(max_examples=200, deadline=None)
@given(name=TEXTS, before=st.sampled_from(["", "a@x.com, ", "A <a@x.com>;"]))
def test_no_display_name_adds_an_address(form: str, name: str, before: str) -> None:
    """A name, however it is written, adds no address, takes none away and is no structure."""
    text = f"{before}{BESIDE[form](name)}, last@x.com"
    assume(len(text) < 1_500)
    plain = f"{before}real@x.com, last@x.com"
    assert _keys(text) == _keys(plain)


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.booleans())
def test_what_is_shown_is_clean(text: str, cut: bool) -> None:
    """Names and refused texts hold at most 200 characters, and none that is hidden."""
    for entry in read_addresses(text, cut=cut):
        shown = _shown(entry)
        assert len(shown) <= MAX_SHOWN
        assert shown == " ".join(shown.split())
        assert not any(is_hidden(char) for char in shown)
        assert isinstance(entry, Rejected) or not re.search(r"\S[@＠]\S", shown)


def _shown(entry: Address | Rejected) -> str:
    return entry.name if isinstance(entry, Address) else entry.text


def _rendered(addresses: list[Address]) -> str:
    return ", ".join(f"{_quoted(one.name)} <{one.key}>" for one in addresses)


@settings(max_examples=600, deadline=None)
@given(TEXTS)
def test_reading_what_was_rendered_is_a_fixed_point(text: str) -> None:
    """Addresses that are written as the standard asks are read again as they were."""
    found = [entry for entry in read_addresses(text) if isinstance(entry, Address)]
    assert read_addresses(_rendered(found)) == found


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_a_cut_adds_no_address(text: str) -> None:
    """A text that may go on yields what it would anyway, less what its end touches."""
    whole, cut = _keys(text), read_addresses(text, cut=True)
    assert {entry.key for entry in cut if isinstance(entry, Address)} <= set(whole)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["a@x.com", "J <b@x.com>", '"D, J" <c@x.com>', "d@x.com (J)"])),
    st.sampled_from([", ", "; ", ",\r\n "]),
    st.data(),
)
def test_a_cut_off_list_yields_its_whole_addresses(
    entries: list[str], separator: str, data: st.DataObject
) -> None:
    """Wherever a list is cut, what stands before the last separator is read, and nothing else."""
    text = separator.join(entries)
    end = data.draw(st.integers(0, len(text)))
    whole, rest = 0, end
    while whole < len(entries) and rest > len(entries[whole]):
        rest -= len(entries[whole]) + len(separator)
        whole += 1
    read = read_addresses(text[:end], cut=True)
    keys = [entry.key for entry in read if isinstance(entry, Address)]
    assert keys == _keys(", ".join(entries[:whole]))


def _lines_run(text: str) -> int:
    """Count the lines of Python that reading the text runs: a clock without noise."""
    count = 0

    def trace(_frame: FrameType, event: str, _arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        read_addresses(text)
        mask(text)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("piece", HOSTILE)
def test_effort_grows_linearly(piece: str) -> None:
    """Four times the text is about four times the work at most."""
    once, four = (_lines_run(piece * (size // len(piece))) for size in (1_000, 4_000))
    assert four < 4.5 * once + 100


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_is_finished(piece: str) -> None:
    """A hundred thousand characters of anything are read; quadratic code would not come back."""
    text = (piece * 100_000)[:100_000]
    assert len(read_addresses(text)) <= MAX_ENTRIES + 1
    assert address_key(text) is None
    assert isinstance(mask(text), str)
