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

# Prefixes of answered and forwarded mails in common languages, of machines, and tags in brackets,
# such as Autotask's ticket number.
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
    """Return True if a mail with this subject can have opened a ticket with this title."""
    return same_subject(subject, title) and not is_follow_up(subject)


def same_subject(subject: str, title: str) -> bool:
    """Return True if people see the same text in a subject and a ticket's title, case included.

    A title of at least 254 UTF-16 units may be the beginning of a longer subject. An empty
    subject equals nothing.
    """
    seen, wanted = _visible(subject), _visible(title)
    if not seen or not wanted:
        return False
    # The visible text must be long, too: 250 hidden characters and a word begin many subjects.
    is_long = len(title.encode("utf-16-le", "surrogatepass")) >= 2 * TITLE_UNITS
    is_long = is_long and len(wanted) >= MIN_BEGINNING
    return seen.startswith(wanted) if is_long else seen == wanted


def is_follow_up(subject: str) -> bool:
    """Return True if a subject names a ticket number: such a mail opens no ticket."""
    return _TICKET_NUMBER.search(_visible(subject)) is not None


def ticket_numbers(text: str) -> list[str]:
    """Return the ticket numbers in a text, in upper case, in order."""
    return [number.upper() for number in _TICKET_NUMBER.findall(text)]


def stem_of(title: str | None) -> str | None:
    """Return a digest of a subject without prefixes and numbers; None if nothing is left.

    It stays the same however often the subject is answered.
    """
    text = " ".join((title or "").split())[:1000]
    while match := _PREFIX.match(text):
        text = text[match.end() :]
    text = _DIGITS.sub("#", text).casefold().strip(" -:.")[:_STEM_LENGTH]
    # A title that was cut inside a character of two units ends in half of it.
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
    return digest if text.strip("#-.,:/ ") else None


def _visible(text: str) -> str:
    # Decomposed, so that a title cut between a letter and its accent still is a beginning.
    return unicodedata.normalize("NFD", clean(text, limit=2 * MAX_SUBJECT))
