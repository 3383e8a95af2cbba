"""What is an address, what is none, and what is refused because readers differ about it."""

import pytest

from app.mail.addresses import (
    MAX_ENTRIES,
    Address,
    Rejected,
    address_key,
    mask,
    read_addresses,
    read_mailbox,
)

READ: list[tuple[str, str, list[str]]] = [
    # reason of the row, text, ["key name"]
    ("commas separate", "a@x.com,b@x.com", ["a@x.com", "b@x.com"]),
    ("semicolons separate, as Outlook writes", "a@x.com; b@x.com;", ["a@x.com", "b@x.com"]),
    ("slots that rendered to nothing are skipped", ";; ,a@x.com,,;", ["a@x.com"]),
    ("nothing is nothing", " \r\n\t", []),
    ("a lone NUL is nothing", "\x00", []),
    ("one address a line", "a@x.com\nb@x.com\r\nc@x.com", ["a@x.com", "b@x.com", "c@x.com"]),
    ("old Mac line ends", "a@x.com\rb@x.com", ["a@x.com", "b@x.com"]),
    ("indented lines, each an address", "a@x.com\n  b@x.com", ["a@x.com", "b@x.com"]),
    ("a folded header", "J\r\n D\r\n\t<a@x.com>,\r\n b@x.com", ["a@x.com J D", "b@x.com"]),
    ("folding behind a name that is the address", "a@x.com\r\n <a@x.com>", ["a@x.com"]),
    ("a stripped fold joins all the same", "a@x.com\r\n<a@x.com>", ["a@x.com"]),
    ("a line per person", "John <a@x.com>\nJane <b@x.com>", ["a@x.com John", "b@x.com Jane"]),
    ("the label of the field", "CC: a@x.com", ["a@x.com"]),
    ("the label before a name", "Cc:John Doe <a@x.com>", ["a@x.com John Doe"]),
    ("quoted comma", '"Doe, John" <a@x.com>', ["a@x.com Doe, John"]),
    ("unquoted comma", "Doe, John <a@x.com>, b@x.com", ["a@x.com Doe, John", "b@x.com"]),
    ("two unquoted commas", "Doe, John, Jr. <a@x.com>", ["a@x.com Doe, John, Jr."]),
    ("a comma in Outlook's apostrophes", "'Doe, John' <a@x.com>", ["a@x.com Doe, John"]),
    ("escaped quotes in a name", r'"John \"Jack\" Doe" <a@x.com>', ['a@x.com John "Jack" Doe']),
    ("a bracket in quotes is no structure", '"<b@x.com>, c" <a@x.com>', ["a@x.com"]),
    ("department as a comment", "Doe, J (Sales, EU) <a@x.com>", ["a@x.com Doe, J (Sales, EU)"]),
    ("the old style of names", "a@x.com (John (Jack) Doe)", ["a@x.com John (Jack) Doe"]),
    ("a comment in front", "(home) a@x.com", ["a@x.com home"]),
    ("a comment behind the brackets", "<a@x.com> (John)", ["a@x.com John"]),
    ("an escaped parenthesis in a comment", r"a@x.com (b\), c)", ["a@x.com b), c"]),
    ("square brackets in a name", "Max | [x.com] <a@x.com>", ["a@x.com Max | [x.com]"]),
    ("a group", "Team: a@x.com, J <b@x.com>; c@x.com", ["a@x.com", "b@x.com J", "c@x.com"]),
    ("the group of nobody", "undisclosed-recipients:;", []),
    ("the name of a group never yields an address", '"b@x.com": a@x.com;', ["a@x.com"]),
    ("encoded words are decoded", "=?utf-8?Q?J=C3=BCrgen?= <a@x.com>", ["a@x.com Jürgen"]),
    ("an encoded comma does not split", "=?utf-8?Q?M=2C_J?= <a@x.com>", ["a@x.com M, J"]),
    ("a comma that should have been encoded", "=?utf-8?Q?M,_J?= <a@x.com>", ["a@x.com M, J"]),
    ("an encoded bracket opens nothing", "=?utf-8?Q?=3Cb@?= <a@x.com>", []),
    ("an encoded address in a name", "=?utf-8?B?YkB4LmNvbQ==?= <a@x.com>", ["a@x.com"]),
    ("a character cut in two", "=?utf-8?Q?J=C3?= =?utf-8?Q?=BC?= <a@x.com>", ["a@x.com Jü"]),
    ("an unknown charset survives", "=?x-none?Q?J=C3=BC?= <a@x.com>", ["a@x.com Jü"]),
    ("a wrong charset survives", "=?utf-8?Q?J=FC?= <a@x.com>", ["a@x.com Jü"]),
    ("broken base64 survives", "=?utf-8?B?A?= <a@x.com>", ["a@x.com =?utf-8?B?A?="]),
    ("utf-7 is not decoded", "=?utf-7?Q?b+AEA-x.com?= <a@x.com>", ["a@x.com b+AEA-x.com"]),
    ("text between the words stays", "=?utf-8?Q?a?= b =?utf-8?Q?c?= <a@x.com>", ["a@x.com a b c"]),
    ("Japanese", "=?iso-2022-jp?B?GyRCOzNFRBsoQg==?= <a@x.com>", ["a@x.com 山田"]),
    ("an IDN is its A-label", "a@Bücher.example", ["a@xn--bcher-kva.example"]),
    ("an A-label stays", "a@XN--bcher-kva.example", ["a@xn--bcher-kva.example"]),
    ("case is one key", "Joe+T@X.Com, joe+t@x.com", ["joe+t@x.com"]),
    ("the first name that is not empty wins", "a@x.com, J <A@x.com>, K <a@x.com>", ["a@x.com J"]),
    ("Outlook's apostrophes", "'a@x.com' <a@x.com>; 'b@x.com'", ["a@x.com", "b@x.com"]),
    ("an apostrophe inside is a letter", "o'brien@x.com", ["o'brien@x.com"]),
    ("Outlook's reply style", "Doe, John [mailto:a@x.com]", ["a@x.com Doe, John"]),
    ("a link in brackets", "John <mailto:a@x.com>", ["a@x.com John"]),
    ("a bare link", "mailto:a@x.com", ["a@x.com"]),
    ("Outlook's links as text", "J <a@x.com<mailto:a@x.com>>; b@x.com<mailto:b@x.com>",
        ["a@x.com J", "b@x.com"]),
    ("escaped as HTML", "J &lt;a@x.com&gt;, &quot;D, J&quot; &lt;b@x.com&gt;",
        ["a@x.com J", "b@x.com D, J"]),
    ("an entity in a name separates nothing", "R &amp; D <a@x.com>", ["a@x.com R &amp; D"]),
    ("the root's dot", "a@x.com., <b@x.com.>", ["a@x.com", "b@x.com"]),
    ("spaces inside the brackets", "J < a@x.com >", ["a@x.com J"]),
    ("hidden around an address", "\ufeff\u202aa@x.com\u202c\u200b;\xa0b@x.com\x00",
        ["a@x.com", "b@x.com"]),
    ("hidden characters in a name", "J\u200bo\u202ee\x00 \ud800<a@x.com>", ["a@x.com Joe"]),
    ("a name with another address goes", '"ceo@client.com" <x@evil.com>', ["x@evil.com"]),
    ("so is one with a wide @", "ceo＠client.com <x@evil.com>", ["x@evil.com"]),
    ("so is a comment with one", "x@evil.com (ceo@client.com)", ["x@evil.com"]),
    ("only its own address goes", '"J D (a@x.com)" <A@x.com>', ["a@x.com J D"]),
    ("not what only ends like it", '"ba@x.com" <a@x.com>', ["a@x.com"]),
    ("an @ alone is no address", '"John @ Acme" <a@x.com>', ["a@x.com John @ Acme"]),
    ("private and test domains", "a@x.local, b@x.test, c@d.example",
        ["a@x.local", "b@x.test", "c@d.example"]),
]  # fmt: skip

REFUSED: list[tuple[str, str, str]] = [
    # reason of the row, text, machine-readable reason
    ("a word", "Smith", "no_address"),
    ("empty brackets", "John <>", "no_address"),
    ("a whole address in quotes is a phrase", '"a@x.com"', "ambiguous"),
    ("CVE-2023-27043", "alice@good.example)bob@evil.example", "ambiguous"),
    ("its angled form", "alice@good.example(<bob@evil.example>", "ambiguous"),
    ("nested brackets", "Max <max <max@example.com>>", "ambiguous"),
    ("nested brackets that differ", "<a@x.com<mailto:b@x.com>>", "ambiguous"),
    ("two bracketed addresses", "J <a@x.com> <b@x.com>", "ambiguous"),
    ("an address behind the brackets", "<a@x.com> b@x.com", "ambiguous"),
    ("empty brackets behind the brackets", "<a@x.com> <>", "ambiguous"),
    ("a parenthesis that closes nothing", "John :) <a@x.com>", "ambiguous"),
    ("words behind the brackets", "<a@x.com> John", "ambiguous"),
    ("getaddresses() returns both", "ceo@client.com <x@evil.com>", "ambiguous"),
    ("the same with apostrophes", "'ceo@client.com' <x@evil.com>", "ambiguous"),
    ("the same as a link", "ceo@client.com [mailto:x@evil.com]", "ambiguous"),
    ("two @", "a@b@x.com", "ambiguous"),
    ("two addresses without a separator", "a@x.com b@x.com", "ambiguous"),
    ("a folded line that may belong to the domain", "a@x.com\r\n .evil.com", "ambiguous"),
    ("the same where the fold was stripped", "a@x.com\r\n.evil.com", "ambiguous"),
    ("words and an address", "John a@x.com", "ambiguous"),
    ("a space inside", "a @x.com", "ambiguous"),
    ("a comment inside", "a(b)@x.com", "ambiguous"),
    ("a comment inside brackets", "<a@x.com (b)>", "ambiguous"),
    ("a quote that never closes", '"John <a@x.com>, b@x.com', "ambiguous"),
    ("a comment that never closes", "John (Sales <a@x.com>, b@x.com", "ambiguous"),
    ("a bracket that never closes", "John <a@x.com, b@x.com", "ambiguous"),
    ("an escaped comma", r"a@x.com\, b@x.com", "ambiguous"),
    ("an escaped @", r"a\@evil.com@x.com", "ambiguous"),
    ("a route", "<@r.com:a@x.com>", "ambiguous"),
    ("the percent hack", "ceo%client.com@evil.com", "ambiguous"),
    ("a bang path", "client.com!ceo@evil.com", "ambiguous"),
    ("an encoded word as local part", "=?utf-8?Q?a=40b.com=2C?=@x.com", "ambiguous"),
    ("half of Outlook's apostrophes", "'a@x.com", "ambiguous"),
    ("a URL", "https://a@x.com", "ambiguous"),
    ("a link with fields", "mailto:?cc=a@x.com", "ambiguous"),
    ("a link's encoded comma", "<mailto:a%2Cb@x.com>", "ambiguous"),
    ("an entity before the address", "R&amp;D@x.com", "ambiguous"),
    ("half an escaped bracket", "x&lt;a@x.com", "ambiguous"),
    ("NUL inside: some stop there", "ceo@client.com\x00.evil.com", "ambiguous"),
    ("a zero-width space inside", "a\u200bb@x.com", "ambiguous"),
    ("a soft hyphen in the domain, which UTS 46 would drop", "a@x\xad.com", "ambiguous"),
    ("a variation selector inside", "a\ufe0f@x.com", "ambiguous"),
    ("right-to-left override inside", "a\u202eb@x.com", "ambiguous"),
    ("a vertical tab inside", "a@x.com\x0bb@x.com", "ambiguous"),
    ("a line separator inside", "a@x.com\u2028b@x.com", "ambiguous"),
    ("a surrogate inside", "a\ud800b@x.com", "ambiguous"),
    ("a wide comma is no separator", "a@x.com，b@x.com", "ambiguous"),
    ("a wide @ that NFKC makes a second one", "é＠b@x.com", "ambiguous"),
    ("a wide bracket that NFKC opens", "é＜a@x.com", "ambiguous"),
    ("a wide @ instead of one", "a＠x.com", "no_address"),
    ("wide letters that NFKC makes ASCII", "ｊoe@x.com", "ambiguous"),
    ("the Kelvin sign, which NFKC makes K", "\u212aim@x.com", "ambiguous"),
    ("an ellipsis that NFKC makes dots", "é…b@x.com", "bad_local_part"),
    ("a mark that combines with the bracket", "<\u0338a@x.com>", "bad_local_part"),
    ("a mark that combines with the @", "a@\u0338x.com", "bad_domain"),
    ("a quoted local part", '"john doe"@x.com', "bad_local_part"),
    ("a quoted @", '"a@good.com"@evil.com', "bad_local_part"),
    ("two dots", "a..b@x.com", "bad_local_part"),
    ("a dot at the end of the local part", "a.@x.com", "bad_local_part"),
    ("nobody", "@x.com", "bad_local_part"),
    ("an address literal", "a@[192.0.2.1]", "bad_domain"),
    ("an IPv6 literal", "a@[IPv6:2001:db8::1]", "bad_domain"),
    ("no dot", "a@localhost", "bad_domain"),
    ("a special-use name", "a@b.invalid", "bad_domain"),
    ("two root dots", "a@x.com..", "bad_domain"),
    ("a wide @ in the domain", "a@b＠x.com", "bad_domain"),
    ("a broken A-label", "a@xn--99999999.com", "bad_domain"),
    ("an underscore", "a@b_c.com", "bad_domain"),
    ("an unrendered slot", "{{cc}}", "template"),
    ("an unrendered slot in brackets", "[CC]", "template"),
    ("an unrendered slot in percents", "%CC%", "template"),
    ("an unrendered slot of ERB", "<%= cc %>", "template"),
    ("an unrendered address", "John <{{mail}}>", "template"),
    ("half of an address unrendered", "${user}@x.com", "template"),
    ("a line of other people", "To: a@x.com; J <b@x.com>", "other_header"),
    ("a secret", "Bcc: a@x.com", "other_header"),
    ("a secret line, hidden", "B\u200bcc: a@x.com", "other_header"),
    ("longer than mail allows", f"{'a' * 250}@x.com", "too_long"),
    ("an entry of absurd length", f'"{"a" * 3000}" <a@x.com>', "too_long"),
]  # fmt: skip


@pytest.mark.parametrize(("why", "text", "expected"), READ, ids=[row[0] for row in READ])
def test_reads(why: str, text: str, expected: list[str]) -> None:
    """A list of addresses is read as every reader reads it."""
    read = read_addresses(text)
    found = [f"{e.key} {e.name}".strip() for e in read if isinstance(e, Address)]
    assert found == expected
    assert expected == [] or len(read) == len(expected)


@pytest.mark.parametrize(("why", "text", "reason"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refuses(why: str, text: str, reason: str) -> None:
    """What readers read differently, or not at all, yields no address and says why."""
    read = read_addresses(text)
    assert {entry.reason for entry in read if isinstance(entry, Rejected)} == {reason}
    assert not [entry for entry in read if isinstance(entry, Address)]


def test_a_refused_entry_leaves_its_neighbours() -> None:
    """One bad entry costs only itself."""
    read = read_addresses("a@x.com, bad)c@x.com, Smith; John <b@x.com>")
    assert read == [
        Address("a@x.com"),
        Rejected("bad)c@x.com", "ambiguous"),
        Rejected("Smith", "no_address"),
        Address("b@x.com", "John"),
    ]


def test_header_lines_after_another_are_told_apart() -> None:
    """Only the people of the Cc line count when a source hands over more."""
    read = read_addresses("To: a@x.com\r\n b@x.com\r\nCc: c@x.com\r\nBcc: d@x.com")
    assert [entry.key for entry in read if isinstance(entry, Address)] == ["c@x.com"]


def test_non_ascii_local_part_is_marked() -> None:
    """A foreign letter in the local part shows, also after the address was stored as its key."""
    read = read_addresses("用户@x.com, a@bücher.example")
    assert [entry.is_ascii for entry in read if isinstance(entry, Address)] == [False, True]
    assert not Address("用户@x.com").is_ascii


def test_rejected_text_marks_what_was_hidden() -> None:
    """A person sees where the invisible character stood, on one line of at most 200."""
    assert read_addresses(" a\u200bb@x.com ") == [Rejected("a\ufffdb@x.com", "ambiguous")]
    assert len(read_addresses("word " * 1000)[0].text) == 200  # type: ignore[union-attr]


def test_entries_past_the_limit_are_one_rejection() -> None:
    """A list of absurd length is read to its limit, and says that there was more."""
    text = ", ".join(f"u{i}@x.com" for i in range(MAX_ENTRIES - 1))
    read = read_addresses(f"{text}, John, and@x.com, more@x.com")
    assert len(read) == MAX_ENTRIES + 1
    assert read[-2:] == [Rejected("John", "no_address"), Rejected("and@x.com …", "too_many")]


def test_domain_is_the_part_after_the_at() -> None:
    """The domain of a key is an A-label."""
    assert Address("a@xn--bcher-kva.example").domain == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Joe@X.com", "joe@x.com"),
        (" joe@x.com\r\n", "joe@x.com"),
        ("joe@bücher.example", "joe@xn--bcher-kva.example"),
        ("H\u0331@x.com", "ẖ@x.com"),  # composes only once it is lower-case
        ("Joe <joe@x.com>", None),
        ("joe@x.com, jane@x.com", None),
        ("mailto:joe@x.com", None),
        ("'joe@x.com'", None),
        ("joe", None),
        ("", None),
    ],
)
def test_key_of_one_bare_address(text: str, key: str | None) -> None:
    """A setting, a contact's field or a path segment is one bare address, or none."""
    assert address_key(text) == key


def test_mailbox_keeps_a_separate_name_separate() -> None:
    """A name that a source hands over apart can't become structure."""
    assert read_mailbox("a@x.com", 'D, J" <b@x.com>') == Address("a@x.com", "")
    assert read_mailbox("A@x.com", "'Doe, John'") == Address("a@x.com", "Doe, John")
    assert read_mailbox("/o=Org/cn=Joe", "Joe") == Rejected("/o=Org/cn=Joe", "no_address")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("joe@client.com", "j***@c***.com"),
        ("to joe@client.com, j@x.io.", "to j***@c***.com, ***@x***."),
        ("<joe@sub.client.co.uk>", "<j***@s***.uk>"),
        ("/admin/people/joe%40client.com", "/***@c***.com"),
        ('"joe doe"@client.com', "j***@c***.com"),
        ("joe＠client.com a@b@c.de", "j***@c***.com ***@***@***.de"),
        ("nothing here", "nothing here"),
    ],
)
def test_mask(text: str, masked: str) -> None:
    """A log keeps the shape of an address, in whatever text it stands."""
    assert mask(text) == masked
    assert mask(masked) == masked
