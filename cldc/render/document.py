"""A command's result, independent of its formats: for programs, for people, for a browser, a code host or a spreadsheet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from cldc.text import printable

Style = Literal["plain", "title", "good", "warning", "bad", "dim"]


class Line(NamedTuple):
    """One line of text; its style adds to what the words say and never replaces it."""

    text: str
    style: Style = "plain"

    def printable(self) -> Line:
        """Escape what a terminal would obey."""
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
    numbers: Sequence[str] = ()
    optional: Sequence[str] = ()

    def printable(self) -> Table:
        """Escape what a terminal would obey."""
        return self._replace(
            headers=[printable(header) for header in self.headers],
            rows=[[printable(text) for text in row] for row in self.rows],
            title=printable(self.title),
        )


Block = Line | Table


def cell(value: float | None, form: str) -> str:
    """Format a number for a table in a form such as ``.2%`` or ``,``; empty if it is not known."""
    return "" if value is None else format(value, form)


def moment(time: datetime | None) -> str:
    """Format a time in the user's own zone; a dash if it is not known."""
    return f"{time.astimezone():%Y-%m-%d %H:%M}" if time else "-"


def first_lines(lines: Iterable[str], most: int, *, everything: bool, indent: int = 2) -> Iterator[Line]:
    """Show the first lines of a list, indented, and how many more there are; all of them if ``everything``."""
    lines = list(lines)
    shown = lines if everything else lines[:most]
    yield from (Line(" " * indent + line) for line in shown)
    if len(lines) > len(shown):
        yield Line(f"{' ' * indent}and {len(lines) - len(shown):,} more (--verbose shows all)", "dim")


class Page(NamedTuple):
    """A web page: a template and a script of ``templates/pages``, and the function that computes its values if the page is wanted."""

    template: str
    values: Callable[[], Mapping[str, Any]]
    script: str = "page.js"


class Annotation(NamedTuple):
    """A remark that a code host shows beside a file; ``file`` is relative to the repository."""

    level: Literal["error", "warning", "notice"]
    title: str
    text: str
    file: str = ""


class Rows(NamedTuple):
    """A table for a spreadsheet: a row for each item, with a column for each of these attributes."""

    columns: Sequence[str]
    items: Sequence[object]


@dataclass(frozen=True, slots=True)
class Document:
    """One result in all its forms. Expensive forms are created only when their format is requested.

    Attributes:
        data: The result itself, for programs.
        blocks: The same for people; kept as a tuple.
        page: The same with pictures, for a browser.
        annotations: What belongs to files.
        sarif: A SARIF log.
        rows: The same for a spreadsheet.
    """

    data: object
    blocks: Iterable[Block]
    page: Page | None = None
    annotations: Callable[[], Iterable[Annotation]] | None = None
    sarif: Callable[[], Mapping[str, Any]] | None = None
    rows: Rows | None = None

    def __post_init__(self) -> None:
        """Keep the blocks as a tuple: several formats read them, and they often come from a generator."""
        object.__setattr__(self, "blocks", tuple(self.blocks))
