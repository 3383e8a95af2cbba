"""Cells of a CSV file that no spreadsheet takes for a formula. Pure."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")


def safe_cell(text: str) -> str:
    """Put an apostrophe before a cell that a spreadsheet would execute; plain_cell removes it."""
    # Before what looks like that already, too, or it could not be told apart.
    return f"'{text}" if _FORMULA.match(text) else text


def plain_cell(cell: str) -> str:
    """Undo safe_cell, and nothing else."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
