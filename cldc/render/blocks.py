"""Results for people: lines and tables, which each format shows in its own way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

Style = Literal["plain", "title", "good", "warning", "bad", "dim"]


class Line(NamedTuple):
    """One line of text; its style adds to what the words say and never replaces it."""

    text: str
    style: Style = "plain"


class Table(NamedTuple):
    """Rows of cells under headers; columns named in ``numbers`` are aligned to the right."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    numbers: frozenset[str] = frozenset()


Block = Line | Table
