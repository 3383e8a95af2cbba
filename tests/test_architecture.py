"""The rules of the house, read from the source: who imports whom, and what stands where."""

from __future__ import annotations

import ast
import functools
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# The rows of app/__init__.py, top to bottom: a module imports from its own row or from rows below.
ROWS = [
    "__main__ cli running show report demo double worker main undo_command reconcile_command"
    " webhook_command doctor_command watch_command contacts_command",
    "doctor watch webhooks admin health mapping_files auth views pages problems",
    "inbox",
    "chores look preview backtest undo reconcile retention webhook_care follow retire moves merges"
    " loops",
    "sources facts act writes known notes unlinking restoring",
    "desk us holding",
    "watermark tickets participants judging mappings ledger note_ledger traces policies audit"
    " forgetting lifetimes loop_records",
    "budget gate directory tenant mailbox",
    "work backlog",
    "environment settings setting_types note_text models states db keys log errors",
    "messages header_blocks html_lines mail_files",
    "policy decide addresses names address_tokens header_text csv_cells touched ending stems",
    "autotask graph",
    "embedded embedded_files",
    "__init__",
]
ROW_OF = {name: number for number, row in enumerate(ROWS) for name in row.split()}

# Each table's statements stand in one module; the admin API and health may read with their own.
SQL_ROOMS = set(
    "models db work backlog watermark retention webhook_care doctor watch gate budget tenant"
    " mailbox ledger note_ledger traces mappings participants judging tickets policies inbox admin"
    " health forgetting lifetimes loop_records".split()
)
STATEMENTS = {"select", "insert", "update", "delete", "text"}
DRIVERS = {"db", "embedded"}  # psycopg itself: its errors; the embedded server's first steps
READS_ENVIRONMENT = {"environment", "embedded_files"}  # embedded_files: XDG_DATA_HOME, a user's own
IMPORTS_LATE = {"cli"}  # the demo and the sandbox are loaded by their own commands only
SPEAKS = {"cli", "demo", "double", "report", "show"} | {
    f"{name}_command" for name in ("undo", "reconcile", "webhook", "doctor", "watch", "contacts")
}
FILE_LINES, FUNCTION_LINES = 300, 40


def sources(package: str) -> list[Path]:
    """List a package's files."""
    found = sorted((ROOT / package).rglob("*.py"))
    assert len(found) > 2
    return found


def module_of(path: Path) -> str:
    """Name a module of ours by its row's word: all of a package, as app/autotask, is one."""
    return path.relative_to(ROOT).with_suffix("").parts[1]


@functools.cache
def parse(path: Path) -> ast.Module:
    """Read a file's syntax."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Give line and dotted name of whatever is imported: `from a import b` is a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "Import by the whole name, as everywhere else."
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def imports_of_app(path: Path) -> Iterator[tuple[int, str]]:
    """Give line and row word of each import from app."""
    for line, name in imported(parse(path)):
        parts = name.split(".")
        if parts[0] == "app":
            yield line, parts[1] if parts[1] in ROW_OF else "__init__"


def at(path: Path, line: int) -> str:
    """Name a place."""
    return f"{path.relative_to(ROOT)}:{line}"


@pytest.mark.parametrize("client", ["autotask", "graph"])
def test_the_client_of_another_system_stands_alone(client: str) -> None:
    """It could be a library: it imports nothing of ours but itself."""
    wrong = [
        at(path, line)
        for path in sources(f"app/{client}")
        for line, name in imported(parse(path))
        if name.startswith(("app.", "sandbox", "tests")) and not name.startswith(f"app.{client}.")
    ]
    assert not wrong, f"Hand it over as an argument instead of importing it: {wrong}"


def test_the_sandbox_knows_nothing_of_the_product() -> None:
    """A double that shares code with the product would share its mistakes."""
    wrong = [
        at(path, line)
        for path in sources("sandbox")
        for line, name in imported(parse(path))
        if name.split(".")[0] in ("app", "tests")
    ]
    assert not wrong, f"The sandbox imports nothing of app: write it anew there: {wrong}"


def test_only_the_demo_knows_the_sandbox() -> None:
    """What runs in production does not load the double."""
    wrong = [
        at(path, line)
        for path in sources("app")
        for line, name in imported(parse(path))
        if name.split(".")[0] in ("sandbox", "tests")
        and module_of(path) not in ("cli", "demo", "double")
    ]
    assert not wrong, f"Only the demo and its command may import the sandbox: {wrong}"


def test_every_module_stands_in_one_row() -> None:
    """A new module is placed before it is used."""
    placed = [name for row in ROWS for name in row.split()]
    assert len(placed) == len(set(placed)), "A module stands in one row only."
    there = {module_of(path) for path in sources("app")}
    assert there == set(placed), f"Place in ROWS and in app/__init__.py: {there ^ set(placed)}"


def test_arrows_point_down() -> None:
    """A module imports from its own row or from rows below, and no two import each other."""
    edges: dict[str, set[str]] = {}
    wrong = []
    for path in sources("app"):
        module = module_of(path)
        for line, target in imports_of_app(path):
            if target != module:
                edges.setdefault(module, set()).add(target)
            if ROW_OF[target] < ROW_OF[module]:
                wrong.append(f"{at(path, line)} imports {target}")
    assert not wrong, f"Move what is needed down, or hand it over as an argument: {wrong}"
    assert list(graphlib.TopologicalSorter(edges).static_order())


def test_sql_stands_in_its_rooms() -> None:
    """Statements are imported only where a table's SQL belongs, and drivers where they must be."""
    wrong = []
    for path in sources("app"):
        module = module_of(path)
        for line, name in imported(parse(path)):
            package, _, last = name.rpartition(".")
            statement = package.startswith("sqlalchemy") and last in STATEMENTS
            if (statement or name == "sqlalchemy") and module not in SQL_ROOMS:
                wrong.append(at(path, line))
            if name.split(".")[0] == "psycopg" and module not in DRIVERS:
                wrong.append(at(path, line))
    assert not wrong, f"Put the statement into the module that owns its table: {wrong}"


def test_the_environment_is_read_in_one_place() -> None:
    """Nobody but the settings knows the environment."""
    wrong = [
        at(path, node.lineno)
        for path in sources("app")
        if module_of(path) not in READS_ENVIRONMENT
        for node in ast.walk(parse(path))
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv"))
        or (isinstance(node, ast.ImportFrom) and node.module == "dotenv")
        or (isinstance(node, ast.alias) and node.name in ("environ", "environb", "getenv"))
    ]
    assert not wrong, f"Make it a setting in app/settings.py: {wrong}"


def test_imports_stand_at_the_top() -> None:
    """An import inside a function hides an arrow."""
    wrong = [
        at(path, node.lineno)
        for path in sources("app")
        if module_of(path) not in IMPORTS_LATE
        for function in functions(parse(path))
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not wrong, f"Move the import to the top of the file: {wrong}"
    late = {
        name
        for path in sources("app/cli")
        for function in functions(parse(path))
        for _, name in imported(function)
    }
    assert late == {"app.demo.run_demo", "app.double.run_sandbox"}, "Only the demo is loaded late."


@pytest.mark.parametrize("path", sources("app"), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_read_at_a_time_is_short(path: Path) -> None:
    """A file has at most 300 lines, a function 40 without its docstring."""
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= FILE_LINES, f"{lines} lines: make it a package of the same name, or split it."
    for function in functions(parse(path)):
        body = function.body[1:] if ast.get_docstring(function) else function.body
        length = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
        assert length <= FUNCTION_LINES, f"{function.name}: {length} lines: name a part of it."


def test_what_is_said_is_logged() -> None:
    """Only the command line, what it shows and the demo write to standard output."""
    wrong = [
        at(path, node.lineno)
        for path in sources("app")
        if module_of(path) not in SPEAKS
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Name | ast.Attribute)
        and ast.unparse(node) in ("print", "sys.stdout", "typer.echo")
    ]
    assert not wrong, f"Log it with structlog: {wrong}"


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Give all functions, methods and those inside others."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
