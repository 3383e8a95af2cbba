"""What is known of the mail that may have become a ticket, and whether it is that mail.

Reported phishing arrives as a forward or an attachment, and its Cc list is not the ticket's:
only the ticket's own message counts. Pure, never raises, linear time.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from app.mail.addresses import MAX_ENTRIES, Address, Rejected, read_addresses
from app.mail.subjects import MAX_SUBJECT, opens_ticket
from app.mail.text import clean, decode_words

MAX_LISTS = 50  # Cc and To fields that are read; RFC 5322 section 3.6 has one of each
MAX_MESSAGE_ID = 995  # characters: a line of RFC 5322 section 2.1.1 without the angle brackets
MAX_FIELD = 100_000  # characters of a ticket field that are read

_LABEL_ALONE = re.compile(r"\s*+cc\s*+:[\s;,]*+", re.I)
_NO_ENTRY = ("no_address", "template")  # reasons of what is no entry of a list at all
_COMMENT = re.compile(r"\([^()]*+\)")
_REPORT = re.compile(r"report-type\s*=\s*\"?(?:delivery-status|disposition-notification)\b", re.I)


@dataclass(frozen=True, slots=True)
class Message:
    """What a source knows of a mail.

    `sender` is the key of the one From address, None without one; `sender_unclear`: a
    sender is claimed and not known: a From that is not exactly one usable address, and for a mail
    file also no From. `subject` is decoded,
    one line, None without a Subject field, and "" when there are several. `entries` is its Cc
    list, with `include_to` its To list, too. `automatic` names the header that says that no
    person wrote it; None: none does, or headers are not known. `cut`: the list may go on beyond
    what was handed over, so that no entries do not prove that nobody was copied.
    """

    sender: str | None
    sender_unclear: bool
    subject: str | None
    entries: tuple[Address | Rejected, ...]
    message_id: str | None = None
    automatic: str | None = None
    cut: bool = False


def message_of(
    fields: Sequence[tuple[str, str]], *, include_to: bool, cut: bool = False
) -> Message:
    """Read a header's fields: lower-case names of RFC 5322, values as they stand there.

    With `cut` the last field may lack its end. Nobody is taken from Bcc, Reply-To, Delivered-To
    or Resent-*, and from To only with `include_to`.
    """
    senders = [value for name, value in fields if name == "from"]
    subjects = [value for name, value in fields if name == "subject"]
    sender = _only_address(senders[0]) if len(senders) == 1 else None
    # Readers differ about which of several counts: then none does.
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
    """Tell whether a message is the one that became the ticket of this title and contact.

    `contact_keys` are all addresses of the ticket's contact. What a source does not know of (a
    template line has no From and no Subject) says nothing against it. A follow-up never is.
    """
    if message.sender_unclear or (
        message.sender is not None and message.sender not in contact_keys
    ):
        return False
    return message.subject is None or opens_ticket(message.subject, title)


def read_field(text: str) -> list[Address | Rejected] | None:
    """Read a ticket field that a gateway fills; None where it holds no list.

    An empty one, a word (`n/a`) or a slot that was not filled proves nothing. One that holds the
    label `Cc:` alone proves that nobody was copied.
    """
    entries = read_addresses(text[:MAX_FIELD], cut=len(text) > MAX_FIELD)
    is_list = any(isinstance(one, Address) or one.reason not in _NO_ENTRY for one in entries)
    return entries if is_list or _LABEL_ALONE.fullmatch(text) else None


def automatic_reason(headers: Iterable[tuple[str, str]]) -> str | None:
    """Return which header says that no person wrote a mail, None if none does.

    Precedence and List-Id do not say it: what people write through lists carries them.
    """
    found: dict[str, bool] = dict.fromkeys(
        ("Auto-Submitted", "X-Auto-Response-Suppress", "null sender", "delivery report"), False
    )
    for name, raw in headers:
        value = _COMMENT.sub("", raw).strip().lower()
        match name.strip().lower():
            case "auto-submitted":  # https://www.rfc-editor.org/rfc/rfc3834#section-5
                found["Auto-Submitted"] |= value.partition(";")[0].strip() != "no"
            # "None" suppresses nothing; [MS-OXCMAIL] 2.1.3.2.20:
            # https://learn.microsoft.com/en-us/openspecs/exchange_server_protocols/ms-oxcmail/ced68690-498a-4567-9d14-5c01f974d8b1
            case "x-auto-response-suppress":
                found["X-Auto-Response-Suppress"] |= value not in ("", "none")
            case "return-path":  # https://www.rfc-editor.org/rfc/rfc3834#section-2
                found["null sender"] |= "".join(value.split()) == "<>"
            case "content-type":  # https://www.rfc-editor.org/rfc/rfc3464#section-2, and RFC 8098
                is_report = value.startswith("multipart/report") and _REPORT.search(value)
                found["delivery report"] |= bool(is_report)
            case "x-failed-recipients":  # Exim and Gmail, whose reports are not always RFC 3464
                found["delivery report"] = True
    return next((reason for reason, is_there in found.items() if is_there), None)


def _entries(
    fields: Sequence[tuple[str, str]], names: Collection[str], cut: bool
) -> tuple[Address | Rejected, ...]:
    """Read the fields of these names, each address once."""
    found: dict[str | Rejected, Address | Rejected] = {}
    lists = [number for number, (name, _) in enumerate(fields) if name in names]
    for number in lists[:MAX_LISTS]:
        is_cut = cut and number == len(fields) - 1
        for entry in read_addresses(fields[number][1], cut=is_cut):
            found.setdefault(entry.key if isinstance(entry, Address) else entry, entry)
        if len(found) >= MAX_ENTRIES:  # of all fields together: reading takes time
            rest = Rejected(f"{clean(fields[number][1])} …", "too_many")
            found[rest] = rest
            break
    if len(lists) > MAX_LISTS:
        rest = Rejected(f"{clean(fields[lists[MAX_LISTS]][1])} …", "too_many")
        found[rest] = rest
    return tuple(found.values())


def _only_address(value: str) -> str | None:
    entries = read_addresses(value)
    if len(entries) == 1 and isinstance(entries[0], Address):
        return entries[0].key
    return None


def _message_id(values: Sequence[str]) -> str | None:
    identifiers = {message_id_of(value) for value in values}
    return identifiers.pop() if len(identifiers) == 1 else None


def message_id_of(value: str) -> str | None:
    """Read a Message-ID, without its angle brackets; None for what is none that can be kept."""
    identifier = value.strip().removeprefix("<").removesuffix(">")
    fits = 0 < len(identifier) <= MAX_MESSAGE_ID and identifier.isprintable()
    return identifier if fits else None
