"""The caps of new people: how many are left, on which side."""

from __future__ import annotations

import pytest

from app.decide import Brought, Caps
from app.decide.policy import Side

NONE = Brought(by_sender=0, for_account=0, in_all=0)


@pytest.mark.parametrize(
    ("caps", "whose", "left"),
    [
        (Caps(20, 500), "outside", 20),
        (Caps(20, 500), "inside", 200),
        (Caps(0, 500), "outside", 0),
        (Caps(0, 0), "inside", 5),  # no stranger is wanted: that says nothing of colleagues
        (Caps(20, 3), "outside", 3),
        (Caps(1_000, 500), "outside", 250),
    ],
)
def test_how_many_may_be_brought(caps: Caps, whose: Side, left: int) -> None:
    """By the least of the three caps; of the account's own domains ten times as many."""
    assert caps.left(NONE, whose) == left


@pytest.mark.parametrize(
    ("caps", "most"),
    [
        (Caps(20, 500), 100),  # a fifth of the day
        (Caps(20, 50), 20),  # what one sender may
        (Caps(20, 30), 15),  # but half of the day at most
        (Caps(100_000, 500), 250),
        (Caps(20, 9), 9),  # too few to be shared out
        (Caps(1, 10), 2),
    ],
)
def test_one_account_does_not_use_up_the_day(caps: Caps, most: int) -> None:
    """However many of its people write, and whatever a sender may bring."""
    others = Brought(by_sender=0, for_account=0, in_all=most)
    left = [
        caps.left(Brought(by_sender=0, for_account=count, in_all=count), "outside")
        for count in (most - 1, most)
    ]
    assert [some > 0 for some in left] == [True, False]
    assert most == caps.per_day or caps.left(others, "outside") > 0


@pytest.mark.parametrize(
    ("brought", "left"),
    [
        (Brought(by_sender=20, for_account=20, in_all=20), 0),
        (Brought(by_sender=21, for_account=21, in_all=21), -1),
        (Brought(by_sender=0, for_account=99, in_all=99), 1),
        (Brought(by_sender=0, for_account=0, in_all=500), 0),
        (Brought(by_sender=19, for_account=50, in_all=499), 1),
    ],
)
def test_the_cap_that_is_closest_counts(brought: Brought, left: int) -> None:
    """Of the sender, of the account, of all."""
    assert Caps(20, 500).left(brought, "outside") == left
