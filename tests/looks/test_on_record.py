"""The facts of a look: one holder that a reader can print."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from app.decide import Facts
from app.looks.on_record import Gathered


def depth(holder: Any) -> int:
    """Return how many holders lie in each other."""
    inner = [hint for hint in get_type_hints(holder).values() if is_dataclass(hint)]
    return 1 + max(map(depth, inner), default=0)


def test_the_facts_lie_flat() -> None:
    """`gathered.policy.inside` is the deepest that a reader has to go."""
    assert depth(Gathered) <= 2


def test_no_fact_is_held_twice() -> None:
    """What a decision is made on is part of what was gathered, not a copy of it."""
    names = [field.name for field in fields(Gathered)]
    assert issubclass(Gathered, Facts)
    assert len(names) == len(set(names))
