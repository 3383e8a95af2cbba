"""The command `doctor`: each finding as a line with its cure, or all of them as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

import typer

from app.autotask.protocol import printable
from app.ops.doctor import Finding, State, examine
from app.settings.environment import SettingsError
from app.settings.settings import Settings

_MARKS = {State.OK: "ok", State.WARNING: "!", State.PROBLEM: "x", State.SKIPPED: "-"}


def run_doctor(settings: Settings, url: str, *, as_json: bool) -> int:
    """Examine the deployment and say what was found; 1 if there is a problem, else 0."""
    return asyncio.run(_run(settings, url, as_json=as_json))


def refuse_settings(error: SettingsError, *, as_json: bool) -> int:
    """Say what is wrong with the settings, without which nothing can be examined; gives 1."""
    lines = str(error).splitlines()[1:] or [str(error)]
    cure = "docs/configuration.md says what each setting takes; then run the doctor again."
    found = [Finding("settings", State.PROBLEM, line.strip(), cure) for line in lines]
    return _conclude(found, as_json=as_json, shown=False)


async def _run(settings: Settings, url: str, *, as_json: bool) -> int:
    found = []
    async for finding in examine(settings, url):
        found.append(finding)
        if not as_json:
            _show(finding)
    return _conclude(found, as_json=as_json, shown=not as_json)


def _conclude(found: Sequence[Finding], *, as_json: bool, shown: bool) -> int:
    """Say what is not said yet, and the sum; gives the exit code."""
    counts = {state: sum(one.state is state for one in found) for state in State}
    if as_json:
        summary = {state.value: count for state, count in counts.items()}
        document = {"findings": [asdict(one) for one in found], "summary": summary}
        typer.echo(json.dumps(document, indent=2))
    else:
        for finding in () if shown else found:
            _show(finding)
        typer.echo(_sum(counts.items()))
    return 1 if counts[State.PROBLEM] else 0


def _show(one: Finding) -> None:
    # What others have written comes through here: a field's name, an error's text.
    typer.echo(f"{_MARKS[one.state]:>2}  {one.code}: {printable(one.found)}")
    if one.cure:
        typer.echo(f"      {printable(one.cure)}")


def _sum(counts: Iterable[tuple[State, int]]) -> str:
    words = {
        State.OK: "in order",
        State.WARNING: "to be seen to",
        State.PROBLEM: "wrong",
        State.SKIPPED: "not seen from here",
    }
    return "; ".join(f"{count} {words[state]}" for state, count in counts) + "."
