"""`cldc leaderboard`."""

from __future__ import annotations

import click

from cldc.cli.app import App
from cldc.cli.options import command

_TOP = 20


@click.command()
@click.option("--all", "everything", is_flag=True, help=f"Every entry, not only the first {_TOP} and yours.")
@command(server=True)
def leaderboard(app: App, everything: bool) -> None:
    """Show the competition's leaderboard with your rows marked."""
    from cldc.cli.board import fetch_board
    from cldc.cli.work import account_or_none
    from cldc.render.board import board_blocks

    board = fetch_board(app, account=account_or_none(app), required=True)
    app.output.show(board, board_blocks(board, limit=None if everything else _TOP))
