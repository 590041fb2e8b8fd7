"""The list of preflights and submissions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from cldc.history import HistoryEntry
from cldc.render.blocks import Block, Line, Table, cell


def history_blocks(entries: Sequence[HistoryEntry], *, next_command: str) -> Iterator[Block]:
    """One row each, oldest first; the next command if there are none."""
    if not entries:
        yield Line("Nothing was preflighted or submitted yet.")
        yield Line(f"Next: {next_command}")
        return
    headers = (
        "date (UTC)",
        "time",
        "what",
        "name",
        "images",
        "validation",
        "label book",
        "score",
        "state",
        "id",
        "dataset",
        "trained with",
    )
    rows = [
        (
            f"{entry.when:%Y-%m-%d}",
            f"{entry.when:%H:%M}",
            entry.kind,
            entry.name,
            cell(entry.images, ","),
            cell(entry.validation, ".2%"),
            cell(entry.label_book, ".2%"),
            cell(entry.score, ".4f"),
            entry.detail if entry.kind == "submission" else "",
            entry.id,
            entry.dataset[:8],
            entry.detail if entry.kind != "submission" else "",
        )
        for entry in entries
    ]
    yield Table(
        headers,
        rows,
        numbers=frozenset({"images", "validation", "label book", "score"}),
        optional=("trained with", "dataset", "images", "id", "label book", "time", "validation"),
    )


def history_rows(entries: Sequence[HistoryEntry]) -> Iterator[Sequence[object]]:
    """The same for a spreadsheet, accuracies from 0 to 1, with a row of headers."""
    names = [field.name for field in dataclasses.fields(HistoryEntry)]
    yield names
    for entry in entries:
        values = {**{name: getattr(entry, name) for name in names}, "when": entry.when.isoformat()}
        yield [values[name] for name in names]
