"""The pages for operators name what the code can say; a new message wants its line there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from app.ops.checks.problem import CURES

ROOT = Path(__file__).parents[2]
OPERATING = (ROOT / "docs/operating.md").read_text()
APP = {
    path.relative_to(ROOT / "app").as_posix(): path.read_text()
    for path in (ROOT / "app").rglob("*.py")
}
LOGGED = r"""log(?:ger\(\))?\.(?:info|warning|error|critical|exception)\(\s*"(\w+)"""


def test_operating_explains_every_event_of_the_log() -> None:
    """Found in the code by the calls that write them."""
    events = {event for text in APP.values() for event in re.findall(LOGGED, text)}
    assert len(events) > 20
    assert {event for event in events if f"`{event}`" not in OPERATING} == set()


RECORDERS = ("record", "audit_by_service")


def recorded(text: str) -> Iterator[str]:
    """Yield the names that a module records: the third argument of a call of `record`.

    Where that is the variable `what`, the names are its values: assigned, passed on, or default.
    """
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(args=[_, _, value, *_]) if ast.unparse(node.func).endswith(RECORDERS):
                named = strings(value) or ast.unparse(value) == "what"
                assert named or ast.unparse(node.func) != "audit.record", ast.unparse(node)
                values = [value]
            case ast.keyword(arg="what", value=value):
                values = [value]
            case ast.Assign(targets=[ast.Name(id="what")], value=value):
                values = [value]
            case ast.arguments(args=arguments, defaults=defaults):
                pairs = zip(arguments[::-1], defaults[::-1], strict=False)
                values = [default for argument, default in pairs if argument.arg == "what"]
            case _:
                values = []
        yield from (name for value in values for name in strings(value) if "_" in name)


def strings(node: ast.expr) -> list[str]:
    """Return a literal, or the two that a condition chooses from."""
    if isinstance(node, ast.IfExp):
        return strings(node.body) + strings(node.orelse)
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def test_operating_explains_every_change_that_is_recorded() -> None:
    """What GET /admin/audit calls it, and the log, too."""
    changes = {name for text in APP.values() for name in recorded(text)}
    assert len(changes) > 10
    assert {"undo_unlink", "loop_unlink", "contact_retiring", "contact_kept"} <= changes
    assert {name for name in changes if f"`{name}`" not in OPERATING} == set()


def test_operating_explains_every_code_of_health() -> None:
    """Those of the gate come from the budget."""
    texts = [text for name, text in APP.items() if name.startswith("ops/checks")]
    codes = {code for text in texts for code in re.findall(r'code="(\w+)"', text)} | set(CURES)
    assert len(codes) > 6
    assert {code for code in codes if f"| `{code}` |" not in OPERATING} == set()


def test_operating_explains_every_message_about_a_setting() -> None:
    """Word for word, as far as it stands in one string of the code."""
    texts = [text for name, text in APP.items() if name.startswith("settings")]
    messages = {one for text in texts for one in re.findall(r'ValueError\(\s*f?"([^"{]+)', text)}
    assert len(messages) > 12
    flat = OPERATING.replace("\\|", "|")
    assert {one for one in messages if one.split(", or a")[0].strip() not in flat} == set()


def test_operating_explains_what_a_request_can_be_answered() -> None:
    """Up to the first thing that differs from case to case."""
    messages = {
        one.rstrip("`/ ")
        for text in APP.values()
        for one in re.findall(r'Problem\(\s*\d+,\s*f?"([^"{]+)', text)
    }
    assert len(messages) > 12
    assert {one for one in messages if " ".join(one.split()[:3]) not in OPERATING} == set()
