"""The mail that may have become a ticket, and whether it did.

Reported phishing arrives as a forward or an attachment, and its Cc list is not the ticket's:
only the ticket's own message counts. Pure, never raises, linear time.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from app.mail.addresses import MAX_ENTRIES, Address, Rejected, is_same_person, read_addresses
from app.mail.subjects import MAX_SUBJECT, opens_ticket
from app.mail.text import clean, decode_words

MAX_LISTS = 50  # Cc and To fields that are read; RFC 5322 section 3.6 has one of each
MAX_MESSAGE_ID = 995  # characters: a line of RFC 5322 section 2.1.1 without the angle brackets
MAX_FIELD = 100_000  # characters of a ticket field that are read

_LABEL_ALONE = re.compile(r"\s*+cc\s*+:[\s;,]*+", re.I)
_NO_ENTRY = ("no_address", "template")  # reasons that a text is no list at all
_COMMENT = re.compile(r"\([^()]*+\)")
_REPORT = re.compile(r"report-type\s*=\s*\"?(?:delivery-status|disposition-notification)\b", re.I)


@dataclass(frozen=True, slots=True)
class Message:
    """What a Cc source knows of a mail."""

    sender: str | None  # key of the one From address
    sender_unclear: bool
    """The From is not exactly one usable address, or a mail file has none."""
    subject: str | None
    """Decoded, one line; None without a Subject field, "" with several."""
    entries: tuple[Address | Rejected, ...]
    """The Cc list, and with `include_to` the To list."""
    message_id: str | None = None
    automatic: str | None = None
    """The header that says that no person wrote it; None without one, or if unknown."""
    cut: bool = False
    """The list may go on, so that an empty one does not prove that nobody was copied."""


def message_of(
    fields: Sequence[tuple[str, str]], *, include_to: bool, cut: bool = False
) -> Message:
    """Read a header's fields: lower-case names of RFC 5322, and raw values.

    With `cut` the last field may lack its end. Bcc, Reply-To, Delivered-To and Resent-* are never
    read, To only with `include_to`.
    """
    senders = [value for name, value in fields if name == "from"]
    subjects = [value for name, value in fields if name == "subject"]
    sender = _only_address(senders[0]) if len(senders) == 1 else None
    # Readers differ about which of several counts, so none does.
    subject = subjects[0] if len(subjects) == 1 else ""
    return Message(
        sender=sender,
        sender_unclear=bool(senders) and sender is None,
        subject=clean(decode_words(subject), limit=MAX_SUBJECT) if subjects else None,
        entries=_entries(fields, {"cc", "to"} if include_to else {"cc"}, cut),
        message_id=_message_id([value for name, value in fields if name == "message-id"]),
        automatic=automatic_reason(fields),
        cut=cut,
    )


def is_own(message: Message, title: str, contact_keys: Collection[str]) -> bool:
    """Return True if a message became the ticket with this title and contact.

    `contact_keys` are all addresses of the ticket's contact. A From or Subject that the source
    does not have, such as a template line, is no objection. A follow-up never became a ticket.
    """
    if message.sender_unclear or not (
        message.sender is None or is_same_person(message.sender, contact_keys)
    ):
        return False
    return message.subject is None or opens_ticket(message.subject, title)


def read_field(text: str, *, cut: bool = False) -> list[Address | Rejected] | None:
    """Read a ticket field that a gateway fills; None if it holds no list.

    An empty field, a word (`n/a`) or an unfilled slot proves nothing. The label `Cc:` alone proves
    that nobody was copied. With `cut` the field may lack its end.
    """
    entries = read_addresses(text[:MAX_FIELD], cut=cut or len(text) > MAX_FIELD)
    is_list = any(map(_is_of_list, entries))
    return entries if is_list or _LABEL_ALONE.fullmatch(text) else None


def _is_of_list(entry: Address | Rejected) -> bool:
    if isinstance(entry, Address):
        return True
    words = entry.reason == "cut_off" and "@" not in entry.text  # the end of a sentence
    return not words and entry.reason not in _NO_ENTRY


def automatic_reason(headers: Iterable[tuple[str, str]]) -> str | None:
    """Return the header that says that no person wrote a mail; None if none does.

    Precedence and List-Id do not count: mail that people write through lists has them, too.
    """
    says: dict[str, bool] = dict.fromkeys(
        ("Auto-Submitted", "X-Auto-Response-Suppress", "null sender", "delivery report"), False
    )
    for name, raw in headers:
        value = _COMMENT.sub("", raw).strip().lower()
        match name.strip().lower():
            case "auto-submitted":  # https://www.rfc-editor.org/rfc/rfc3834#section-5
                says["Auto-Submitted"] |= value.partition(";")[0].strip() != "no"
            # "None" suppresses nothing; [MS-OXCMAIL] 2.1.3.2.20:
            # https://learn.microsoft.com/en-us/openspecs/exchange_server_protocols/ms-oxcmail/ced68690-498a-4567-9d14-5c01f974d8b1
            case "x-auto-response-suppress":
                says["X-Auto-Response-Suppress"] |= value not in ("", "none")
            case "return-path":  # https://www.rfc-editor.org/rfc/rfc3834#section-2
                says["null sender"] |= "".join(value.split()) == "<>"
            case "content-type":  # https://www.rfc-editor.org/rfc/rfc3464#section-2, and RFC 8098
                is_report = value.startswith("multipart/report") and _REPORT.search(value)
                says["delivery report"] |= bool(is_report)
            case "x-failed-recipients":  # Exim and Gmail, whose reports are not always RFC 3464
                says["delivery report"] = True
    return next((reason for reason, automatic in says.items() if automatic), None)


def _entries(
    fields: Sequence[tuple[str, str]], names: Collection[str], cut: bool
) -> tuple[Address | Rejected, ...]:
    """Read the fields with these names; return each address once."""
    entries: dict[str | Rejected, Address | Rejected] = {}
    lists = [number for number, (name, _) in enumerate(fields) if name in names]
    for number in lists[:MAX_LISTS]:
        is_cut = cut and number == len(fields) - 1
        for entry in read_addresses(fields[number][1], cut=is_cut):
            entries.setdefault(entry.key if isinstance(entry, Address) else entry, entry)
        if len(entries) >= MAX_ENTRIES:  # of all fields together: reading takes time
            rest = Rejected(f"{clean(fields[number][1])} …", "too_many")
            entries[rest] = rest
            break
    if len(lists) > MAX_LISTS:
        rest = Rejected(f"{clean(fields[lists[MAX_LISTS]][1])} …", "too_many")
        entries[rest] = rest
    return tuple(entries.values())


def _only_address(value: str) -> str | None:
    entries = read_addresses(value)
    if len(entries) == 1 and isinstance(entries[0], Address):
        return entries[0].key
    return None


def _message_id(values: Sequence[str]) -> str | None:
    identifiers = {message_id_of(value) for value in values}
    return identifiers.pop() if len(identifiers) == 1 else None


def message_id_of(value: str) -> str | None:
    """Return a Message-ID without its angle brackets; None if it is too long or not printable."""
    identifier = value.strip().removeprefix("<").removesuffix(">")
    fits = 0 < len(identifier) <= MAX_MESSAGE_ID and identifier.isprintable()
    return identifier if fits else None
