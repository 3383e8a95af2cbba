"""The stem of a subject: what stays the same however often it is answered. Pure."""

from __future__ import annotations

import hashlib
import re

# What mail programs put before a subject that is answered or forwarded, in common languages, and
# what machines add. `T20250915.0001` is what Autotask puts in.
_PREFIX = re.compile(
    r"^\s*(?:(?:re|aw|antw|sv|vs|rv|tr|fw|fwd|wg|rif|odp|ynt|res|enc|i)(?:\[\d+\])?\s*:"
    r"|(?:automatic reply|auto(?:matische)?[- ]?(?:reply|response|antwort)|out of office"
    r"|abwesenheit(?:snotiz)?|réponse automatique|undeliver(?:able|ed))\s*:?"
    r"|\[[^\]]{0,80}\])",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+")
_LENGTH = 100  # characters that are compared


def stem_of(title: str | None) -> str | None:
    """Give a digest of a subject without prefixes and numbers; None: there is nothing left."""
    text = " ".join((title or "").split())[:1000]
    while match := _PREFIX.match(text):
        text = text[match.end() :]
    text = _NUMBER.sub("#", text).casefold().strip(" -:.")[:_LENGTH]
    # A title that was cut within a letter of two units ends in half of it.
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
    return digest if text.strip("#-.,:/ ") else None
