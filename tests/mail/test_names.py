"""The two names of a new contact, whatever the sender called themselves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.mail.addresses import Address, read_addresses
from app.mail.names import MAX_NAME, person_name
from app.mail.text import is_hidden

NAMES: list[tuple[str, str, str, tuple[str, str]]] = [
    # reason of the row, display name, key, (first, last)
    ("plain", "John Doe", "x@x.com", ("John", "Doe")),
    ("more first names", "John Quincy Adams", "x@x.com", ("John Quincy", "Adams")),
    ("a hyphen", "Jean-Luc Picard", "x@x.com", ("Jean-Luc", "Picard")),
    ("an apostrophe", "O'Brien, Pat", "x@x.com", ("Pat", "O'Brien")),
    ("a particle", "Ludwig van Beethoven", "x@x.com", ("Ludwig", "van Beethoven")),
    ("several particles", "Maria de la Cruz", "x@x.com", ("Maria", "de la Cruz")),
    ("last, first", "Doe, John", "x@x.com", ("John", "Doe")),
    ("last, first (department)", "Doe, John (Sales, EU)", "x@x.com", ("John", "Doe")),
    ("last, first, department", "Doe, John, Sales", "x@x.com", ("John", "Doe")),
    ("a particle in front", "van der Berg, Jan", "x@x.com", ("Jan", "van der Berg")),
    ("first last, department", "John Doe, Sales", "x@x.com", ("John", "Doe")),
    ("first last, company: the address tells", "John Doe, Acme", "john.doe@x.com", ("John", "Doe")),
    ("a name in capitals first is the last", "DUPONT Jean", "x@x.com", ("Jean", "DUPONT")),
    ("all in capitals tells nothing", "JOHN DOE", "x@x.com", ("JOHN", "DOE")),
    ("title and suffix", "Dr. John Doe Jr.", "x@x.com", ("John", "Doe")),
    ("degrees behind commas", "John Doe, PhD, MBA", "x@x.com", ("John", "Doe")),
    ("last, first, degree", "Doe, John, MD", "x@x.com", ("John", "Doe")),
    ("last, title first", "Doe, Dr. John", "x@x.com", ("John", "Doe")),
    ("a suffix behind the last name", "Doe Jr., John", "x@x.com", ("John", "Doe Jr.")),
    ("title and last name", "Frau Müller", "x@x.com", ("Frau", "Müller")),
    ("a name that looks like a degree", "Rahman, Md", "x@x.com", ("Md", "Rahman")),
    ("another", "Jack Ma", "x@x.com", ("Jack", "Ma")),
    ("an initial", "J. Doe", "x@x.com", ("J.", "Doe")),
    ("initials", "J.R.R. Tolkien", "x@x.com", ("J.R.R.", "Tolkien")),
    ("one word: the address knows the other", "John", "john.doe@x.com", ("John", "Doe")),
    ("one word: the domain has to do", "John", "john@client.com", ("John", "Client")),
    ("a short company", "IT", "it@client.com", ("IT", "Client")),
    ("a local part as name", "john.doe", "x@x.com", ("John", "Doe")),
    ("the address as name", "john.doe@x.com", "john.doe@x.com", ("John", "Doe")),
    ("another address as name", "ceo@client.com", "john.doe@x.com", ("John", "Doe")),
    ("a wide @", "ceo＠client.com", "john.doe@x.com", ("John", "Doe")),
    ("an address beside a name", "John Doe john@x.com", "x@x.com", ("John", "Doe")),
    ("no name", "", "john.doe+x@client.com", ("John", "Doe")),
    ("no name, a role", "", "info@client.com", ("Info", "Client")),
    ("no name, a double name", "", "anne-marie.smith@x.com", ("Anne-Marie", "Smith")),
    ("no name, a hyphen for the dot", "", "john-doe@x.com", ("John", "Doe")),
    ("no name, a number behind", "", "john.doe2@x.com", ("John", "Doe")),
    ("no name, only a number", "", "12345@qq.com", ("12345", "Qq")),
    ("no name, no letter", "", "_@client.com", ("Client", "Client")),
    ("no name, an IDN", "", "info@xn--mller-kva.de", ("Info", "Müller")),
    ("no name, no address", "", "", ("Contact", "Contact")),
    ("a placeholder", "undefined", "john.doe@x.com", ("John", "Doe")),
    ("an unrendered slot", "{{name}}", "john.doe@x.com", ("John", "Doe")),
    ("signs", "-- ? --", "john.doe@x.com", ("John", "Doe")),
    ("a shared box", "Acme Support", "support@acme.com", ("Acme", "Support")),
    ("a company", "Acme, Inc.", "info@acme.com", ("Acme", "Inc.")),
    ("a long company", "Acme Managed Services GmbH", "i@a.de", ("Acme", "Managed Services GmbH")),
    ("person | company", "John Doe | Acme", "x@x.com", ("John", "Doe")),
    ("person - company", "John Doe - Acme Ltd", "x@x.com", ("John", "Doe")),
    ("company - person", "Acme Ltd – John Doe", "x@x.com", ("John", "Doe")),
    ("person via service", "John Doe via Portal", "x@x.com", ("John", "Doe")),
    ("person at company", "John Doe at Acme", "x@x.com", ("John", "Doe")),
    ("person @ company", "John Doe @ Acme", "x@x.com", ("John", "Doe")),
    ("a gateway's tag", "[EXTERNAL] John Doe", "x@x.com", ("John", "Doe")),
    ("all in parentheses", "(John Doe)", "x@x.com", ("John", "Doe")),
    ("all in quotes", '"John Doe"', "x@x.com", ("John", "Doe")),
    ("Outlook's apostrophes", "'John Doe'", "x@x.com", ("John", "Doe")),
    ("a nickname", 'John "Jack" Doe', "x@x.com", ("John", "Doe")),
    ("markup", "<b>John</b> Doe<img src=x>", "x@x.com", ("John", "Doe")),
    ("escaped markup", "&lt;b&gt;John&lt;/b&gt; Doe", "x@x.com", ("John", "Doe")),
    ("twice escaped", "John &amp;lt;Doe", "x@x.com", ("John", "Doe")),
    ("a formula", "=John Doe", "x@x.com", ("John", "Doe")),
    ("emoji", "🚀 John Doe 🚀", "x@x.com", ("John", "Doe")),
    ("hidden characters", "\u202eJo\u200bhn\x00 Doe\ud800", "x@x.com", ("John", "Doe")),
    ("decomposed letters", "Ju\u0308rgen Doe", "x@x.com", ("Jürgen", "Doe")),
    ("Chinese", "王小明", "x@x.cn", ("小明", "王")),
    ("Chinese, two-letter family name", "欧阳修", "x@x.cn", ("修", "欧阳")),
    ("Japanese", "山田太郎", "x@x.jp", ("太郎", "山田")),
    ("Japanese with a space", "山田\u3000太郎", "x@x.jp", ("太郎", "山田")),
    ("a foreign name in katakana", "ジョン・スミス", "x@x.jp", ("ジョン", "スミス")),
    ("a Japanese company", "株式会社山田", "info@yamada.jp", ("株式会社山田", "Yamada")),
    ("Korean", "김철수", "x@x.kr", ("철수", "김")),
    ("a script whose vowels are marks", "नमस्ते", "x@client.in", ("नमस्ते", "Client")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("why", "display", "key", "expected"), NAMES, ids=[row[0] for row in NAMES]
)
def test_names(why: str, display: str, key: str, expected: tuple[str, str]) -> None:
    """A display name becomes the first and last name that a person would enter."""
    assert person_name(display, key) == expected


def test_long_names_are_cut_between_words() -> None:
    """Autotask takes 50 characters; a word is cut only when it alone is longer."""
    first, last = person_name(f"{'Anna ' * 12}{'B' * 80}", "x@x.com")
    assert first == " ".join(["Anna"] * 10)
    assert last == "B" * 50


PIECES = ["John", "Doe", "Dr.", "Inc", " ", ", ", ". ", '"', "'", "(", ")", "<b>", "<", "&lt;", "@"]
PIECES += [
    "a@x.com",
    " via ",
    " - ",
    "|",
    "＠",
    "\u200b",
    "\u202e",
    "\x00",
    "\ud800",
    "王",
    "・",
    "🚀",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=80)
KEYS = st.text(max_size=30) | st.sampled_from(
    ["john.doe@x.com", "_@_", "@", "a.b@xn--p1ai", "é@x.com"]
)


@settings(max_examples=600, deadline=None)
@given(TEXTS, KEYS)
def test_names_always_fit_autotask(display: str, key: str) -> None:
    """Whatever came in: two names, 1 to 50 UTF-16 units, nothing hidden, no markup, no address."""
    for name in person_name(display, key):
        assert 1 <= len(name.encode("utf-16-le")) // 2 <= MAX_NAME
        assert name == name.strip()
        assert not any(is_hidden(char) for char in name)
        assert not set("<>@＠") & set(name)


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_names_of_read_addresses_fit_too(text: str) -> None:
    """What read_addresses returns can be handed on as it is."""
    for entry in read_addresses(f"{text} <real@x.com>"):
        if isinstance(entry, Address):
            assert all(person_name(entry.name, entry.key))


@pytest.mark.parametrize(
    "piece", ["<", "(", "{", "&", '"', " - ", ".", "a.", "・", "@ ", ", ", "A "]
)
def test_hostile_names_are_finished(piece: str) -> None:
    """A hundred thousand characters of anything still make two names."""
    text = piece * (100_000 // len(piece))
    assert all(person_name(text, text))
