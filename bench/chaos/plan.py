"""The plan of what goes wrong, and when: a pure function of the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from sandbox.switches import FaultKind

Deed = Literal["complete", "reopen", "move", "back", "merge", "touch", "take_off"]
"""What people do to a ticket."""

What: TypeAlias = (
    Literal["ticket", "callout", "kill", "stop", "deaf", "crash", "outage", "fault"] | Deed
)
Outage = Literal["refuses", "reset_before", "hang_before", "error_500"]
How: TypeAlias = FaultKind | Outage

STORM = 4
"""So many tickets come at once, in one company and with a new person in common: a thread of mails
that Autotask takes for several tickets."""

API = 0
WORKERS = (1, 2, 3)

LATE_SECONDS = 5.0
"""A request that Autotask goes on with after its client has gone takes effect so late at most."""

FROZEN_SECONDS = (4.0, 6.0)
"""Longer than the lease that processes have here."""

_TARGETS: tuple[dict[str, str], ...] = (
    {"method": "POST", "entity": "Contacts", "path_contains": "/Companies/"},
    {"method": "POST", "path_contains": "AdditionalContacts"},
    {"method": "GET", "entity": "Tickets"},
    {"method": "GET", "path_contains": "AdditionalContacts"},
    {"method": "POST", "path_contains": "/query"},
    {},
)
FAULTS: dict[FaultKind, int] = {
    "reset_before": 4,
    "reset_after": 6,
    "late_commit": 6,
    "hang_before": 2,
    "hang_after": 3,
    "error_500": 4,
    "error_500_errors": 2,
    "garbage": 2,
    "status_429": 1,
}
"""The kinds of faults, and how often each is drawn."""

LIFE_SECONDS = 12.0
"""Within so long people do the next thing to a ticket."""

_STORIES: dict[tuple[Deed, ...], int] = {
    (): 38,
    ("complete",): 14,
    ("complete", "reopen"): 6,
    ("complete", "reopen", "complete"): 2,
    ("move",): 8,
    ("move", "back"): 6,
    ("move", "move"): 2,
    ("move", "complete"): 3,
    ("merge",): 6,
    ("touch",): 2,
    ("touch", "complete"): 4,
    ("touch", "move"): 1,
    ("take_off",): 3,
    ("take_off", "complete"): 2,
    ("take_off", "complete", "reopen"): 2,
    ("take_off", "move"): 1,
}
"""What becomes of tickets, and how often each is drawn."""

_LIFE_TARGETS: tuple[dict[str, str], ...] = (
    {"method": "PATCH", "path_contains": "/Contacts"},
    {"method": "DELETE", "path_contains": "AdditionalContacts"},
)
_LIFE_FAULTS: tuple[FaultKind, ...] = (
    *("late_commit", "late_commit", "reset_after", "reset_after", "reset_before"),
    *("hang_after", "hang_before", "error_500", "garbage"),
)

_DOUBLING: tuple[FaultKind, ...] = ("late_commit", "late_commit", "late_commit", "hang_after")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens `at` seconds after the start.

    `number`: the ticket's, or the process's (API, or one of WORKERS). `seconds`: how long it lasts.
    `how`: which fault or outage; `target`: the calls that a fault hits. `pick`: which firm, person
    or ticket, counted from the first; `told`: a change's callout is sent, where one is subscribed
    to; `settled`: it waits until we are done with the ticket as it was.
    """

    at: float
    what: What
    number: int = 0
    seconds: float = 0.0
    how: How | None = None
    target: dict[str, str] = field(default_factory=dict)
    pick: int = 0
    told: bool = False
    settled: bool = False

    def __str__(self) -> str:
        words = [f"{self.at:7.2f} s", self.what]
        if self.what in ("ticket", "callout", "kill", "stop", *get_args(Deed)):
            words.append(str(self.number))
        words += [str(self.how)] if self.how else []
        words += [f"for {self.seconds:.1f} s"] if self.seconds else []
        return " ".join([*words, *self.target.values()])


@dataclass(frozen=True, slots=True)
class Plan:
    """All events of a run in their order.

    `lossy`: some tickets have no callout. `lives`: tickets end, move and merge, and contacts are
    kept as long as their tickets. `updates`: callouts of changes are subscribed to, too.
    """

    seed: int
    tickets: int
    lossy: bool
    events: tuple[Event, ...]
    lives: bool = False
    updates: bool = False

    def count(self, *what: What) -> int:
        """Count the events of some kinds."""
        return sum(event.what in what for event in self.events)


def make_plan(seed: int, tickets: int, seconds: float, *, lossy: bool, lives: bool = True) -> Plan:
    """Draw a plan; if `lossy`, some callouts never come, and only reconciliation helps."""
    dice = random.Random(f"chaos {seed}")  # noqa: S311  no secret
    events = [
        *_tickets(dice, tickets, seconds, lossy=lossy),
        *_blows(dice, seconds),
        *_faults(dice, tickets, seconds),
    ]
    updates = False
    if lives:  # with dice of their own: all else is as it would be without
        dice = random.Random(f"lives {seed}")  # noqa: S311  no secret
        updates = dice.random() < 0.5
        events += [*_deeds(dice, events, seconds), *_life_faults(dice, tickets, seconds)]
    events.sort(key=lambda event: event.at)
    return Plan(seed, tickets, lossy, tuple(events), lives, updates)


def _tickets(dice: random.Random, tickets: int, seconds: float, *, lossy: bool) -> Iterator[Event]:
    """Draw tickets and their callouts: at once, late and so out of order, twice, or never."""
    at = 0.0
    for number in range(tickets):
        fate = dice.random()
        at = at + dice.uniform(0, 0.1) if number % STORM else dice.uniform(0, seconds)
        yield Event(at, "ticket", number)
        if lossy and fate < 0.08:
            continue
        late = dice.uniform(0.3, 4.0) if fate < 0.3 else 0.0
        yield Event(at + late, "callout", number)
        if fate > 0.85:
            yield Event(at + dice.uniform(0.0, 3.0), "callout", number)


def _blows(dice: random.Random, seconds: float) -> Iterator[Event]:
    """Draw blows to our own processes, the database, and Autotask as a whole."""

    def often(every: float) -> list[float]:
        return [dice.uniform(0.5, seconds) for _ in range(max(1, round(seconds / every)))]

    for at in often(2.5):
        yield Event(at, "kill", dice.choice(WORKERS))
    for at in often(9):
        yield Event(at, "kill", API)
    for at in often(5):
        yield Event(at, "stop", dice.choice((API, *WORKERS)), dice.uniform(*FROZEN_SECONDS))
    for at in often(12):
        yield Event(at, "deaf", API, dice.uniform(1.0, 3.0))
    for at in often(8):
        yield Event(at, "crash", seconds=dice.uniform(0.2, 1.5))
    for at in often(10):
        how = dice.choice(get_args(Outage))
        yield Event(at, "outage", seconds=dice.uniform(1.5, 3.5), how=how)


def _faults(dice: random.Random, tickets: int, seconds: float) -> Iterator[Event]:
    """Draw faults of single calls, of writes more often than of others."""
    for target in _TARGETS[:2]:  # the likeliest cause of a duplicate: in every plan
        for kind in _DOUBLING:
            yield _fault(dice, 0.5, kind, target)
    refusals = 0
    for _ in range(max(4, tickets // 4)):
        [kind] = dice.choices(list(FAULTS), list(FAULTS.values()))
        [target] = dice.choices(_TARGETS, (6, 6, 2, 2, 3, 3))
        if kind == "error_500_errors":
            # A person that Autotask has refused three times is given up, and rightly.
            target = target if refusals < 2 else {"method": "GET"}
            refusals += 1
        yield _fault(dice, seconds, kind, target)


def _fault(dice: random.Random, seconds: float, kind: FaultKind, target: dict[str, str]) -> Event:
    lasts = dice.uniform(0.7, 1.0) * LATE_SECONDS if kind == "late_commit" else 20.0
    return Event(dice.uniform(0, seconds), "fault", 0, lasts, kind, target)


def _deeds(dice: random.Random, events: Sequence[Event], seconds: float) -> Iterator[Event]:
    """Draw people's changes of every other ticket, at once or when it has been looked at."""
    for ticket in events:
        if ticket.what != "ticket":
            continue
        at = ticket.at
        [story] = dice.choices(list(_STORIES), list(_STORIES.values()))
        for deed in story:
            at += dice.uniform(0.1, dice.choice((2.0, min(LIFE_SECONDS, 2 * seconds))))
            told, settled = dice.random() < 0.6, dice.random() < 0.6
            pick = dice.randrange(1000)
            yield Event(at, deed, ticket.number, pick=pick, told=told, settled=settled)


def _life_faults(dice: random.Random, tickets: int, seconds: float) -> Iterator[Event]:
    """Draw faults of the calls that retire contacts, bring them back and take links off."""
    for _ in range(max(6, tickets // 6)):
        kind = dice.choice(_LIFE_FAULTS)
        yield _fault(dice, seconds + LIFE_SECONDS, kind, dice.choice(_LIFE_TARGETS))
