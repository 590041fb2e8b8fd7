"""`cldc history`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import click

from cldc import history as histories
from cldc.cli.leaderboard import board_if_any
from cldc.cli.options import command
from cldc.cli.server_app import ServerApp
from cldc.grading.known_test_sets import hidden_test_sets
from cldc.history import HistoryEntry
from cldc.ledger import Ledger
from cldc.preflight.result_store import all_records as results
from cldc.render.document import Block, Line, Rows, Table, cell


@command(ServerApp, formats=("csv",))
@click.option(
    "--all", "everything", is_flag=True, help="List those of every competition, not only of the chosen one."
)
def history(app: ServerApp, everything: bool) -> None:
    """List preflights and submissions with their scores.

    \b
    Examples:
      cldc history
      cldc history --all --format csv
    """
    with Ledger(app.home, reading=True) as ledger:
        entries = histories.history(
            results(app.home),
            ledger,
            board_if_any(app, account=None),
            competition=app.competition,
            everything=everything,
            test_sets=hidden_test_sets(app.home),
        )
    blocks = _blocks(entries, next_command=app.command_for("cldc preflight"))
    columns = [field.name for field in dataclasses.fields(HistoryEntry)]
    app.show({"entries": entries}, *blocks, rows=Rows(columns, entries))


def _blocks(entries: Sequence[HistoryEntry], *, next_command: str) -> Iterator[Block]:
    """Show one row for each, oldest first; the next command if there are none."""
    if not entries:
        yield Line("Nothing was preflighted or submitted yet.")
        yield Line(f"Next: {next_command}")
        return
    headers = (
        "date",
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
            f"{entry.when.astimezone():%Y-%m-%d}",
            f"{entry.when.astimezone():%H:%M}",
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
        numbers=("images", "validation", "label book", "score"),
        optional=("trained with", "dataset", "images", "id", "label book", "time", "validation"),
    )
