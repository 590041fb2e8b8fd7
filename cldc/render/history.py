"""The list of preflights and submissions as text and as CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cldc.render.blocks import Block, Line, Table
from cldc.text import printable

if TYPE_CHECKING:
    from cldc.history import Entry

# A spreadsheet takes a cell that begins so for a formula.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def history_blocks(entries: Sequence[Entry]) -> Iterator[Block]:
    """One row each, the oldest first."""
    if not entries:
        yield Line("Nothing was preflighted or submitted yet.")
        yield Line("Next: cldc preflight DIR")
        return
    headers = (
        "when (UTC)",
        "what",
        "name",
        "images",
        "validation",
        "label book",
        "score",
        "id",
        "dataset",
        "",
    )
    rows = [
        (
            entry.when.strftime("%Y-%m-%d %H:%M"),
            entry.kind,
            printable(entry.name),
            "" if entry.images is None else f"{entry.images:,}",
            _percent(entry.validation),
            _percent(entry.label_book),
            _percent(entry.score),
            entry.id,
            entry.dataset[:8],
            printable(entry.detail),
        )
        for entry in entries
    ]
    yield Table(headers, rows, numbers=frozenset({"images", "validation", "label book", "score"}))


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


def history_csv(entries: Sequence[Entry]) -> str:
    """The same for a spreadsheet, accuracies from 0 to 1, with a line of headers."""
    from cldc.history import Entry

    names = [field.name for field in dataclasses.fields(Entry)]
    held = io.StringIO()
    writer = csv.writer(held, lineterminator="\n")
    writer.writerow(names)
    for entry in entries:
        values = {**{name: getattr(entry, name) for name in names}, "when": entry.when.isoformat()}
        writer.writerow(_cell(values[name]) for name in names)
    return held.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str):
        value = printable(value)
        return f"'{value}" if value.startswith(_FORMULAS) else value
    return value
