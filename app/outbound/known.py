"""Read what is only good to know, and keep the last good values: in the database, and a copy here.

No reading holds a ticket up for long, shuts the gate, or is made by two processes at once. After a
failure the pauses are those of all processes together.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

import structlog
from pydantic import ValidationError

from app.autotask.client import Autotask
from app.autotask.errors import AutotaskError, NotSent, Overloaded, Unanswered, Unauthorized
from app.db.database import Sessions, db_now
from app.mail.addresses import mask
from app.outbound.facts import FACTS, USE, Fact
from app.outbound.rules import NotNow
from app.records import known

log = structlog.get_logger()
T = TypeVar("T")

READ_SECONDS = 10.0
"""A reading that a ticket waits for is given up after this time; the chore has more of it."""

PATIENCE_SECONDS = 20.0
"""So long a look waits for all of this together, within any minute."""

RENEW_SECONDS = 120.0
_WINDOW = 60.0
_SPARE = 1.0  # seconds for the database
_LOOK_AGAIN = 0.2  # seconds until a row is read again that another process is about to fill
_OLD_COPY = 60.0  # seconds for which a copy of an old value is used while it cannot be read
_COPIES = 10_000
_RENEWED = 20  # facts at once
_EVERYBODYS = (NotNow, Unauthorized, Overloaded)  # no call would fare better: no fact's trouble


@dataclass(frozen=True, slots=True)
class _Stored(Generic[T]):
    """A fact as the database has it."""

    value: T | None = None
    there: bool = False
    """Whether there is a value; it may be None."""
    failing: bool = False
    left: float = 0.0
    """Seconds until it is too old."""


@dataclass(slots=True)
class _Asker:
    """How long a caller has waited within a minute, and which facts it had no value of."""

    since: float = field(default_factory=time.monotonic)
    waited: float = 0.0
    lacks: dict[tuple[str, int], None] = field(default_factory=dict)

    @property
    def left(self) -> float:
        if time.monotonic() - self.since > _WINDOW:
            self.since, self.waited = time.monotonic(), 0.0
        return max(PATIENCE_SECONDS - self.waited, 0.0)


class Known:
    """The facts of one tenant, for one process."""

    def __init__(self, sessions: Sessions, calm: Callable[[], Awaitable[Autotask]]) -> None:
        """Ask with `calm` clients: their refusals do not shut the gate."""
        self._sessions = sessions
        self._calm = calm
        self._copies: dict[tuple[str, int], tuple[object, float]] = {}
        self._locks: defaultdict[tuple[str, int], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._askers: WeakKeyDictionary[object, _Asker] = WeakKeyDictionary()

    async def get(
        self, fact: Fact[T], asker: object, ref: int = 0, *, matters: bool = True
    ) -> T | None:
        """Return a fact, of a record if it is of one; None if it is not known.

        asker: the look's client, whose patience is spent. matters: whether it lacks the fact if it
        is not known. While no call would succeed and there is no value, raise NotNow, Unauthorized
        or Overloaded.
        """
        who = self._askers.setdefault(asker, _Asker())
        began = time.monotonic()
        found = self._copy(fact, ref) or await self._newest(fact, ref, who)
        who.waited += time.monotonic() - began
        if found.there:
            who.lacks.pop((fact.title, ref), None)
        elif matters:
            who.lacks[fact.title, ref] = None
        return found.value

    def lacks(self, asker: object) -> list[str]:
        """Return what a caller has asked for and was not known."""
        return list(dict.fromkeys(title for title, _ in self._askers.get(asker, _Asker()).lacks))

    async def renew(self, fact: Fact[T], ref: int = 0) -> T | None:
        """Ask for a fact now, with patience; None if that failed, or its pause is not over."""
        # Without the lock: looks use the old value meanwhile.
        if not await self._claim(fact, ref, RENEW_SECONDS):
            return None
        return (await self._ask(fact, ref, RENEW_SECONDS)).value

    async def renew_all(self) -> None:
        """Ask for what will soon be too old, and for what could not be read."""
        ages = {one.name: one.age * 3 / 4 for one in FACTS.values() if not one.of_records}
        ages.pop(USE.name)  # asked for by its own chore
        async with self._sessions() as session:
            rows = await known.to_renew(session, ages, _RENEWED)
        began = time.monotonic()
        for name, ref in rows:
            if name in FACTS and time.monotonic() - began < RENEW_SECONDS:
                await self.renew(FACTS[name], ref)

    async def _newest(self, fact: Fact[T], ref: int, who: _Asker) -> _Stored[T]:
        until = time.monotonic() + who.left
        try:
            async with asyncio.timeout(who.left + _SPARE), self._locks[fact.name, ref]:
                return self._copy(fact, ref) or await self._stored_or_read(fact, ref, until)
        except TimeoutError:
            # Others were first, and waited for Autotask.
            return await self._stored(fact, ref)

    async def _stored_or_read(self, fact: Fact[T], ref: int, until: float) -> _Stored[T]:
        stored = await self._stored(fact, ref)
        seconds = min(READ_SECONDS, until - time.monotonic())
        if stored.left > 0 or seconds <= 0:
            return stored
        if await self._claim(fact, ref, seconds, drop=not stored.there):
            try:
                # One lost answer must not decide without any value.
                read = await self._ask(fact, ref, seconds, tries=1 if stored.there else 2)
            except _EVERYBODYS:
                if not stored.there:
                    raise
                return stored
            return read if read.there else stored
        deadline = time.monotonic() + seconds
        while not stored.there and not stored.failing and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_AGAIN)  # another process asks for it
            stored = await self._stored(fact, ref)
        return stored

    async def _claim(self, fact: Fact[T], ref: int, seconds: float, *, drop: bool = False) -> bool:
        async with self._sessions() as session, session.begin():
            return await known.claim(session, fact.name, ref, fact.version, seconds + 5, drop=drop)

    async def _ask(self, fact: Fact[T], ref: int, seconds: float, tries: int = 1) -> _Stored[T]:
        """Ask for a fact that this process has claimed, and store what comes of it."""
        error: Exception
        try:
            async with asyncio.timeout(seconds) as limit:
                value = await self._read(fact, ref, tries)
        except _EVERYBODYS:
            async with self._sessions() as session, session.begin():
                await known.give_back(session, fact.name, ref)
            raise
        except AutotaskError as refused:
            error = refused
        except TimeoutError:
            if not limit.expired():
                raise
            error = TimeoutError(f"no whole answer within {seconds:.0f} s")
        else:
            stored = fact.form.dump_python(value, mode="json", by_alias=True)
            async with self._sessions() as session, session.begin():
                await known.was_read(session, fact.name, ref, fact.version, stored)
            self._keep(fact, ref, value, fact.age.total_seconds())
            return _Stored(value, there=True)
        log.warning("fact_not_read", fact=fact.name, error=mask(str(error)))
        async with self._sessions() as session, session.begin():
            await known.failed(session, fact.name, ref, mask(str(error)))
        return _Stored(failing=True)

    async def _read(self, fact: Fact[T], ref: int, tries: int) -> T:
        """Ask for a fact; again if a call got no answer. An answer that makes no sense is one."""
        try:
            return await fact.read(await self._calm(), ref)
        except (NotSent, Unanswered) as error:
            if tries == 1 or not error.call:
                raise
        return await self._read(fact, ref, tries - 1)

    async def _stored(self, fact: Fact[T], ref: int) -> _Stored[T]:
        """Return the stored value; one that cannot be read is none."""
        async with self._sessions() as session:
            row = await known.stored(session, fact.name, ref)
            now = await db_now(session)
        if row is None:
            return _Stored()
        failing = row.failing_since is not None
        if row.read_at is None or row.version != fact.version:
            return _Stored(failing=failing)
        try:
            value = fact.form.validate_python(row.value)
        except ValidationError:
            log.warning("fact_not_understood", fact=fact.name)
            return _Stored(failing=failing)
        left = (row.read_at + fact.age - now).total_seconds()
        pause = (row.again_at - now).total_seconds() if failing and row.again_at else 0.0
        if left > 0 or pause > 0:
            self._keep(fact, ref, value, max(left, min(pause, _OLD_COPY)))
        return _Stored(value, there=True, failing=failing, left=left)

    def _copy(self, fact: Fact[T], ref: int) -> _Stored[T] | None:
        value, until = self._copies.get((fact.name, ref), (None, 0.0))
        return _Stored(value, there=True, left=1.0) if time.monotonic() < until else None  # type: ignore[arg-type]

    def _keep(self, fact: Fact[T], ref: int, value: T, seconds: float) -> None:
        if len(self._copies) > _COPIES:
            self._copies.clear()
            self._locks.clear()
        self._copies[fact.name, ref] = value, time.monotonic() + seconds
