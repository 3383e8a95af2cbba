"""Reasons in words."""

from __future__ import annotations

from app.decide import Reason
from app.decide.words import WHY, why


def test_every_reason_has_words() -> None:
    """Notes, `watch` and pages explain each decision."""
    assert set(WHY) == set(Reason)


def test_a_reason_of_another_version_is_shown_by_its_name() -> None:
    """Rows stay when a version is rolled back."""
    assert why("over_the_moon") == "over the moon"
