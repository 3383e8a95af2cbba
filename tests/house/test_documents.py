"""The documents name commands, options, files, functions and headings that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from app.cli import cli

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "bench/README.md"])
BY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def code_of(page: Path) -> Iterator[str]:
    """Yield the lines of a page's code blocks, without comments, and what stands in backticks."""
    fenced = False
    for line in page.read_text(encoding="utf-8").splitlines():
        fenced ^= line.startswith("```")
        if fenced or line.startswith("    "):
            yield line.split(" #")[0].strip()
        else:
            yield from re.findall(r"`([^`]+)`", line)


def resolve(words: list[str]) -> Any:
    """Return the command that these words name; None if there is none."""
    command: Any = typer.main.get_command(cli)
    while hasattr(command, "resolve_command") and words and re.match(r"[a-z]", words[0]):
        context = command.make_context("autotask-cc", [], resilient_parsing=True)
        _, command, words = command.resolve_command(context, words)
    return command


def options_of(command: Any) -> set[str]:
    """Return a command's options as they are typed."""
    names = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    return names | {"--help", "-h"}


@BY_PAGE
def test_a_make_target_that_is_named_exists(page: Path) -> None:
    """`make demo ARGS=--keep`, and its like."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = {name for code in code_of(page) for name in re.findall(r"\bmake ([a-z]+)", code)}
    assert named - set(targets) == set()


@BY_PAGE
def test_a_command_that_is_named_exists_with_its_options(page: Path) -> None:
    """`autotask-cc webhook install`, and its like."""
    wrong = []
    for code in code_of(page):
        for line in re.findall(r"(?<!')autotask-cc ([a-z-][^|;&]*)", code):
            words = line.split()
            command = resolve(words)
            options = {word.split("=")[0] for word in words if word.startswith("--")}
            if command is None or options - options_of(command):
                wrong.append(line)
    assert wrong == []


def test_the_readme_names_every_command_that_it_is_for() -> None:
    """All but those that try the product out, which make runs, are in its lists."""
    commands = set(typer.main.get_command(cli).list_commands(None))  # type: ignore[attr-defined]
    named = set(re.findall(r"autotask-cc ([a-z]+)", (ROOT / "README.md").read_text()))
    assert commands - named == {"demo", "sandbox"}


def test_the_hooks_and_the_workflow_run_what_a_contributor_runs() -> None:
    """The hooks run make, the workflow .ci/run, which runs make."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert all(hook["entry"].removeprefix("make ") in targets for hook in hooks)
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert [step["run"] for step in jobs["check"]["steps"] if "run" in step] == [".ci/run"]
    assert set(re.findall(r"^make (\w+)", (ROOT / ".ci/run").read_text(), re.M)) == {"lint", "test"}


@BY_PAGE
def test_a_link_leads_somewhere(page: Path) -> None:
    """To a file that exists, and to a heading of that page."""
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)\s]+)\)", text):
        path, _, heading = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), target
        assert not heading or heading in headings_of(other), target


def headings_of(page: Path) -> set[str]:
    """Return a page's headings as GitHub names them in links."""
    return {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("#")
    }


def test_the_tour_names_files_and_functions_that_exist() -> None:
    """docs/how-a-ticket-goes.md is read beside the code."""
    tour = (ROOT / "docs/how-a-ticket-goes.md").read_text(encoding="utf-8")
    names = re.findall(r"`([\w/]+\.py)`(?:: `(\w+)`)?", tour)
    assert len(names) > 30
    wrong = []
    for name, function in names:
        path = ROOT / "app" / name if (ROOT / "app" / name).exists() else ROOT / name
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if not text or (function and not re.search(rf"(def|class) {function}\b", text)):
            wrong.append(f"{name}: {function}")
    assert wrong == []


@BY_PAGE
def test_prose_is_plain(page: Path) -> None:
    """A noun before every relative clause."""
    if page.name != "configuration.md":  # written from the settings
        words = re.findall(r"\b(?:whom|whoever)\b", page.read_text(encoding="utf-8"), re.IGNORECASE)
        assert words == []
