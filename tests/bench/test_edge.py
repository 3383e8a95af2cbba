"""Clients without number, the short version: `python -m bench.edge` holds ten thousand."""

from __future__ import annotations

import pytest

from bench import edge

pytestmark = pytest.mark.process


@pytest.mark.parametrize("descriptors", [None, 170])
def test_whoever_else_comes_callouts_are_accepted(
    monkeypatch: pytest.MonkeyPatch, descriptors: int | None
) -> None:
    """All kinds of clients, also where few descriptors are left for them."""
    monkeypatch.setattr(edge, "SECONDS", 5.0)  # a test has no machine of its own
    ran = edge.run(clients=1000, at_once=100, seconds=0.5, descriptors=descriptors)
    assert list(ran.violations()) == []
    assert len(ran.callouts.answers) > 20
