"""Hold a Microsoft 365 tenant: its directory, its mailboxes, its faults. No I/O.

Facts: https://learn.microsoft.com/graph/api/user-list-messages and the pages named below.
"""

import itertools
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal

AT_ONCE = 4
"""Requests at once for one app and mailbox:
https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits"""

HELP_DESK = "help@northwind-msp.example"
"""The mailbox to which the seeded tenant's customers write."""

Pair = tuple[str | None, str | None]
Who = str | Pair
Kind = Literal["token", "messages"]
Headers = tuple[tuple[str, str], ...]


@dataclass
class MailSwitches:
    """Choose among what Microsoft may answer; change it at any time. Defaults are the unkind ones.

    Issues are those of github.com/microsoftgraph/microsoft-graph-docs.
    """

    # AADSTS7000222 instead of a token.
    secret_expired: bool = False
    # Seconds that a token is good for; real ones an hour or more.
    token_seconds: int = 3599
    # Messages on a page, whatever $top asks for beyond it (issue 7569).
    page_size: int = 3
    # Pages begin with the last of the page before, as when a mail arrives in between.
    pages_overlap: bool = True
    # A first page without members, yet with a next one (https://learn.microsoft.com/graph/paging).
    empty_first_page: bool = False
    # Where @odata.nextLink goes: elsewhere, or to the very same page for ever, or by turns to two
    # (github.com/microsoftgraph/msgraph-sdk-javascript/issues/178).
    next_link: Literal["right", "foreign", "same", "cycle"] = "right"
    foreign_origin: str = "https://graph.evil.example"
    # How a mailbox that is not there, or not in Exchange Online, is told (issue 10482).
    missing_mailbox: str = "ErrorInvalidUser"
    # Retry-After of the fifth request at once: often there is none
    # (github.com/OfficeDev/outlook-dev-docs/issues/144).
    concurrency_retry_after: str | None = None
    # Seconds that each request for messages takes, and those that each message on a page adds.
    latency: float = 0.0
    message_seconds: float = 0.0


@dataclass
class MailFault:
    """A fault of requests of one kind.

    throttled    429, with retry_after if given       unavailable  503, likewise
    timeout      504, likewise                        broken       500
    revoked      401: the token is no longer good     garbage      200 with a page for people
    hang         no answer for as long as one waits   reset        the connection is cut
    unreadable   a message without its time on the page

    retry_in is written as a date so many seconds ahead. The first `after` requests pass. A fault of
    `pages` hits only requests for whole messages, not the check of a mailbox by one id.
    """

    kind: Literal[
        "throttled",
        "unavailable",
        "timeout",
        "broken",
        "revoked",
        "garbage",
        "hang",
        "reset",
        "unreadable",
    ]
    on: Kind = "messages"
    times: int = 1
    retry_after: str | None = None
    retry_in: float | None = None
    after: int = 0
    pages: bool = False


@dataclass(frozen=True)
class Mail:
    """A message in a mailbox. headers None: Graph tells none, as of what was sent from it."""

    id: str
    subject: str | None
    sender: Pair | None
    to: tuple[Pair, ...]
    cc: tuple[Pair, ...]
    received_at: datetime
    message_id: str
    headers: Headers | None
    is_draft: bool
    body: str


@dataclass
class MailSystem:
    """A directory with one application, and the mailboxes of Exchange Online.

    A mailbox is named by its address in any case. `in_scope` are those the application may read,
    `asked` the query options of each request for messages, `calls` the requests by kind.
    """

    clock: Callable[[], datetime]
    tenant_id: str = "5f1d9c1e-6c5b-4a5e-9a57-2f6f0a3d7c11"
    client_id: str = "b7c3f0a4-1d2e-4f5a-8b6c-9d0e1f2a3b4c"
    client_secret: str = "sandbox~graph~secret"
    switches: MailSwitches = field(default_factory=MailSwitches)

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.mailboxes: dict[str, list[Mail]] = {}
        self.in_scope: set[str] = set()
        self.calls: Counter[Kind] = Counter()
        self.asked: list[dict[str, str]] = []
        self.peak = 0
        self.tokens: dict[str, datetime] = {}  # each issued token, and until when it is good
        self._numbers = itertools.count(1)
        self._faults: list[MailFault] = []
        self._busy: Counter[str] = Counter()

    def add_mailbox(self, address: str, *, in_scope: bool = True) -> None:
        """Add an empty mailbox."""
        with self.lock:
            self.mailboxes[address.lower()] = []
            if in_scope:
                self.in_scope.add(address.lower())

    def deliver(
        self,
        mailbox: str,
        *,
        sender: Who | None,
        subject: str | None,
        cc: Iterable[Who] = (),
        to: Iterable[Who] | None = None,
        received_at: datetime | None = None,
        message_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        without_headers: bool = False,
        is_draft: bool = False,
        body: str = "Hello, it does not work.",
    ) -> str:
        """Put a message into a mailbox, in whatever folder, and return its id.

        People are `Name <a@x>`, `a@x`, or (name, address), of which None is left out; `to` is
        the mailbox itself if not given. `headers` are added to those of any received mail;
        `without_headers` means that it was sent from here, so Graph returns none. Raise
        KeyError for a mailbox that does not exist.
        """
        with self.lock:
            number = next(self._numbers)
            moment = received_at or self.clock()
            known_as = message_id or f"<{number}.sandbox@mail.example>"
            mail = Mail(
                id=f"AAMkADk0ZmE1{number:08d}AAA=",
                subject=subject,
                sender=None if sender is None else person(sender),
                to=tuple(map(person, [mailbox] if to is None else to)),
                cc=tuple(map(person, cc)),
                received_at=moment,
                message_id=known_as,
                headers=None
                if without_headers
                else _headers(moment, known_as, sender, subject, headers or {}),
                is_draft=is_draft,
                body=body,
            )
            self.mailboxes[mailbox.lower()].append(mail)
            return mail.id

    def flood(self, mailbox: str, count: int, *, minutes: float = 60.0) -> None:
        """Put many messages of strangers into a mailbox, evenly over the last minutes."""
        now = self.clock()
        for n in range(count):
            at = now - timedelta(minutes=minutes * n / count)
            sender, subject = f"alert{n}@monitor.example", f"Alert {n}"
            self.deliver(mailbox, sender=sender, subject=subject, received_at=at)

    def fail(self, *faults: MailFault) -> None:
        """Append faults; of several for one kind of request, the first hits until used up."""
        with self.lock:
            self._faults.extend(faults)

    def take_fault(self, kind: Kind, *, page: bool = False) -> MailFault | None:
        """Return the fault that hits a request, and use it up by one; page: of whole messages."""
        with self.lock:
            for fault in self._faults:
                if fault.on != kind or (fault.pages and not page):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                return fault
        return None

    def issue_token(self) -> str:
        """Make a token that is good for `switches.token_seconds`."""
        with self.lock:
            token = f"eyJ0eXAiOiJKV1QifQ.c2FuZGJveA.{next(self._numbers):06d}"
            self.tokens[token] = self.clock() + timedelta(seconds=self.switches.token_seconds)
            return token

    def is_good(self, token: str) -> bool:
        """Return whether a token was issued and has not expired."""
        with self.lock:
            return token in self.tokens and self.clock() < self.tokens[token]

    def enter(self, mailbox: str) -> bool:
        """Begin a request for a mailbox; False (and not begun) when four are being worked on."""
        with self.lock:
            busy = self._busy[mailbox] + 1
            self.peak = max(self.peak, busy)
            if busy > AT_ONCE:
                return False
            self._busy[mailbox] = busy
            return True

    def leave(self, mailbox: str) -> None:
        """End a request that `enter` began."""
        with self.lock:
            self._busy[mailbox] -= 1


def person(who: Who) -> Pair:
    """Read a person; without a name the address is the name, as Graph does."""
    if not isinstance(who, str):
        return who
    found = re.fullmatch(r"\s*\"?(.*?)\"?\s*<([^<>]*)>\s*", who, re.DOTALL)
    return (found[1] or found[2], found[2]) if found else (who, who)


def as_json(mail: Mail) -> dict[str, Any]:
    """Return a message as Graph does, without the properties that Graph leaves out."""
    moment = mail.received_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    written: dict[str, Any] = {
        "id": mail.id,
        "receivedDateTime": moment,
        "sentDateTime": moment,
        "subject": mail.subject,
        "internetMessageId": mail.message_id,
        "sender": None if mail.sender is None else _recipient(mail.sender),
        "from": None if mail.sender is None else _recipient(mail.sender),
        "toRecipients": list(map(_recipient, mail.to)),
        "ccRecipients": list(map(_recipient, mail.cc)),
        "isDraft": mail.is_draft,
        "body": {"contentType": "text", "content": mail.body},
        "bodyPreview": mail.body[:255],
    }
    if mail.headers is not None:
        written["internetMessageHeaders"] = [
            {"name": name, "value": value} for name, value in mail.headers
        ]
    return written


def _recipient(one: Pair) -> dict[str, Any]:
    told = {"name": one[0], "address": one[1]}
    return {"emailAddress": {key: value for key, value in told.items() if value is not None}}


def _headers(
    moment: datetime,
    message_id: str,
    sender: Who | None,
    subject: str | None,
    more: Mapping[str, str],
) -> Headers:
    name, address = ("", "") if sender is None else person(sender)
    usual = {
        "Received": f"from mx.mail.example (203.0.113.7) by mx.example; {format_datetime(moment)}",
        "From": f"{name} <{address}>",
        "Subject": subject or "",
        "Date": format_datetime(moment),
        "Message-ID": message_id,
        "Return-Path": address or "",
    }
    return tuple((usual | dict(more)).items())
