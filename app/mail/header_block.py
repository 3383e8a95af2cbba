"""Read the header block at the top of a ticket's description.

Mail clients write one above a forwarded mail, gateways and templates if configured to. The
languages are English, German, French and Spanish. Why no library does it:
docs/decisions/0005-reading-mails.md. Pure, never raises.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator

from app.mail.html_lines import MAX_HTML, html_lines, is_html
from app.mail.message import Message, message_of
from app.mail.text import clean, fills, trim

MAX_TEXT = 100_000  # characters that are read
DESCRIPTION = 8_000  # characters of Tickets.description; mail processing cuts there, too
_FULL = DESCRIPTION - 10  # UTF-16 units, as spaces may be trimmed

# The labels of Outlook (desktop, Mac, web), Gmail, Apple Mail, Thunderbird, Yahoo and HubSpot.
_NAMES = {
    "from": "from|von|de",
    "to": "to|an|à|a|para|pour",
    "cc": "cc|copy|copies|kopie|kopie (cc)|copie|copie à|copie (cc)|copia|con copia",
    "bcc": "bcc|blindkopie|blindkopie (bcc)|cci|copie cachée à|cco|con copia oculta",
    "reply-to": "reply-to|reply to|antwort an|répondre à|responder a",
    "subject": "subject|betreff|objet|sujet|asunto",
    "date": "date|sent|datum|gesendet|gesendet am|envoyé|envoyé le|fecha|enviado|enviado el",
    "attachments": "attachments|anlagen|pièces jointes|datos adjuntos",
}
_NAME_OF = {label: name for name, labels in _NAMES.items() for label in labels.split("|")}
_PEOPLE = frozenset({"from", "to", "cc", "bcc", "reply-to"})
# Other fields that a raw header may begin with.
_RAW_FIRST = re.compile(
    r"received|sender|return-path|delivered-to|envelope-to|message-id|mime-version|content-type"
    r"|importance|organization|(?:x|arc|dkim|authentication|received|list|resent)-[\w-]+"
)
_FORWARDED = frozenset(
    {"begin forwarded message", "forwarded message", "anfang der weitergeleiteten nachricht"}
    | {"anfang der weitergeleiteten e-mail", "début du message réexpédié"}
    | {"début du message transféré", "inicio del mensaje reenviado"}
)

# `*From:* Ann`: bold type in plain text.
_FIELD = re.compile(r"\**([^\s:*][^:*]{0,40}?)\s*\**:\**(.*)", re.S)
_WORD = re.compile(r"[^\W\d_][\w-]*+")
_QUOTE = re.compile(r"(?:[ \t]*+>)*+")
_RULE = re.compile(r"[-_=]{4,}")
_LABELLED_RULE = re.compile(r"-{3,}[^-@][^@]{1,60}[^-@]-{3,}")


def read_header_block(
    text: str, *, include_to: bool, rooms: Collection[int] = (DESCRIPTION,)
) -> Message | None:
    """Read the header block at the first line of a plain or HTML text; None without one.

    A line such as "---------- Forwarded message ---------" may precede it. It ends at the first
    blank line, or the first line that is no header and continues none. It must have a Cc line, or
    a From and a To or Subject: without a Cc line it then proves that nobody was copied. Bcc and
    Reply-To are never read, To only with `include_to`.

    `cut` is set if the block reaches the end of a text as long as a description can be in Autotask
    (8,000 characters, or one of `rooms`): addresses closed by a separator are entries, the rest is
    `cut_off`.
    """
    as_html = is_html(text)
    size = MAX_HTML if as_html else MAX_TEXT
    is_long = len(text) > size or len(text.encode("utf-16-le", "replace")) >= 2 * _FULL
    may_be_cut = is_long or fills(text, rooms)
    lines = html_lines(text) if as_html else re.split(r"\r\n|\r|\n", text[:size])
    if not lines[-1:] or lines[-1] == "":
        lines = lines[:-1]
    start = next((i for i, line in enumerate(lines) if not _is_before_block(line)), len(lines))
    fields, is_whole = _fields(lines[start:])
    names = {name for name, _ in fields}
    if not fields or not _begins_block(fields[0][0]):
        return None
    if "cc" not in names and not ("from" in names and names & {"to", "subject"}):
        return None
    return message_of(fields, include_to=include_to, cut=may_be_cut and not is_whole)


def _is_before_block(line: str) -> bool:
    words = clean(_QUOTE.sub("", line, count=1)).strip("* ")
    if not words or _RULE.fullmatch(words) or _LABELLED_RULE.fullmatch(words):
        return True
    phrase = unicodedata.normalize("NFC", words.lower())
    return phrase.endswith(":") and phrase[:-1].rstrip() in _FORWARDED


def _begins_block(name: str) -> bool:
    return name in _NAMES or _RAW_FIRST.fullmatch(name) is not None


def _fields(lines: list[str]) -> tuple[list[tuple[str, str]], bool]:
    """Return the fields from the first line on, and whether a line ends them."""
    fields: list[tuple[str, list[str]]] = []
    is_whole = False
    for line in _unquoted(lines):
        field = None if fields and line[:1] in (" ", "\t") else _field(line)
        if not trim(line):
            is_whole = True
        elif field:
            fields.append((field[0], [field[1]]))
        elif fields and _continues(*fields[-1], line):
            fields[-1][1].append(line)
        else:
            is_whole = True
        if is_whole:
            break
    return [(name, "\n".join(parts)) for name, parts in fields], is_whole


def _unquoted(lines: list[str]) -> Iterator[str]:
    """Yield lines without the quote marks and the indentation that the first one has.

    A line with fewer or more marks is not part of the block: yield it as a blank line.
    """
    depth = _depth(lines[0]) if lines else 0
    indent = None
    for quoted in lines:
        line = _QUOTE.sub("", quoted, count=1) if _depth(quoted) == depth else ""
        line = line.removeprefix(" ") if depth else line
        if indent is None:
            indent = line[: len(line) - len(line.lstrip(" \t"))]
        yield line.removeprefix(indent)


def _depth(line: str) -> int:
    quote = _QUOTE.match(line)
    return quote[0].count(">") if quote else 0


def _field(line: str) -> tuple[str, str] | None:
    """Split a line `label: value`; replace a known label by its English name."""
    match = _FIELD.fullmatch(trim(line))
    if not match:
        return None
    label, value = unicodedata.normalize("NFC", clean(match[1]).lower()), match[2]
    if label in _NAME_OF:
        return _NAME_OF[label], value
    is_header = _WORD.fullmatch(label) and not value.startswith("//")  # a URL
    return (label, value) if is_header else None


def _continues(name: str, parts: list[str], line: str) -> bool:
    """Return True if a line that is no header continues the field before it.

    Folded lines are indented. Clients that wrap long lines break lists after a separator, or
    before an address.
    """
    if line[0] in " \t":
        return True
    last = parts[-1].rstrip()
    is_broken = last.endswith((",", ";", "<")) or line.startswith("<")
    return name in _PEOPLE and (is_broken or (not last and "@" in line))
