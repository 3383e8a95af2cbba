"""What a check found, and what is to be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # it works, and may not for long, or not for everybody
    PROBLEM = "problem"
    SKIPPED = "skipped"  # it could not be seen from here, or is not used


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. cure: what to do about it, or where else to look; may be empty."""

    code: str
    state: State
    found: str
    cure: str = ""


class Skip(Exception):
    """A check cannot be made; its text says why."""


def ok(code: str, found: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(code, State.OK, found)


def warning(code: str, found: str, cure: str) -> Finding:
    """Say that something should be seen to."""
    return Finding(code, State.WARNING, found, cure)


def problem(code: str, found: str, cure: str) -> Finding:
    """Say that something is wrong."""
    return Finding(code, State.PROBLEM, found, cure)


def skipped(code: str, why: str, where: str = "") -> Finding:
    """Say that something was not looked at, why, and where a person can see it."""
    return Finding(code, State.SKIPPED, why, where)
