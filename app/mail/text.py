"""Clean, trim and decode text of mail headers. Pure, never raises, linear time."""

import binascii
import re
import unicodedata
from collections.abc import Collection

# Characters that print nothing although Unicode does not call them controls: fillers, joiners,
# variation selectors (https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point), and
# the Braille blank. Two addresses that differ in one of them look the same.
_BLANKS = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, range(0xFE00, 0xFE10)))
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)

# RFC 2047 with the language suffix of RFC 2231.
_ENCODED_WORD = re.compile(r"=\?([\w.:()+-]{1,40})(?:\*[\w-]{0,20})?\?([bBqQ])\?([^?]*)\?=", re.A)

# Only codecs that mail uses: otherwise a sender could reach any codec of Python (punycode is
# quadratic, utf-7 hides ASCII), and each unknown name would stay in the codec cache.
_CHARSET = re.compile(
    r"utf-?8|iso-8859-\d{1,2}|iso-2022-(jp|kr)|(windows-|cp)125\d|koi8-[ru]|gb(k|2312|18030)"
    r"|big5|shift_jis|euc-(jp|kr)|ks_c_5601-1987|tis-620|macintosh"
)


def is_hidden(char: str) -> bool:
    """Return True if a character prints nothing and is no space.

    These are controls, format characters (zero-width, bidi), lone surrogates, private use,
    unassigned code points, line separators U+2028 and U+2029, and blank fillers.
    """
    if char in _BLANKS:
        return True
    return not char.isprintable() and unicodedata.category(char) != "Zs"


def clean(text: str, limit: int = 200, hidden: str = "") -> str:
    """Return text for people: one line, single spaces, each hidden character as `hidden`.

    Text that is longer than `limit` characters is cut and ends in an ellipsis.
    """
    visible = "".join(
        " " if char in "\t\r\n" else hidden if is_hidden(char) else char
        for char in text[: limit * 20]
    )
    line = " ".join(visible.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def trim(text: str) -> str:
    """Return text without the spaces and hidden characters around it."""
    start, end = 0, len(text)
    while start < end and (text[start].isspace() or is_hidden(text[start])):
        start += 1
    while end > start and (text[end - 1].isspace() or is_hidden(text[end - 1])):
        end -= 1
    return text[start:end]


def fills(text: str, rooms: Collection[int]) -> bool:
    """Return whether a text is as long as one of these rooms, so that its end may be missing.

    Systems count characters, UTF-16 units or bytes, and a line end as one or two; they trim spaces
    at both ends after they have cut.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    lengths = {
        len(form.encode(codec, "surrogatepass")) // unit
        for form in (text, lines, lines.replace("\n", "\r\n"))
        for codec, unit in (("utf-32-le", 4), ("utf-16-le", 2), ("utf-8", 1))
    }
    return any(
        max(room - max(2, room // 800), 1) <= length <= room for room in rooms for length in lengths
    )


def decode_words(text: str) -> str:
    """Decode the encoded words of RFC 2047; leave other and broken text as it is.

    Bytes of neighbouring words in one charset are joined before they are decoded: many mailers
    split a multi-byte character.
    """
    if "=?" not in text:
        return text
    out: list[str] = []
    charset, data, end = "", bytearray(), 0
    for word in _ENCODED_WORD.finditer(text):
        gap = text[end : word.start()]
        if not out or gap.strip() or charset != word[1].lower():
            out += [_decode(data, charset), gap if not end or gap.strip() else ""]
            charset, data = word[1].lower(), bytearray()
        data += _payload(word)
        end = word.end()
    return "".join([*out, _decode(data, charset), text[end:]])


def _payload(word: re.Match[str]) -> bytes:
    encoded = word[3].encode("utf-8", "replace")
    if word[2] in "qQ":
        return binascii.a2b_qp(encoded, header=True)
    try:
        return binascii.a2b_base64(encoded + b"===")
    except binascii.Error:
        return word[0].encode("utf-8", "replace")


def _decode(data: bytes | bytearray, charset: str) -> str:
    declared = charset if _CHARSET.fullmatch(charset) else "utf-8"
    for codec in (declared, "utf-8"):
        try:
            return data.decode(codec)
        except (LookupError, UnicodeError):
            continue
    return data.decode("cp1252", "replace")
