"""Lists and names as they are met in mail, and what is to be read from them.

Every case of `addresses/*.json` is one object: `about` (where it is from, what it is about),
`input` (text, or a list of texts and of `{"repeat": text, "times": number}`), `addresses`
(`[key, display name]` each), `rejected` (`[text, reason]` each), both in the order of the text.
`cut` stands where the text was cut off at its end; `standard` names addresses that a reader which
keeps to the standard may return although we refuse them. `names.json`: `about`, `display`, `key`,
`first`, `last`.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.mail.addresses import Address, read_addresses

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Case:
    """One text, and what is to be read from it."""

    theme: str
    about: str
    text: str
    addresses: list[list[str]]
    rejected: list[list[str]]
    standard: frozenset[str]
    cut: bool

    def __str__(self) -> str:
        return f"{self.theme}: {self.about}"

    @property
    def keys(self) -> frozenset[str]:
        """Return the addresses that must be read."""
        return frozenset(key for key, _ in self.addresses)


@functools.cache
def address_cases() -> tuple[Case, ...]:
    """Read the cases of all themes."""
    return tuple(
        Case(
            theme=path.stem,
            about=row["about"],
            text=_text(row["input"]),
            addresses=row["addresses"],
            rejected=row["rejected"],
            standard=frozenset(row.get("standard", ())),
            cut=row.get("cut", False),
        )
        for path in sorted((HERE / "addresses").glob("*.json"))
        for row in json.loads(path.read_text(encoding="utf-8"))
    )


def name_cases() -> list[dict[str, str]]:
    """Read the cases of names."""
    cases: list[dict[str, str]] = json.loads((HERE / "names.json").read_text(encoding="utf-8"))
    return cases


def read_case(case: Case) -> tuple[list[list[str]], list[list[str]]]:
    """Return what our reader makes of a case, in the form of the corpus."""
    read = read_addresses(case.text, cut=case.cut)
    found = [[entry.key, entry.name] for entry in read if isinstance(entry, Address)]
    refused = [[entry.text, entry.reason] for entry in read if not isinstance(entry, Address)]
    return found, refused


def _text(pieces: Any) -> str:
    if isinstance(pieces, str):
        return pieces
    return "".join(
        piece if isinstance(piece, str) else piece["repeat"] * piece["times"] for piece in pieces
    )
