"""Pauses: later each time, never twice within five seconds, at most 60 calls an hour."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.db.states import PLANNED, WaitsFor
from app.decide.waiting import SHORTEST, TEN, Waiting, next_look, pause

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def test_pauses_grow_to_a_quarter_of_an_hour() -> None:
    """The first is as short as another ticket's request takes."""
    pauses = [pause(tries).total_seconds() for tries in range(1, 9)]
    assert pauses == [2, 6, 18, 54, 162, 486, 900, 900]


@given(st.integers(1, 300))
def test_an_hour_in_vain_costs_at_most_60_calls(calls: int) -> None:
    """However many a look makes, a few dear ones apart."""
    passed, looks, tries = timedelta(0), 0, 0
    while passed < HOUR:
        looks, tries = looks + 1, tries + 1
        passed += pause(tries, calls)
    assert looks * calls <= 60 or looks <= 3


@given(
    st.lists(st.sampled_from([one for one in WaitsFor if one not in PLANNED]), min_size=2),
    st.integers(0, 3),
    st.one_of(st.none(), st.integers(-5, 400)),
    st.one_of(st.none(), st.integers(-5, 400)),
)
def test_never_twice_within_five_seconds(
    causes: list[WaitsFor], before: int, until: int | None, ends: int | None
) -> None:
    """Whatever it waits for, by turns too, and whatever times others tell."""
    pauses = [
        next_look(
            NOON,
            before + tries,
            Waiting(
                cause,
                None if until is None else NOON + until * SECOND,
                None if ends is None else NOON + ends * SECOND,
            ),
        )
        - NOON
        for tries, cause in enumerate(causes, start=1)
    ]
    assert min(pauses) >= timedelta(0)
    assert all(max(pair) >= SHORTEST for pair in itertools.pairwise(pauses))


@pytest.mark.parametrize("cause", PLANNED)
def test_a_planned_time_is_kept(cause: WaitsFor) -> None:
    """However often the ticket was looked at in vain before."""
    assert next_look(NOON, 30, Waiting(cause, NOON + SECOND)) == NOON + SECOND


@pytest.mark.parametrize("seconds", [1, 17, 3600])
def test_a_time_that_was_asked_for_is_kept_the_first_time(seconds: int) -> None:
    """Then it is the least."""
    waiting = Waiting(WaitsFor.MAILBOX, NOON + seconds * SECOND)
    assert next_look(NOON, 1, waiting) == NOON + seconds * SECOND
    assert next_look(NOON, 5, waiting) == NOON + max(seconds, 162) * SECOND


def test_a_certain_end_is_waited_for_exactly_ten_times() -> None:
    """Then it has proved to be none."""
    waiting = Waiting(WaitsFor.REQUEST, NOON + SECOND, NOON + 100 * SECOND)
    assert next_look(NOON, TEN, waiting) == NOON + 100 * SECOND
    assert next_look(NOON, TEN + 1, waiting) == NOON + 900 * SECOND
    near = Waiting(WaitsFor.REQUEST, NOON + SECOND, NOON + 2 * SECOND)
    assert next_look(NOON, 4, near) == NOON + SHORTEST
