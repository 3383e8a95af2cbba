"""What `python -m bench.beside` calls slow; it takes minutes itself."""

from __future__ import annotations

import pytest

from bench.beside import TROUBLES, is_slow


@pytest.mark.parametrize(
    ("alone", "beside", "slow"),
    [
        ([1.0, 1.0], [1.0, 1.0], False),
        ([1.0, 1.0], [1.4, 1.5], False),
        ([1.0, 1.0], [1.0, 2.2], True),
        ([0.1, 0.1], [0.3, 0.3], False),  # less than chance
        ([4.0, 4.0], [60.0, 4.0], True),
        ([4.0, 4.0], [1.0, 1.0], False),
    ],
)
def test_what_is_slow(alone: list[float], beside: list[float], slow: bool) -> None:
    """Half as much again, and more than chance."""
    assert is_slow(alone, beside) is slow


def test_each_trouble_has_a_name() -> None:
    """It is a line of the table."""
    assert len({trouble.name for trouble in TROUBLES}) == len(TROUBLES) == 3
