"""`cldc history`."""

from __future__ import annotations

import functools

import click

from cldc import history as histories
from cldc.cli.board import fetch_board
from cldc.cli.options import command
from cldc.cli.server import ServerApp
from cldc.errors import CldcError
from cldc.grading.test_sets import hidden_test_sets
from cldc.leaderboard import Leaderboard
from cldc.ledger import Ledger
from cldc.preflight.records import all_records as results
from cldc.render.document import Document
from cldc.render.history import history_blocks, history_rows


@click.command()
@click.option("--all", "everything", is_flag=True, help="Of every competition, not only of the one chosen.")
@command(ServerApp, formats=("csv",))
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
            _board(app),
            competition=app.competition,
            everything=everything,
            test_sets=hidden_test_sets(app.home),
        )
    app.output.show(
        Document(
            {"entries": entries},
            history_blocks(entries, next_command=app.command_for("cldc preflight")),
            rows=functools.partial(history_rows, entries),
        )
    )


def _board(app: ServerApp) -> Leaderboard | None:
    """The board, if it can be read; the local history is useful without it."""
    try:
        return fetch_board(app, account=None)
    except CldcError as error:
        app.observer.note(f"The leaderboard can't be read, so scores are not known: {error.message}")
        return None
