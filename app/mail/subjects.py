"""Subjects of mails and titles of tickets: which are the same, and which name a ticket.

Pure, never raises, linear time.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

from app.mail.text import clean

MAX_SUBJECT = 2_000  # characters that are compared and shown
MIN_BEGINNING = 100  # visible characters that the beginning of a longer subject must have
TITLE_UNITS = 254  # UTF-16 units of a title that may have been cut: Tickets.title holds 255

# `T20250915.0001`, and `T20120604.0002.005` of a task of a recurring one.
_TICKET_NUMBER = re.compile(r"(?<![^\W_])T[0-9]{8}\.[0-9]{4,}(?:\.[0-9]{3})?(?![^\W_])", re.I)

# What mail programs put before a subject that is answered or forwarded, in common languages, and
# what machines add. `T20250915.0001` is what Autotask puts in.
_PREFIX = re.compile(
    r"^\s*(?:(?:re|aw|antw|sv|vs|rv|tr|fw|fwd|wg|rif|odp|ynt|res|enc|i)(?:\[\d+\])?\s*:"
    r"|(?:automatic reply|auto(?:matische)?[- ]?(?:reply|response|antwort)|out of office"
    r"|abwesenheit(?:snotiz)?|réponse automatique|undeliver(?:able|ed))\s*:?"
    r"|\[[^\]]{0,80}\])",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"\d+")
_STEM_LENGTH = 100  # characters that are compared


def opens_ticket(subject: str, title: str) -> bool:
    """Tell whether mail of this subject opened a ticket of this title, rather than followed it."""
    return same_subject(subject, title) and not is_follow_up(subject)


def same_subject(subject: str, title: str) -> bool:
    """Tell whether a subject is what people see as a ticket's title, case-sensitively.

    A title of at least 254 UTF-16 units may be the beginning of a longer subject. An empty
    subject equals nothing.
    """
    seen, wanted = _visible(subject), _visible(title)
    if not seen or not wanted:
        return False
    # Of what is seen, too: 250 invisible characters would let one word begin many subjects.
    is_long = len(title.encode("utf-16-le", "surrogatepass")) >= 2 * TITLE_UNITS
    is_long = is_long and len(wanted) >= MIN_BEGINNING
    return seen.startswith(wanted) if is_long else seen == wanted


def is_follow_up(subject: str) -> bool:
    """Tell whether a subject names a ticket number: no such mail is a ticket's first one."""
    return _TICKET_NUMBER.search(_visible(subject)) is not None


def ticket_numbers(text: str) -> list[str]:
    """Return the ticket numbers in a text, in upper case, in order."""
    return [number.upper() for number in _TICKET_NUMBER.findall(text)]


def stem_of(title: str | None) -> str | None:
    """Give a digest of a subject without prefixes and numbers; None: there is nothing left."""
    text = " ".join((title or "").split())[:1000]
    while match := _PREFIX.match(text):
        text = text[match.end() :]
    text = _DIGITS.sub("#", text).casefold().strip(" -:.")[:_STEM_LENGTH]
    # A title that was cut within a letter of two units ends in half of it.
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
    return digest if text.strip("#-.,:/ ") else None


def _visible(text: str) -> str:
    # Decomposed: a cut between a letter and its accent leaves a beginning, composed it would not.
    return unicodedata.normalize("NFD", clean(text, limit=2 * MAX_SUBJECT))
