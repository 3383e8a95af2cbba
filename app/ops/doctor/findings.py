"""What a check found, and the cure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How severe a finding is."""

    OK = "ok"
    WARNING = "warning"  # it works, but perhaps not for long, or not for all people
    PROBLEM = "problem"
    SKIPPED = "skipped"  # it cannot be seen from here, or is not used


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    code: str
    state: State
    found: str
    cure: str = ""
    """What to do, or where else to look."""


class Skip(Exception):
    """A check cannot be made. The text is the reason."""


def ok(code: str, found: str) -> Finding:
    """Return that all is well."""
    return Finding(code, State.OK, found)


def warning(code: str, found: str, cure: str) -> Finding:
    """Return that something needs attention."""
    return Finding(code, State.WARNING, found, cure)


def problem(code: str, found: str, cure: str) -> Finding:
    """Return that something is wrong."""
    return Finding(code, State.PROBLEM, found, cure)


def skipped(code: str, why: str, where: str = "") -> Finding:
    """Return that something was not checked, why, and where a person can check it."""
    return Finding(code, State.SKIPPED, why, where)
