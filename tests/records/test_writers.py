"""A table has one writer: the module that keeps its rows consistent. Read from the source.

A module writes a table that it inserts into, updates or deletes from, whose rows it makes, or whose
columns it assigns to on a row. Which table a row is of is told from the columns that a function
assigns, among the tables that its module imports.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from app.db import tables
from app.db.database import Base

APP = Path(__file__).parents[2] / "app"
COLUMNS = {
    mapper.class_.__name__: {column.key for column in mapper.column_attrs}
    for mapper in Base.registry.mappers
}
WRITERS = {
    "Absence": {"records/absences", "records/retention"},
    "AccountPolicy": {"records/policies"},
    "Audit": {"records/audit"},
    "CalloutCount": {"records/deliveries"},
    "Calls": {"outbound/usage"},
    "Delivery": {"records/deliveries", "records/retention"},
    "Due": {"due/work"},
    "Forgotten": {"records/forgotten"},
    "Gate": {"outbound/budget", "outbound/gate"},
    "KnownFact": {"records/known"},
    "Ledger": {"records/ledger"},
    "LinkRecord": {"records/links"},
    "Look": {"records/retention", "records/tickets"},
    "Loop": {"records/loops"},
    "MailboxGate": {"outbound/mailbox"},
    "Mapping": {"records/mappings"},
    "Note": {"records/notes"},
    "Participant": {"records/participants", "records/rejections"},
    "Reconciliation": {"records/reconciliation"},
    "RefusedCall": {"outbound/refusals"},
    "RetiredSecret": {"records/webhook"},
    "Slot": {"outbound/slots"},
    "Tenant": {"outbound/tenant"},
    "TicketContact": {"records/mappings"},
    "TicketRecord": {"records/tickets"},
    "Webhook": {"records/webhook"},
    "Worker": {"due/backlog"},
}
"""The module, or the package, that writes each table."""


def imported_tables(tree: ast.Module) -> dict[str, str]:
    """Return the tables' classes that a module imports, by the name that it uses."""
    return {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(tables.__name__)
        for alias in node.names
        if alias.name in COLUMNS
    }


def statements(tree: ast.Module, classes: dict[str, str]) -> Iterator[str]:
    """Yield the tables of insert(T), update(T), delete(T), of rows made by T(…), and of x.update().

    LinkRecord.update is such a method.
    """
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in classes:
            yield classes[name]
        elif name in ("insert", "update", "delete") and ast.unparse(node.args[0]) in classes:
            yield classes[ast.unparse(node.args[0])]
        elif name.endswith(".update") and not node.args and "LinkRecord" in classes:
            yield "LinkRecord"


def assignments(tree: ast.Module, classes: dict[str, str]) -> Iterator[set[str]]:
    """Yield the tables that a row may be of to whose columns a function assigns."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        assigned: dict[str, set[str]] = defaultdict(set)
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                assigned[ast.unparse(node.value)].add(node.attr)
        for row, names in assigned.items():
            if row != "self":
                yield {name for name in classes.values() if names <= COLUMNS[name]}


def modules() -> Iterator[tuple[str, ast.Module, dict[str, str]]]:
    """Yield each module of app that imports tables."""
    for path in sorted(APP.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes = imported_tables(tree)
        if classes:
            yield path.relative_to(APP).with_suffix("").as_posix(), tree, classes


def may_write(module: str, table: str) -> bool:
    """Return whether a module is a writer of a table, or is in a package that is."""
    return bool({module, module.rpartition("/")[0]} & WRITERS[table])


def test_each_table_has_its_writer() -> None:
    """A second one would have to know all that the first one takes care of."""
    wrong = {
        (module, table)
        for module, tree, classes in modules()
        for table in statements(tree, classes)
        if not may_write(module, table)
    }
    assert not wrong


def test_rows_are_changed_by_their_writer_only() -> None:
    """Assigning to a column is a write like any, though it looks like none."""
    wrong = [
        (module, candidates)
        for module, tree, classes in modules()
        for candidates in assignments(tree, classes)
        if candidates and not any(may_write(module, table) for table in candidates)
    ]
    assert not wrong


def test_every_table_is_in_the_list() -> None:
    """A new one says who writes it."""
    assert set(WRITERS) == set(COLUMNS)
