"""The table of the ledger's states says which function moves a row where, and no other does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from app.db.states import LedgerState
from app.records import ledger

APP = Path(__file__).parents[3] / "app"
LEDGER = APP / "records/ledger"


def table() -> Iterator[tuple[str, str, set[str]]]:
    """Yield the state, the function, and the states before of each line of the table."""
    state = ""
    for line in (ledger.__doc__ or "").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 4 and cells[2] != "moved there by" and "." in cells[2]:
            state = cells[0] or state
            yield state, cells[2], {one.strip() for one in cells[3].split(",")}


def moves(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the state and the function of each place in a module that sets a row's state."""
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            values = [value for node in ast.walk(function) for value in state_values(node)]
            for name in (name for value in values for name in ast.walk(value)):
                if isinstance(name, ast.Attribute) and name.attr in LedgerState.__members__:
                    yield LedgerState[name.attr].value, f"{path.stem}.{function.name}"


def state_values(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what is assigned to `state` or `….state`, or given as `state=`."""
    if isinstance(node, ast.keyword) and node.arg == "state":
        yield node.value
    if isinstance(node, ast.Assign):
        names = [name for target in node.targets for name in ast.walk(target)]
        if any(
            (isinstance(name, ast.Attribute) and name.attr == "state")
            or (isinstance(name, ast.Name) and name.id == "state")
            for name in names
        ):
            yield node.value


def test_each_move_is_in_the_table() -> None:
    """And each line of the table is in the source."""
    written = {move for path in LEDGER.glob("*.py") for move in moves(path)}
    assert written == {(state, function) for state, function, _ in table()}


def test_the_table_has_each_state() -> None:
    """As a state that is reached, and only known ones as states before."""
    known = {state.value for state in LedgerState}
    assert {state for state, _, _ in table()} == known
    before = {one for _, _, states in table() for one in states}
    assert before - known == {"a new row"}


def test_no_other_module_writes_the_ledger() -> None:
    """Neither by a statement nor by an attribute of a row that it has read."""
    columns = {"end_why", "end_at", "kept", "needed_at", "unsure_until", "freed_at"}
    wrong = []
    for path in APP.rglob("*.py"):
        if path.parent == LEDGER:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "insert",
                "update",
                "delete",
                "Ledger",
            ):
                of = ast.unparse(node.args[0]) if node.args else ast.unparse(node.func)
                wrong += [path.name] if of == "Ledger" else []
            if isinstance(node, ast.Assign):
                targets = [name for target in node.targets for name in ast.walk(target)]
                wrong += [
                    f"{path.name}: {name.attr}"
                    for name in targets
                    if isinstance(name, ast.Attribute) and name.attr in columns
                ]
    assert wrong == []
