"""The rules of the house that no linter knows, read from the source.

Who may import from where is held by the contracts in pyproject.toml, which `make lint` checks.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

WRITES_SQL = {"db", "due", "outbound", "records"}
READS_SQL = {"ops", "web"}  # lists, counts and checks, with queries of their own
DRIVERS = {"db"}  # psycopg itself: its errors, and the embedded server's first steps
# db/embedded/files.py: XDG_DATA_HOME, a user's own
READS_ENVIRONMENT = {"app/settings/environment.py", "app/db/embedded/files.py"}
FILE_LINES, FUNCTION_LINES, MEDIAN_LINES = 300, 40, 110

# Tests of a whole package, or of one behaviour that several of its modules make together.
OF_A_PACKAGE = {
    "cli/test_cli",
    "db/test_migrations",
    "due/test_leases",
    "looks/test_approvals",
    "looks/test_observe",
    "looks/test_polic",
    "mail/test_corpus",
    "ops/doctor/test_doctor",
    "ops/webhook/test_updates",
    "outbound/test_pace",
    "records/test_writers",
    "records/ledger/test_states",
    "sources/test_attacks",
    "sources/test_end_to_end",
    "sources/test_sources",
    "web/admin/test_keys_and_problems",
    "web/admin/test_schema",
    "web/test_webhook_updates",
}
NO_MIRROR = {"acceptance", "bench", "house", "sandbox"}


def sources(package: str) -> list[Path]:
    """Return a package's files."""
    found = sorted((ROOT / package).rglob("*.py"))
    assert len(found) > 2
    return found


def package_of(path: Path) -> str:
    """Return the name directly in app/ that a file is part of."""
    return path.relative_to(ROOT).with_suffix("").parts[1]


@functools.cache
def parse(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of each import: `from a import b` is a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "Import by the whole name, as everywhere else."
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def at(path: Path, line: int) -> str:
    """Return a place as an editor opens it."""
    return f"{path.relative_to(ROOT)}:{line}"


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield all functions, methods and those inside others."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_only_packages_stand_in_app() -> None:
    """Each package answers one question; what all of them need are two files."""
    files = {path.name for path in (ROOT / "app").glob("*.py")}
    assert files == {"__init__.py", "__main__.py", "services.py"}
    packages = {path.parent.name for path in (ROOT / "app").glob("*/__init__.py")}
    text = (ROOT / "app/__init__.py").read_text()
    assert {name for name in packages if f"\n    {name}/ " not in text} == set()
    assert len(files) + len(packages) <= 20


def test_sql_stands_in_its_packages() -> None:
    """Statements that write stand in four packages, statements that read in two more."""
    wrong = []
    for path in sources("app"):
        allowed = {"select", "text"} if package_of(path) in READS_SQL else set()
        if package_of(path) in WRITES_SQL:
            allowed = {"select", "text", "insert", "update", "delete"}
        for line, name in imported(parse(path)):
            package, _, last = name.rpartition(".")
            statement = last in ("select", "insert", "update", "delete", "text")
            if package.startswith("sqlalchemy") and statement and last not in allowed:
                wrong.append(at(path, line))
            if name.split(".")[0] == "psycopg" and package_of(path) not in DRIVERS:
                wrong.append(at(path, line))
    assert not wrong, (
        f"Put the statement into the module of app/records that owns its table: {wrong}"
    )


def test_the_environment_is_read_in_one_place() -> None:
    """Only the settings know the environment."""
    names = ("environ", "environb", "getenv")
    wrong = [
        at(path, node.lineno)
        for path in sources("app")
        if path.relative_to(ROOT).as_posix() not in READS_ENVIRONMENT
        for node in ast.walk(parse(path))
        if (isinstance(node, ast.Attribute) and node.attr in names)
        or (isinstance(node, ast.alias) and node.name in names)
    ]
    assert not wrong, f"Make it a setting in app/settings/settings.py: {wrong}"


def test_imports_stand_at_the_top() -> None:
    """An import inside a function hides an arrow; the command line may, to start fast."""
    wrong = [
        at(path, node.lineno)
        for path in sources("app")
        if package_of(path) != "cli"
        for function in functions(parse(path))
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not wrong, f"Move the import to the top of the file: {wrong}"


@pytest.mark.parametrize("path", sources("app"), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_read_at_a_time_is_short(path: Path) -> None:
    """A file has at most 300 lines, a function 40 with its signature and docstring."""
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= FILE_LINES, f"{lines} lines: split it where its names suggest."
    for function in functions(parse(path)):
        length = (function.end_lineno or 0) - function.lineno + 1
        assert length <= FUNCTION_LINES, f"{function.name}: {length} lines: name a part of it."


def test_most_files_are_shorter_than_that() -> None:
    """Half of them have 110 lines or fewer."""
    lengths = sorted(len(path.read_text().splitlines()) for path in sources("app"))
    assert lengths[len(lengths) // 2] <= MEDIAN_LINES


def test_tests_that_start_processes_are_marked() -> None:
    """`make check` leaves them out."""
    wrong = [
        at(path, line)
        for path in sources("tests")
        for line, name in imported(parse(path))
        if path.stem.startswith("test_")
        and (name == "subprocess" or name.startswith("tests.support.processes"))
        and "pytest.mark.process" not in path.read_text(encoding="utf-8")
    ]
    assert not wrong, f"Mark the test, or the file, with pytest.mark.process: {wrong}"


def test_only_the_command_line_prints() -> None:
    """Everything else logs."""
    wrong = [
        at(path, node.lineno)
        for path in sources("app")
        if package_of(path) != "cli"
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Name | ast.Attribute)
        and ast.unparse(node) in ("print", "sys.stdout", "typer.echo")
    ]
    assert not wrong, f"Log it with structlog: {wrong}"


def test_tests_mirror_the_code() -> None:
    """A test of a module stands in the same folder below tests/, and begins with its name."""
    wrong = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        name = path.relative_to(ROOT / "tests").with_suffix("").as_posix()
        folder = ROOT / "app" / Path(name).parent
        if name.split("/")[0] in NO_MIRROR or name.startswith(tuple(OF_A_PACKAGE)):
            continue
        modules = [one.stem for one in folder.glob("*")] if "/" in name else []
        subject = path.stem.removeprefix("test_")
        if not any(subject == one or subject.startswith(f"{one}_") for one in modules):
            wrong.append(name)
    assert not wrong, f"Name it after the module that it tests: {wrong}"


def test_files_that_are_named_exist() -> None:
    """In documents, docstrings and comments."""
    pages = [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "bench").glob("*.md")]
    code = [path for name in ("app", "bench", "sandbox", "tests") for path in sources(name)]
    wrong = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in pages + code
        for name in re.findall(
            r"\b(?:app|bench|docs|migrations|sandbox|tests)/[\w/-]+\.(?:py|md)\b",
            path.read_text(encoding="utf-8"),
        )
        if not (ROOT / name).exists()
    }
    assert not wrong
