"""Read display names, and split them into the two names that Autotask requires of a contact.

Written by hand: libraries know people only, but a display name is as often that of a department,
a shared mailbox or nobody (`Acme Support`, `John Doe via Portal`, `john.doe`).
"""

import html
import re
import unicodedata
from collections.abc import Sequence

from app.mail.text import clean, decode_words, trim
from app.mail.tokens import Part

MAX_NAME = 50  # characters of firstName and of lastName: Contact, entityInformation/fields

_TITLES = frozenset(
    {"mr", "mrs", "ms", "miss", "mx", "dr", "prof", "sir", "rev", "fr", "herr", "frau", "ing"}
    | {"mag", "dipl-ing", "mme", "mlle", "sr", "sra", "dhr", "mevr", "hon", "capt", "lt", "col"}
)
_SUFFIXES = frozenset(
    {"jr", "sr", "phd", "esq", "mba", "msc", "bsc", "llm", "beng", "meng", "dphil", "cissp", "pmp"}
)
_CAPITAL_SUFFIXES = frozenset({"II", "III", "IV", "MD", "CPA", "CFA", "PE", "RN", "DDS", "MCSE"})
_PARTICLES = frozenset(
    {"van", "von", "vom", "der", "den", "de", "da", "das", "do", "dos", "du", "di", "del", "della"}
    | {"la", "le", "bin", "ibn", "bint", "al", "el", "ter", "ten", "zu", "zur", "af", "av", "st"}
    | {"'t", "’t"}
)
# Words of companies, departments and machines; such a name keeps the order of its words.
_ORGANISATION = frozenset(
    {"inc", "incorporated", "llc", "llp", "ltd", "limited", "gmbh", "ag", "kg", "plc", "corp"}
    | {"corporation", "company", "bv", "nv", "sa", "sarl", "srl", "spa", "oy", "ab", "pty", "se"}
    | {"support", "helpdesk", "desk", "service", "services", "team", "sales", "info", "office"}
    | {"admin", "administration", "accounting", "accounts", "billing", "it", "hr", "group"}
    | {"department", "dept", "reception", "solutions", "systems", "technologies", "notifications"}
    | {"portal", "mailbox", "noreply", "orders", "purchasing", "logistics", "marketing", "bank"}
)
_NO_NAME = frozenset({"none", "null", "undefined", "unknown", "cc", "bcc", "nan", "n/a", "na"})
_COMPOUND_SURNAMES = frozenset(
    {"欧阳", "歐陽", "司马", "司馬", "上官", "诸葛", "諸葛", "남궁", "황보"}
)

_MARKUP = re.compile(r"<[^<>]*>")
_TEMPLATE = re.compile(r"\{[^{}]*\}")
_ASIDE = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_NICKNAME = re.compile(r'"[^"]*"|“[^“”]*”|«[^«»]*»')
_BOX = re.compile(
    r"\s*[|•·]\s*|\s+[-–—/:@]+\s+|\s+(?:via|c/o|at|from|on behalf of|im Auftrag von)\s+", re.I
)
_CAPITALS = re.compile(r"[A-ZÀ-ÖØ-Þ][A-ZÀ-ÖØ-Þ'-]{2,}")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af々〆]+")
_CJK_COMPANY = re.compile(r"公司|会社|集团|部門|部$|회사")


def display_name(parts: Sequence[Part], key: str) -> str:
    """Return the name in an entry's phrase and comments, "" if it holds another address."""
    phrase = "".join(
        f" {text} " if kind == "quoted" else text for kind, text in parts if kind != "comment"
    )
    comments = [text for kind, text in parts if kind == "comment"]
    if trim(phrase):
        comments = [f"({text})" for text in comments]
    name = clean(decode_words(" ".join([phrase, *comments])))
    # `John Doe (john@x.com)`, as Google Groups writes it.
    name = re.sub(rf"(?<!\S)[('<\[]?{re.escape(key)}[)'>\]]?(?!\S)", "", name, flags=re.I).strip()
    while len(name) > 1 and name[0] in "'\"‘“" and name[-1] in "'\"’”":
        name = name[1:-1].strip()
    is_address = re.search(r"\S@\S|@ ?\S+\.\w", unicodedata.normalize("NFKC", name))
    # Text that only a second decoding reveals is meant to deceive.
    return "" if is_address or decode_words(name) != name else name


def person_name(display: str, key: str) -> tuple[str, str]:
    """Return first and last name for the contact of an address.

    Both have 1 to 50 characters without markup, hidden characters or an @. The address supplies
    what the display name lacks: `john.doe@` is John Doe, `info@client.com` is Info Client.
    """
    key = clean(key, limit=300)
    words = _words(display[:2_000])
    first, last = map(_fit, _split(words, key) if words else _from_local_part(key))
    if not first or not last:
        first = first or last or "Contact"
        last = _fit(_missing(first, key)) or "Contact"
    return first, last


def _words(display: str) -> str:
    """Return the part of a display name that names a person, else a company, "" without one."""
    text = unicodedata.normalize("NFC", clean(html.unescape(display), limit=300))
    text = re.sub(r"[<>]|&#?\w+;", " ", _TEMPLATE.sub("", _MARKUP.sub(" ", text)))
    for aside in (_ASIDE, _NICKNAME):
        text = aside.sub(" ", text) if aside.sub("", text).strip(" ,.") else text
    text = re.sub(r'["“”„«»`()\[\]{}]', "", text)
    boxes = [box for box in map(_tidy, _BOX.split(text)) if _has_letter(box)]
    people = [box for box in boxes if not _is_organisation(box)]
    text = next(iter(people or boxes), "")
    return "" if text.lower() in _NO_NAME else text


def _is_name_word(word: str) -> bool:
    plain = unicodedata.normalize("NFKC", word)
    return "@" not in plain and "://" not in plain and "=?" not in plain


def _tidy(text: str) -> str:
    text = " ".join(word for word in text.split() if _is_name_word(word))
    visible = "".join(char for char in text if unicodedata.category(char) not in {"So", "Sk"})
    edge = "".join({char for char in visible if unicodedata.category(char)[0] in "PSZ"})
    return " ".join(visible.lstrip(edge).rstrip(edge.replace(".", "")).split())


def _has_letter(text: str) -> bool:
    return any(char.isalpha() for char in text)


def _bare(word: str) -> str:
    return word.replace(".", "").strip(",'").lower()


def _is_organisation(text: str) -> bool:
    return bool(_CJK_COMPANY.search(text)) or any(
        _bare(word) in _ORGANISATION and (len(_bare(word)) > 2 or word.isupper())
        for word in text.split()
    )


def _is_suffix(word: str) -> bool:
    plain = word.replace(".", "").strip(",")
    return plain.lower() in _SUFFIXES or plain in _CAPITAL_SUFFIXES  # Md is a first name


def _split(text: str, key: str) -> tuple[str, str]:
    parts = [part for part in map(str.strip, text.split(",")) if part]
    while len(parts) > 1 and _is_aside(parts):
        parts.pop()
    text = ", ".join(parts)
    if _is_organisation(text):
        first, _, last = text.replace(",", " ").partition(" ")
        return first, last.strip() or _missing(first, key)
    if len(parts) > 1 and not _starts_local_part(parts[0], key):
        return _split_listed(_without_titles(parts[0]), _without_titles(parts[1]))
    return _split_words(parts[0], key)


def _split_listed(last: str, first: str) -> tuple[str, str]:
    """Return Jan, van der Berg for `Berg, Jan van der`."""
    words = first.split()
    start = len(words)
    while start > 1 and words[start - 1].lower() in _PARTICLES:
        start -= 1
    return " ".join(words[:start]), " ".join([*words[start:], last])


def _is_aside(parts: list[str]) -> bool:
    """Return True if the last part is no name: degrees, or the department of a full name."""
    if all(map(_is_suffix, parts[-1].split())):
        return True
    return _is_organisation(parts[-1]) and (len(parts) > 2 or " " in parts[0])


def _starts_local_part(text: str, key: str) -> bool:
    """Return True if the text begins with the first name, as `John Doe, Sales` of john.doe@."""
    words = text.lower().split()
    return len(words) > 1 and key.lower().startswith(words[0])


def _without_titles(text: str) -> str:
    words = text.split()
    while len(words) > 1 and _bare(words[0]) in _TITLES:
        words.pop(0)
    while len(words) > 2 and _is_suffix(words[-1]):
        words.pop()
    return " ".join(words)


def _split_words(text: str, key: str) -> tuple[str, str]:
    words = _without_titles(text).split()
    if _CJK.fullmatch("".join(words).replace("・", "")):
        return _split_cjk(words, key)
    if len(words) == 1:
        title = text.split()[0]
        if title != words[0] and _bare(title) in _TITLES:
            return title, words[0]
        return _split_one(words[0], key)
    if len(words) == 2 and _CAPITALS.fullmatch(words[0]) and not words[1].isupper():
        return words[1], words[0]  # DUPONT Jean: the name in capitals is the last name
    start = next(
        (i for i, word in enumerate(words[1:-1], 1) if word.lower() in _PARTICLES), len(words) - 1
    )
    return " ".join(words[:start]), " ".join(words[start:])


def _split_cjk(words: list[str], key: str) -> tuple[str, str]:
    """Split a Chinese, Japanese or Korean name: the short family name comes first, unspaced."""
    if len(words) > 1:
        return " ".join(words[1:]), words[0]
    name = words[0]
    if "・" in name:  # a foreign name in katakana keeps its own order
        first, _, last = name.partition("・")
        return first, last
    if not 2 <= len(name) <= 4:
        return name, _missing(name, key)
    cut = 2 if len(name) == 4 or (len(name) == 3 and name[:2] in _COMPOUND_SURNAMES) else 1
    return name[cut:], name[:cut]


def _split_one(word: str, key: str) -> tuple[str, str]:
    first, *rest = [part for part in re.split(r"[._]+", word) if part]
    if rest:
        return _capital(first), " ".join(map(_capital, rest))
    return word, _missing(word, key)


def _missing(first: str, key: str) -> str:
    """Return a last name for a person known by one word, from the local part or the domain."""
    tokens = _local_tokens(key)
    if len(tokens) == 2 and tokens[0].lower() == first.lower():
        return _capital(tokens[1])
    return _domain_label(key)


def _from_local_part(key: str) -> tuple[str, str]:
    tokens = _local_tokens(key)
    first = _capital(tokens[0]) if tokens else ""
    last = " ".join(map(_capital, tokens[1:]))
    return first, last or _missing(first, key)


def _local_tokens(key: str) -> list[str]:
    local = key.rpartition("@")[0].partition("+")[0]
    separator = r"[._]+" if re.search(r"\w[._]+\w", local) else r"[._-]+"
    tokens = [
        "".join(c for c in token if c in "'-" or unicodedata.category(c)[0] in "LMN").strip("'-")
        for token in re.split(separator, local)
    ]
    named = [token.rstrip("0123456789") for token in tokens if _has_letter(token)]
    return [token for token in named if token] or [token for token in tokens if token][:1]


def _domain_label(key: str) -> str:
    label = key.rpartition("@")[2].partition(".")[0]
    try:
        return _capital(label.encode("ascii").decode("idna"))
    except UnicodeError:
        return label


def _capital(word: str) -> str:
    return "-".join(part[:1].upper() + part[1:] for part in word.split("-"))


def _fit(name: str) -> str:
    name = clean(re.sub("[<>@＠﹫]", "", name))
    # Autotask counts UTF-16 units; an emoji has two.
    cut = name.encode("utf-16-le", "ignore")[: 2 * MAX_NAME].decode("utf-16-le", "ignore")
    return cut if cut == name else cut.rpartition(" ")[0] or cut
