"""Read address lists that strangers wrote: only what all readers read alike is an address.

The standard library's readers are not used: they differ between patch releases and can return
the attacker's address (https://nvd.nist.gov/vuln/detail/CVE-2023-27043). Everything here is pure,
never raises, and takes time linear in the text.
"""

import re
import string
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import email_validator
import idna

from app.mail.names import display_name
from app.mail.text import clean, decode_words, is_hidden, trim
from app.mail.tokens import Part, Token, tokens

# The library refuses special-use domains, and this list is its only switch for them
# (https://github.com/JoshData/python-email-validator#advanced-usage). Customers do use .local.
email_validator.SPECIAL_USE_DOMAIN_NAMES[:] = [
    name for name in email_validator.SPECIAL_USE_DOMAIN_NAMES if name not in {"local", "test"}
]

MAX_ADDRESS = 254  # octets, RFC 5321 errata 1690; also the length of Autotask's emailAddress
MAX_TOKEN = 2_000  # characters of one entry: a long encoded name fits
MAX_ENTRIES = 1_000  # entries that are read; decide() holds those after the first 100 anyway
MAX_NAME_COMMAS = 2  # `Smith, John, Jr. <john@x.com>`

_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_SCHEME = re.compile(r"(?:mailto|smtp):", re.I)
_TEMPLATE = re.compile(r"\{\{|\}\}|\$\{|<%|%>|\A(?:\[[^]@]*+\]|\{[^}@]*+\}|%[^%@]*+%)\Z")
_DOT_ATOM = re.compile(r"[^.]+(?:\.[^.]+)*+")
_MASKED_WORD = re.compile(r'"[^"\n]{1,64}"@[^\s<>()\[\],;:"]*+|[^\s<>()\[\],;:"]++')
_ANY_AT = re.compile("[@＠﹫]|%40")


@dataclass(frozen=True, slots=True)
class Address:
    """One address of a list."""

    key: str
    """The form that is compared, stored and sent: NFKC, lower-case ASCII @ A-label domain."""
    name: str = ""
    """The display name as the sender wrote it, decoded and cleaned; "" without one."""

    @property
    def domain(self) -> str:
        return self.key.rpartition("@")[2]

    @property
    def is_ascii(self) -> bool:
        """Return True if the local part was written in ASCII; folding never makes it so."""
        return self.key.isascii()


@dataclass(frozen=True, slots=True)
class Rejected:
    """One entry that is not used as an address."""

    text: str  # for people
    reason: str
    """For machines. Reasons: `ambiguous` (readers differ about it), `no_address`,
    `bad_local_part`, `bad_domain`, `template` (an unrendered slot), `other_header` (a To or Bcc
    line), `too_long`, `too_many`, `cut_off` (the text ends in the middle of it).
    """


def read_addresses(text: str, *, cut: bool = False) -> list[Address | Rejected]:
    """Read a Cc list: return each address once, and each rejected entry, in order.

    Of two entries with one key the first stays, with the first name that is not empty. Entries
    that are empty, such as a template slot that rendered to nothing, are skipped.

    With `cut` the end of the text is missing: what is not closed by a comma, semicolon or line
    end is one `cut_off` entry, even if it looks like an address, with the words before a comma
    that may be the first half of its name. A line end at the end of the text closes nothing: the
    next line may continue it.
    """
    entries: dict[str | Rejected, Address | Rejected] = {}
    for entry in _entries(text.rstrip() if cut else text, cut):
        if isinstance(entry, Rejected):
            entries.setdefault(entry, entry)
            continue
        first = entries.setdefault(entry.key, entry)
        if isinstance(first, Address) and not first.name:
            entries[entry.key] = entry
    return list(entries.values())


def read_mailbox(address: str, name: str = "") -> Address | Rejected:
    """Read one address and its name from a source that keeps them apart, as Graph does."""
    verdict = _judge(address)
    if isinstance(verdict, str):
        return _rejected(address, verdict)
    return replace(verdict, name=display_name([("quoted", name)], verdict.key))


def address_key(text: str) -> str | None:
    """Return the key of one bare address; None if the text is not exactly one."""
    verdict = _judge(text)
    return verdict.key if isinstance(verdict, Address) else None


def address_keys(texts: Iterable[str]) -> frozenset[str]:
    """Return the keys of bare addresses; a text that is not exactly one has none."""
    return frozenset(key for text in texts if (key := address_key(text)))


def spellings(key: str) -> tuple[str, ...]:
    """Return the ways in which Autotask may spell a key's address: also with U-labels."""
    local, _, domain = key.rpartition("@")
    try:
        written = idna.decode(domain)
    except idna.IDNAError:
        return (key,)
    return (key,) if written == domain else (key, f"{local}@{written}")


def without_tag(key: str) -> str:
    """Return a key without its plus form: mail to `ana+phone@` arrives at `ana@`."""
    local, _, domain = key.rpartition("@")
    return f"{local.partition('+')[0] or local}@{domain}"


def is_same_person(key: str, keys: Iterable[str]) -> bool:
    """Return whether a key is among a person's, whatever plus form either of them has."""
    return without_tag(key) in map(without_tag, keys)


def mask(text: str) -> str:
    """Return text for a log, with each address masked like `j***@c***.com`."""
    return _MASKED_WORD.sub(_mask_word, text)


def _mask_word(word: re.Match[str]) -> str:
    *heads, domain = _ANY_AT.split(word[0])
    if not heads:
        return word[0]
    name, dot, top = domain.rpartition(".")
    parts = [part.lstrip('"*') for part in (*heads, name if dot else domain)]
    # Show no part of one character: that would be all of it.
    hidden = "@".join((part[0] if len(part) > 1 else "") + "***" for part in parts)
    return f"{hidden}.{top}" if dot else hidden


def _entries(text: str, cut: bool) -> Iterator[Address | Rejected]:
    waiting: list[Token] = []  # words before a comma, perhaps the first half of a name
    for count, token in enumerate(tokens(text)):
        if count == MAX_ENTRIES:
            yield from _reject(waiting, "no_address")
            yield _rejected(f"{token.text} …", "too_many")
            return
        if waiting and token.start != waiting[-1].end:  # `Smith,; John <j@x.com>`
            yield from _reject(waiting, "no_address")
            waiting = []
        if cut and token.is_last and not token.is_foreign:
            yield _rejected(",".join(half.text for half in (*waiting, token)), "cut_off")
            return
        if token.ends_in_comma and token.is_words and not _TEMPLATE.search(trim(token.text)):
            if len(waiting) == MAX_NAME_COMMAS:
                yield from _reject(waiting, "no_address")
                waiting = []
            waiting.append(token)
            continue
        if token.has_angle and not token.is_foreign:
            for words in reversed(waiting):
                token.parts[:0] = [*words.parts, ("text", ",")]
                token.text = f"{words.text},{token.text}"
        else:
            yield from _reject(waiting, "no_address")
        waiting = []
        yield from _read(token)
    yield from _reject(waiting, "cut_off" if cut else "no_address")


def _reject(rejected: list[Token], reason: str) -> Iterator[Rejected]:
    return (_rejected(token.text, reason) for token in rejected)


def _rejected(text: str, reason: str) -> Rejected:
    # A hidden character may be why an address that looks good is rejected: mark its place.
    return Rejected(clean(trim(text), hidden="\N{REPLACEMENT CHARACTER}"), reason)


def _read(token: Token) -> Iterator[Address | Rejected]:
    if token.is_foreign:
        verdicts: list[Address | str] = ["other_header"]
    elif len(token.text) > MAX_TOKEN:
        verdicts = ["too_long"]
    elif token.is_broken:
        verdicts = ["ambiguous"]
    elif token.has_angle:
        verdicts = [_read_angle(token.parts)]
    else:
        verdicts = _read_bare(token.parts)
    for verdict in verdicts:
        yield _rejected(token.text, verdict) if isinstance(verdict, str) else verdict


def _read_angle(parts: list[Part]) -> Address | str:
    """Judge `phrase <address>`; the phrase never yields an address."""
    place = next(i for i, (kind, _) in enumerate(parts) if kind == "angle")
    before, after = parts[:place], parts[place + 1 :]
    if any(kind != "comment" and trim(text) for kind, text in after):
        return "ambiguous"
    verdict = _judge(_unwrap(parts[place][1]))
    if isinstance(verdict, str):
        return verdict
    # getaddresses() reads an unquoted address in the phrase as a recipient.
    if any(kind == "text" and "@" in text for kind, text in before):
        phrase = decode_words("".join(text for _, text in before))
        if address_key(_unwrap(phrase)) != verdict.key:
            return "ambiguous"
    return replace(verdict, name=display_name(before + after, verdict.key))


def _read_bare(parts: list[Part]) -> list[Address | str]:
    """Judge a token without brackets: an address with comments, or one address per line."""
    solid = [i for i, (kind, text) in enumerate(parts) if kind != "comment" and trim(text)]
    inner = parts[solid[0] : solid[-1] + 1] if solid else []
    if any(kind == "comment" for kind, _ in inner):
        return ["ambiguous"]
    spec = "".join(f'"{text}"' if kind == "quoted" else text for kind, text in inner)
    # Folded lines are separate entries only if each is an address: `a@x.com\n .evil.com` is not.
    verdicts = [_judge(_unwrap(line)) for line in spec.split("\n") if trim(line)] or ["no_address"]
    if len(verdicts) == 1 and isinstance(verdicts[0], Address):
        comments = [part for part in parts if part[0] == "comment"]
        return [replace(verdicts[0], name=display_name(comments, verdicts[0].key))]
    if len(verdicts) > 1 and any(isinstance(verdict, str) for verdict in verdicts):
        return ["ambiguous"] if "@" in spec else ["no_address"]
    return verdicts


def _unwrap(spec: str) -> str:
    """Remove what Outlook puts around an address: `mailto:` and a pair of apostrophes."""
    spec = trim(spec)
    spec = spec[1:-1] if len(spec) > 1 and (spec[0], spec[-1]) in {("'", "'"), ("‘", "’")} else spec
    scheme = _SCHEME.match(spec)
    return spec[scheme.end() :] if scheme else spec


def _judge(written: str) -> Address | str:
    """Return the address in a bare addr-spec, or the reason why it is rejected."""
    spec = trim(written)
    reason = _objection(spec)
    if reason:
        return reason
    local, _, domain = spec.partition("@")
    # Lower-casing can make a letter and a mark composable, hence NFKC again.
    folded = unicodedata.normalize("NFKC", local).translate(_ASCII_LOWER)
    folded = unicodedata.normalize("NFKC", folded)
    if folded.isascii() and not local.isascii():
        return "ambiguous"  # wide letters: with NFKC and without it is another mailbox
    domain = domain.removesuffix(".")  # the root: `a@x.com.` is the same mailbox
    reason = _objection(f"{folded}@{domain}")
    if reason:
        return reason
    a_label = _a_label(folded, domain)
    if a_label is None:
        return "bad_domain" if _a_label("a", domain) is None else "bad_local_part"
    return Address(f"{folded}@{a_label}")


def _a_label(local: str, domain: str) -> str | None:
    try:
        address = email_validator.validate_email(f"{local}@{domain}", check_deliverability=False)
    except ValueError:  # EmailNotValidError, or an error of a codec below it
        return None
    return address.ascii_domain


def _objection(spec: str) -> str | None:
    """Return why readers may differ about a spec; None if they agree on it."""
    local, at, _ = spec.partition("@")
    rules = (
        (len(spec.encode("utf-8", "replace")) > MAX_ADDRESS, "too_long"),
        (_TEMPLATE.search(spec), "template"),
        (not at, "no_address"),
        # Quotes may hide another @, and naive readers split there.
        (re.match(r'"[^"]*"@', spec), "bad_local_part"),
        ("@[" in spec, "bad_domain"),
        # Some readers strip these and go on, others stop here: reject, do not repair.
        (any(char.isspace() or is_hidden(char) for char in spec), "ambiguous"),
        (spec.count("@") != 1 or re.search(r'["(),:;<>\[\]\\\ufffc\ufffd]', spec), "ambiguous"),
        # Old source routes, `a%b@c` and `b!a@c`, and encoded words, which some decode first:
        # https://portswigger.net/research/splitting-the-email-atom
        (re.search(r"[%!]|=\?", local), "ambiguous"),
        # Half a pair of Outlook's apostrophes, the rest of a URL.
        (local.startswith(("'", "?", "/")), "ambiguous"),
        (not _DOT_ATOM.fullmatch(local), "bad_local_part"),
    )
    return next((reason for applies, reason in rules if applies), None)
