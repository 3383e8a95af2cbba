"""Read a ticket's part of the mailbox, a page at a time, over several looks if it is long.

What is kept between looks is when to go on, and at which times there were messages that fit: no
text, no address. These messages are read once more at the end.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from app.autotask.models import Ticket
from app.graph.client import PAGE_SIZE, Page
from app.graph.models import Message
from app.outbound.mailbox import Mailbox, Unread
from app.outbound.rules import NotNow

MOST_FITTING = 5
"""Messages whose lists are read; more than one is ambiguous, copies apart."""

_PAGES, _SECONDS = 8, 15.0  # in one look; after these no further page is begun
_SECONDS_AT_ONCE = 60.0  # where there is no other look
_MOST_PAGES = 40  # in all looks at a ticket
_SMALL_PAGE = 20  # messages, once a page took too long
_SECOND = timedelta(seconds=1)
_OVERLAP = timedelta(minutes=2)  # a message can be listed later than it is dated

Fits = Callable[[Message], Awaitable[bool]]


class Position(BaseModel):
    """How far a part of the mailbox has been read: from the newest message down."""

    model_config = ConfigDict(frozen=True)
    about: str
    """Digest of what the messages were compared with."""
    down_to: AwareDatetime
    newest: AwareDatetime | None = None
    fitting: tuple[AwareDatetime, ...] = ()
    """When messages that fit were received."""
    pages: int = 0
    messages: int = 0
    """At least; those of one second may be fewer than there are."""
    small: bool = False
    """A page took too long, so smaller ones are read."""
    whole: bool = False
    """It has been read down to its end."""


@dataclass(frozen=True, slots=True)
class Read:
    """What a reading found: all messages that fit, unless it has to go on."""

    fitting: Sequence[Message] = ()
    position: Position | None = None
    """None: one look sufficed."""
    unfinished: NotNow | None = None
    more_than: int | None = None
    """There are more messages than are read: than so many."""


class _Enough(Exception):
    """This look has read as much as it may."""


def about(ticket: Ticket) -> str:
    """Return a digest of what a ticket's messages are compared with."""
    compared = repr((ticket.title, ticket.contact_id, ticket.created_at))
    return hashlib.sha256(compared.encode()).hexdigest()[:16]


def position_of(stored: object, ticket: Ticket) -> Position | None:
    """Return a stored position; None if there is none, or the ticket has changed since."""
    try:
        position = Position.model_validate(stored) if stored else None
    except ValidationError:
        return None
    return position if position and position.about == about(ticket) else None


@dataclass(slots=True)
class Window:
    """One look's reading of the messages between two times."""

    mailbox: Mailbox
    since: datetime
    until: datetime
    fits: Fits
    position: Position
    """Where an earlier look stopped, or the beginning."""
    at_once: bool = False
    """There will be no other look."""
    _began: float = field(default_factory=time.monotonic)
    _pages: int = 0
    _found: dict[str, Message] = field(default_factory=dict)

    async def read(self) -> Read:
        """Read on. Raise MailboxShut, Unread or NotNow if there is nothing to keep."""
        earlier = self.position
        try:
            if not earlier.whole:
                await self._span(self.since, min(self.until, earlier.down_to + _SECOND), down=True)
                self._move(whole=True)
            if not earlier.pages:
                return Read(tuple(self._found.values()))
            newest = earlier.newest - _OVERLAP if earlier.newest else self.since
            await self._span(newest, self.until)
            known = {message.received_at for message in self._found.values()}
            for moment in sorted(set(earlier.fitting) - known):
                await self._span(moment, moment + _SECOND)
        except _Enough:
            if self.position.pages >= _MOST_PAGES and not self.position.whole:
                return Read(position=self.position, more_than=self.position.messages)
            why = "there are many messages of that time; they are read on at the next look"
            return self._stopped(await self.mailbox.unread(f"the mailbox: {why}"))
        except NotNow as wait:
            slow = isinstance(wait, Unread) and wait.slow
            if not slow and not self.position.pages:
                raise
            self._move(small=slow or self.position.small)
            return self._stopped(wait)
        return Read(tuple(self._found.values()), self.position)

    def _stopped(self, wait: NotNow) -> Read:
        """Keep the times of what fits; its lists are read when all is known."""
        moments = {message.received_at for message in self._found.values()}
        self._move(fitting=tuple(sorted(moments | set(self.position.fitting))))
        return Read(position=self.position, unfinished=wait)

    async def _span(self, since: datetime, until: datetime, *, down: bool = False) -> None:
        """Read the pages between two times; down: the position moves along."""
        url: str | None = None
        asked: set[str | None] = set()
        while url not in asked:
            asked.add(url)
            self._require_room(down=down)
            page = await self.mailbox.page(
                since,
                until,
                size=_SMALL_PAGE if self.position.small else PAGE_SIZE,
                url=url,
                further=self.position.pages > 0,
            )
            self._pages += 1
            for message in page.messages:
                if await self.fits(message):
                    self._found[message.id] = message
            if down:
                self._went_down(page)
            if page.next_url is None:
                return
            url = page.next_url
        raise await self.mailbox.unread("the mailbox: Graph gives the same pages for ever")

    def _require_room(self, *, down: bool) -> None:
        pages, seconds = (_PAGES, _SECONDS)
        if self.at_once:
            pages, seconds = _MOST_PAGES, _SECONDS_AT_ONCE
        passed = time.monotonic() - self._began
        at_end = down and self.position.pages >= _MOST_PAGES
        if at_end or self._pages >= pages or passed > seconds:
            raise _Enough

    def _went_down(self, page: Page) -> None:
        position, times = self.position, [message.received_at for message in page.messages]
        self._move(
            pages=position.pages + 1,
            messages=position.messages + sum(at < position.down_to for at in times),
            down_to=min([position.down_to, *times]),
            newest=position.newest or max(times, default=None),
        )

    def _move(self, **changes: object) -> None:
        self.position = self.position.model_copy(update=changes)
