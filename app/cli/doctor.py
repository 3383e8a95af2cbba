"""The command `doctor`: each finding as a line with its cure, or all of them as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from app.cli.common import database, printable, read_settings, run
from app.ops.doctor import Finding, State, examine
from app.settings.environment import SettingsError
from app.settings.settings import Settings

_MARKS = {State.OK: "ok", State.WARNING: "!", State.PROBLEM: "x", State.SKIPPED: "-"}


def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check the deployment and name the cures; nothing is written to Autotask.

    Exit code 1: something is wrong.
    """
    try:
        settings = read_settings(context)
    except SettingsError as error:
        raise typer.Exit(refuse_settings(error, as_json=as_json)) from None
    with database(settings) as url:
        raise typer.Exit(run_doctor(settings, url, as_json=as_json))


def run_doctor(settings: Settings, url: str, *, as_json: bool) -> int:
    """Examine the deployment and print the findings; return 1 if there is a problem, else 0."""
    return run(_examine(settings, url, as_json=as_json))


def refuse_settings(error: SettingsError, *, as_json: bool) -> int:
    """Print what is wrong with the settings, without which nothing can be examined; return 1."""
    lines = str(error).splitlines()[1:] or [str(error)]
    cure = "docs/configuration.md says what each setting takes; then run the doctor again."
    findings = [Finding("settings", State.PROBLEM, line.strip(), cure) for line in lines]
    if not as_json:
        for finding in findings:
            _show(finding)
    return _conclude(findings, as_json=as_json)


async def _examine(settings: Settings, url: str, *, as_json: bool) -> int:
    findings = []
    async for finding in examine(settings, url):
        findings.append(finding)
        if not as_json:
            _show(finding)
    return _conclude(findings, as_json=as_json)


def _conclude(findings: Sequence[Finding], *, as_json: bool) -> int:
    """Print the counts, as JSON with all findings; return the exit code."""
    counts = {state: sum(finding.state is state for finding in findings) for state in State}
    if as_json:
        summary = {state.value: count for state, count in counts.items()}
        document = {"findings": [asdict(finding) for finding in findings], "summary": summary}
        typer.echo(json.dumps(document, indent=2))
    else:
        typer.echo(_summary(counts))
    return 1 if counts[State.PROBLEM] else 0


def _show(finding: Finding) -> None:
    # Parts of it are from outside: a field's name, an error's text.
    typer.echo(f"{_MARKS[finding.state]:>2}  {finding.code}: {printable(finding.found)}")
    if finding.cure:
        typer.echo(f"      {printable(finding.cure)}")


def _summary(counts: Mapping[State, int]) -> str:
    words = {
        State.OK: "ok",
        State.WARNING: "warnings",
        State.PROBLEM: "wrong",
        State.SKIPPED: "not checked",
    }
    return "; ".join(f"{counts[state]} {word}" for state, word in words.items()) + "."
