"""Counts what our reader and those of the standard library make of the corpus.

Run: `python -m tests.corpus.compare`. Writes the tables of docs/reading-addresses.md.
"""

import contextlib
import platform
import sys
from collections import Counter
from collections.abc import Callable
from email.policy import default
from email.utils import getaddresses

import idna

from tests.corpus import Case, address_cases, read_case

COLUMNS = ("right", "wrong", "invented", "missed", "raised")


def ours(case: Case) -> set[str]:
    """Read with app.mail.addresses."""
    return {key for key, _ in read_case(case)[0]}


def email_utils(case: Case) -> set[str]:
    """Read with email.utils.getaddresses(), as most programs do."""
    return {address for _, address in getaddresses([case.text])}


def headerregistry(case: Case) -> set[str]:
    """Read with email.headerregistry, through the policy that unfolds lines for it."""
    header = default.header_fetch_parse("Cc", case.text)
    return {address.addr_spec for address in header.addresses}


READERS: dict[str, Callable[[Case], set[str]]] = {
    "app.mail.addresses": ours,
    "email.utils": email_utils,
    "email.headerregistry": headerregistry,
}


def verdict(reader: Callable[[Case], set[str]], case: Case) -> set[str]:
    """Tell what a reader made of a case: {"right"}, or "wrong" and what is wrong.

    `invented`: an address that must not be there. `missed`: one that must. `raised`: an exception
    instead of an answer. To be fair, only addresses are compared, not names; case and the form of
    an IDN do not matter; what has no @ counts as no address; and an address that the standard
    allows, though we refuse it, is not invented.
    """
    try:
        found = set(map(_normal, reader(case)))
    except Exception:  # whatever it is, the caller has no answer
        return {"wrong", "raised"}
    found = {address for address in found if "@" in address}
    wanted, allowed = set(map(_normal, case.keys)), set(map(_normal, case.standard))
    wrong = {"invented"} if found - wanted - allowed else set()
    wrong |= {"missed"} if wanted - found else set()
    return {"wrong", *wrong} if wrong else {"right"}


def compared() -> list[Case]:
    """Return the cases that all readers can be given: only ours knows of texts cut off."""
    return [case for case in address_cases() if not case.cut]


def count(reader: Callable[[Case], set[str]]) -> Counter[str]:
    """Count the verdicts about one reader over all cases."""
    return Counter(word for case in compared() for word in verdict(reader, case))


def table() -> str:
    """Return the counts as a table in Markdown."""
    lines = [f"| reader | {' | '.join(COLUMNS)} |", "| --- |" + " ---: |" * len(COLUMNS)]
    for name, reader in READERS.items():
        counts = count(reader)
        lines.append(f"| `{name}` | {' | '.join(str(counts[column]) for column in COLUMNS)} |")
    return "\n".join(lines)


def themes() -> str:
    """Return the number of right answers for each theme as a table in Markdown."""
    lines = [f"| theme | cases | {' | '.join(READERS)} |", "| --- |" + " ---: |" * 4]
    for theme in dict.fromkeys(case.theme for case in compared()):
        cases = [case for case in compared() if case.theme == theme]
        right = [
            sum(verdict(reader, case) == {"right"} for case in cases) for reader in READERS.values()
        ]
        lines.append(f"| {theme} | {len(cases)} | {' | '.join(map(str, right))} |")
    return "\n".join(lines)


def _normal(address: str) -> str:
    local, _, domain = address.strip().lower().rpartition("@")
    with contextlib.suppress(UnicodeError):
        domain = idna.encode(domain, uts46=True).decode()
    return f"{local}@{domain}" if domain and local else address


def main() -> None:
    """Print the tables."""
    sys.stdout.write(
        f"Python {platform.python_version()}, {len(compared())} cases\n\n{table()}\n\n{themes()}\n"
    )


if __name__ == "__main__":
    main()
