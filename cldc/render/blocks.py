"""Results for people: lines and tables, which each format escapes and shows in its own way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from cldc.text import printable

Style = Literal["plain", "title", "good", "warning", "bad", "dim"]


class Line(NamedTuple):
    """One line of text; its style adds to what the words say and never replaces it."""

    text: str
    style: Style = "plain"

    def printable(self) -> Line:
        """The line without what a terminal would obey."""
        return self._replace(text=printable(self.text))


class Table(NamedTuple):
    """Rows of cells under headers.

    Attributes:
        headers: The columns' names.
        rows: A cell for each column.
        title: A line above the table.
        numbers: Columns that are aligned to the right.
        optional: Columns that a narrow terminal leaves out, the first one first.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    numbers: frozenset[str] = frozenset()
    optional: Sequence[str] = ()

    def printable(self) -> Table:
        """The table without what a terminal would obey."""
        return self._replace(
            headers=[printable(header) for header in self.headers],
            rows=[[printable(text) for text in row] for row in self.rows],
            title=printable(self.title),
        )


Block = Line | Table


def cell(value: float | None, form: str) -> str:
    """A number for a table in a form such as ``.2%`` or ``,``; empty if it is not known."""
    return "" if value is None else format(value, form)
