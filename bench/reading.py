"""Time the readers of strangers' text on shapes that could make them slow.

Run: `python -m bench.reading`. Linear is a ratio of about 4 between 1 MB and 256 kB; more than 6
is flagged, and the exit code is 1.
"""

import sys
import time
from collections.abc import Callable, Iterator

from app.mail.addresses import mask, read_addresses
from app.mail.eml import read_mail_file
from app.mail.header_block import read_header_block
from app.mail.names import person_name
from app.mail.subjects import same_subject
from app.mail.text import clean, decode_words

SIZES = {"64 kB": 2**16, "256 kB": 2**18, "1 MB": 2**20}
RUNS, MAX_RATIO = 5, 6.0
NOISE = 0.002  # seconds; below it a ratio says more about the clock than about the code

# What is repeated. "<a@x.com>" and the like come first where HTML must count as escaped or not.
SHAPES = {
    "addresses": "John Doe <john@x.com>, ",
    "words and commas": "Smith, ",
    "open quotes": 'a "',
    "one open quote, escapes": '\\"',
    "open comments": "(",
    "comments that nest and close half": "(()",
    "comments after each other": "(a) ",
    "open brackets": "<a ",
    "brackets with open quotes": '<"',
    "links of Outlook": "<a@x.com<mailto:",
    "encoded words never closed": "=?utf-8?Q?",
    "encoded words": "=?utf-8?B?SsO8?= ",
    "encoded words of two charsets": "=?utf-8?Q?a?= =?koi8-r?Q?b?= ",
    "escaped HTML": "&lt;a&gt;",
    "entities half done": "&#",
    "backslashes": "\\",
    "one giant token": "x",
    "a giant local part": "a@",
    "at signs": "@@@@",
    "folds": "a\r\n b\n",
    "folds and addresses": "a@x.com\r\n b@x.com\r\n ",
    "labels": "To: Cc: ",
    "square brackets": "[mailto:",
    "braces": "{{",
    "percents": "%a",
    "hidden characters": "\u200b",
    "letters that NFKC makes long": "\ufdfa",
    "white space": " \t",
}
READERS: dict[str, Callable[[str], object]] = {
    "read_addresses": read_addresses,
    "read_addresses, cut": lambda text: read_addresses(text, cut=True),
    "decode_words": decode_words,
    "clean": clean,
    "mask": mask,
    "person_name": lambda text: person_name(text, text),
    "read_mail_file": lambda text: read_mail_file(
        f"From: a@x.com\r\nCc: {text}\r\n\r\n".encode(), include_to=False
    ),
    "read_header_block": lambda text: read_header_block(
        f"From: a@x.com\nCc: {text}\nSubject: x\n", include_to=False
    ),
    "same_subject": lambda text: same_subject(text, text[:255]),
}


def seconds(reader: Callable[[str], object], text: str) -> float:
    """Return the shortest of several runs."""
    best = float("inf")
    for _ in range(RUNS):
        start = time.perf_counter()
        reader(text)
        best = min(best, time.perf_counter() - start)
    return best


def measure() -> Iterator[tuple[str, str, list[float]]]:
    """Yield reader, shape and seconds for each size."""
    for name, reader in READERS.items():
        for shape, piece in SHAPES.items():
            texts = [(piece * (size // len(piece) + 1))[:size] for size in SIZES.values()]
            yield name, shape, [seconds(reader, text) for text in texts]


def main() -> int:
    """Print the table; return 1 if anything grows faster than the text."""
    slow = 0
    sys.stdout.write(f"| reader | shape | {' | '.join(SIZES)} | ratio |\n|{' --- |' * 6}\n")
    for name, shape, times in measure():
        ratio = times[-1] / times[-2]
        is_slow = ratio > MAX_RATIO and times[-1] > NOISE
        slow += is_slow
        cells = [f"{1_000 * each:.1f} ms" for each in times]
        mark = " SLOW" if is_slow else ""
        sys.stdout.write(f"| {name} | {shape} | {' | '.join(cells)} | {ratio:.1f}{mark} |\n")
        sys.stdout.flush()
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
