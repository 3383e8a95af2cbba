"""The corpus of lists and names, read; and what docs/reading-addresses.md says about it."""

import re
from pathlib import Path

import pytest

from app.mail.names import person_name
from tests.corpus import Case, address_cases, name_cases, read_case
from tests.corpus.compare import READERS, compared, count

PAGE = Path(__file__).parents[2] / "docs" / "reading-addresses.md"


@pytest.mark.parametrize("case", address_cases(), ids=str)
def test_a_list_of_the_corpus_is_read_exactly(case: Case) -> None:
    """Every address with its name, every refused entry with its reason, in order."""
    assert read_case(case) == (case.addresses, case.rejected)


@pytest.mark.parametrize("case", name_cases(), ids=lambda case: case["about"])
def test_a_name_of_the_corpus_is_split_exactly(case: dict[str, str]) -> None:
    """First and last name are those that a person would enter."""
    assert person_name(case["display"], case["key"]) == (case["first"], case["last"])


def test_the_corpus_is_large_and_says_each_thing_once() -> None:
    """A case that stands twice tells nothing new, and each says what it is about."""
    inputs = [(case.text, case.cut) for case in address_cases()]
    names = [(case["display"], case["key"]) for case in name_cases()]
    assert len(set(inputs)) == len(inputs) >= 230
    assert len(set(names)) == len(names) >= 80
    assert all(case.about.strip() for case in address_cases())


def test_the_comparison_finds_ours_right_and_the_others_not() -> None:
    """The others' numbers change with Python's patch level; that they are not all right stays."""
    ours, *others = (count(reader) for reader in READERS.values())
    assert (ours["right"], ours["wrong"]) == (len(compared()), 0)
    for other in others:
        assert other["invented"] > 0
        assert other["missed"] > 0


def test_the_page_says_what_the_corpus_holds() -> None:
    """The numbers of ours, and the number of cases of each theme, are those of today."""
    page = PAGE.read_text(encoding="utf-8")
    assert f"| `app.mail.addresses` | {len(compared())} | 0 | 0 | 0 | 0 |" in page
    for theme in {case.theme for case in compared()}:
        cases = sum(case.theme == theme for case in compared())
        assert f"| {theme} | {cases} | {cases} |" in page


def test_the_page_explains_every_reason() -> None:
    """Each reason is explained, and no other."""
    page = PAGE.read_text(encoding="utf-8")
    used = {reason for case in address_cases() for _, reason in case.rejected}
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.M)) == used
