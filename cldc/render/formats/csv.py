"""CSV for spreadsheets."""

from __future__ import annotations

import csv
import io

from cldc.render.document import Document
from cldc.text import printable

# A spreadsheet interprets a cell that begins so as a formula.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def render(document: Document) -> str:
    """The document's rows, headers first."""
    assert document.rows is not None  # noqa: S101 - only commands whose documents have them offer the format
    held = io.StringIO()
    writer = csv.writer(held, lineterminator="\n")
    writer.writerows([_cell(value) for value in row] for row in document.rows())
    return held.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str):
        value = printable(value)
        return f"'{value}" if value.startswith(_FORMULAS) else value
    return value
