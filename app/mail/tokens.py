"""Split an address list into entries, by structure alone: nothing is decoded or judged here."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from app.mail.text import clean, trim

MAX_NAME = 200  # characters of a name, or of the part of it before a comma

# kind and text; a kind is "text", "quoted" (unescaped), "comment" or "angle" (without brackets).
Part: TypeAlias = tuple[str, str]

_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_ENTITY = r"&(?:lt|gt|amp|quot|apos|nbsp|\#\d{1,7}|\#x[0-9a-f]{1,6});"
# Possessive quantifiers: an unclosed quote or bracket fails once, not once per character.
_LEXEME = re.compile(
    rf"""
      (?P<text>[^",;:<>()\[\\&\r\n]++)
    | (?P<quoted>{_QUOTED})
    | (?P<twice><(?P<once>[^<>"\s]++)<mailto:(?P=once)>>)    # a link in Outlook's plain text
    | (?P<angle><(?:[^">]|{_QUOTED})*+> | \[(?:mailto|smtp):[^][<>()",;\s]*+\])
    | (?P<stray>[)>] | \\[\\",;:<>()@\[\]])
    | (?P<entity>{_ENTITY})                                  # its semicolon is no separator
    | (?P<comma>,) | (?P<semicolon>;) | (?P<colon>:) | (?P<comment>\() | (?P<open>["<])
    | (?P<fold>(?:\r\n|\r|\n)(?=[ \t<@.)>\]]))  # the next line can't begin an entry
    | (?P<newline>\r\n|\r|\n)
    | (?P<other>.)                              # a lone & or [ or backslash
    """,
    re.X | re.S | re.I,
)
_COMMENT_EDGE = re.compile(r"\\.|[()]", re.S)
_ESCAPE = re.compile(r"\\(.)", re.S)
_HTML = re.compile(_ENTITY, re.I)
_HTML_TEXT = {"&lt;": "<", "&gt;": ">", "&amp;": "&", "&apos;": "'", "&#39;": "'", "&nbsp;": " "}

# Header fields whose people were not copied (a Bcc is a secret), for sources that return more than
# the Cc line.
_OTHER_HEADERS = frozenset(
    {"bcc", "date", "delivered-to", "from", "reply-to", "resent-bcc", "resent-to", "return-path"}
    | {"sender", "subject", "to", "x-original-to"}
)


@dataclass(slots=True)
class Token:
    """One entry of a list: its text as written, and its parts."""

    start: int
    is_foreign: bool = False  # it is in another header field
    text: str = ""
    parts: list[Part] = field(default_factory=list)
    angles: int = 0
    has_at: bool = False  # outside quotes, comments and angle brackets
    has_stray: bool = False  # an unpaired bracket, quote or escape
    in_bracket: bool = False  # after a `[`
    ends_in_comma: bool = False
    is_last: bool = False  # ended by the end of the text, not by a separator

    @property
    def end(self) -> int:
        """Where the next entry starts, if only one separator is between."""
        return self.start + len(self.text) + 1

    @property
    def has_angle(self) -> bool:
        return self.angles > 0

    @property
    def is_broken(self) -> bool:
        """Whether readers differ about where this entry's address is."""
        return self.has_stray or self.angles > 1

    @property
    def is_words(self) -> bool:
        """Whether this can only be words of a name."""
        odd = self.has_angle or self.has_stray or self.is_foreign or "@" in self.text
        return not odd and len(self.text) <= MAX_NAME

    @property
    def is_label(self) -> bool:
        """Whether a colon after this ends the name of a group or header field."""
        return not (self.has_angle or self.has_stray or self.has_at or self.in_bracket)

    def add(self, kind: str, text: str) -> None:
        """Append one lexeme or comment."""
        if kind == "quoted":
            self.parts.append(("quoted", _ESCAPE.sub(r"\1", text[1:-1])))
        elif kind == "comment":
            self.parts.append(("comment", _ESCAPE.sub(r"\1", text[1:-1])))
        elif kind in {"angle", "twice"}:
            self.angles += 1
            inner = text[1:-1] if kind == "angle" else text[1 : text.index("<", 1)]
            self.parts.append(("angle", inner))
        else:
            self.has_stray |= kind in {"stray", "open"}
            self.has_at |= "@" in text
            self.in_bracket = text == "[" or (self.in_bracket and "]" not in text)
            self.parts.append(("text", "\n" if kind == "fold" else text))


def tokens(text: str) -> Iterator[Token]:
    """Yield the entries of a list that are not empty.

    Separators are commas, semicolons and line ends outside quotes, comments and brackets. Names
    of groups and of header fields are dropped. An unclosed quote, comment or bracket includes the
    rest of the text: readers differ about where it ends.
    """
    text = _unescape_html(text)
    token, at = Token(0), 0
    while lexeme := _LEXEME.match(text, at):
        kind, start, at = str(lexeme.lastgroup), at, lexeme.end()
        if kind in {"comma", "semicolon", "newline"}:
            token.ends_in_comma = kind == "comma"
            yield from _finished(token, text[token.start : start])
            token = Token(at, token.is_foreign and kind != "newline")
        elif kind == "colon" and token.is_label:
            name = clean("".join(part for _, part in token.parts)).lower()
            is_foreign = name in _OTHER_HEADERS or (token.is_foreign and name != "cc")
            token = Token(at, is_foreign)
        else:
            if kind == "comment":
                at = _comment_end(text, start)
                kind = "comment" if at else "open"
            at = at if kind != "open" else len(text)
            token.add(kind, text[start:at])
    token.is_last = True
    yield from _finished(token, text[token.start :])


def _finished(token: Token, text: str) -> Iterator[Token]:
    token.text = text
    if any(_has_content(kind, part) for kind, part in token.parts):
        yield token


def _has_content(kind: str, part: str) -> bool:
    # A comment is white space (RFC 5322, 3.2.2); one with an address is shown as rejected.
    if kind == "comment":
        return "@" in part
    return kind != "text" or bool(trim(part))


def _comment_end(text: str, start: int) -> int:
    """Return the end of the comment that opens at `start`, 0 if it is not closed."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, start):
        depth += {"(": 1, ")": -1}.get(edge[0], 0)
        if depth == 0:
            return edge.end()
    return 0


def _unescape_html(text: str) -> str:
    """Undo HTML escaping of a whole list; text with real brackets was not escaped as a whole."""
    lower = text.lower()
    if "<" in text or ">" in text or "&lt;" not in lower or "&gt;" not in lower:
        return text
    escapes = _HTML_TEXT if '"' in text else {**_HTML_TEXT, "&quot;": '"', "&#34;": '"'}
    return _HTML.sub(lambda entity: escapes.get(entity[0].lower(), entity[0]), text)
