"""Whether a text's end may be missing, by how long it is."""

from __future__ import annotations

import pytest

from app.mail.message import read_field
from app.mail.text import fills

PRINTER = "\N{PRINTER}"  # two UTF-16 units, four bytes


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x" * 255, id="characters"),
        pytest.param(PRINTER * 127 + "x", id="UTF-16 units"),
        pytest.param("ü" * 127 + "x", id="bytes"),
        pytest.param("x" * 200 + PRINTER * 55, id="characters, with emoji"),
        pytest.param("x" * 254 + "\ud83d", id="cut in the middle of an emoji"),
        pytest.param("x\n" * 20 + "x" * 195, id="a line end that was two"),
        pytest.param("x\r\n" * 20 + "x" * 215, id="a line end that was one"),
        pytest.param("x\r" * 20 + "x" * 195, id="a line end of an old Mac"),
        pytest.param("x" * 254, id="a space was trimmed"),
        pytest.param("x" * 253, id="a line end was trimmed"),
    ],
)
def test_a_text_that_fills_its_field(text: str) -> None:
    """Counted in every way in which a system may have counted."""
    assert fills(text, (255, 8_000))


@pytest.mark.parametrize(
    "text", ["", "x", "x" * 252, "x" * 256, "x" * 4_000, "x" * 7_989, "x" * 8_001, PRINTER * 200]
)
def test_a_text_with_room_left_is_whole(text: str) -> None:
    """Or with more than its field could hold: then it was not that which cut it."""
    assert not fills(text, (255, 8_000, 0))


def test_an_end_that_is_a_sentence_is_no_list() -> None:
    """Only an entry that could have been an address is shown as cut off."""
    assert read_field("please call me as soon as", cut=True) is None
    assert read_field("ana@client.ex", cut=True) is not None
