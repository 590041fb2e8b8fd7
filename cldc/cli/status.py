"""`cldc status`."""

from __future__ import annotations

import click

from cldc.cli.board import board_if_any
from cldc.cli.contestant import contestant
from cldc.cli.options import command
from cldc.cli.server import ServerApp
from cldc.ledger import Ledger
from cldc.render.submission import status_blocks
from cldc.submission.status import fetch_statuses


@click.command()
@command(ServerApp)
def status(app: ServerApp) -> None:
    """Show how far your submissions are.

    Shows the end of the log of a run that is going or has failed, and why a run is stuck.

    \b
    Examples:
      cldc status
    """
    with Ledger(app.home, reading=True) as ledger:
        found = fetch_statuses(contestant(app, ledger), board_if_any(app))
    blocks = status_blocks(found, next_command=app.command_for("cldc submit"), on_sandbox=app.on_sandbox)
    app.show({"submissions": found}, *blocks)
