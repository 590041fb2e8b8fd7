"""`cldc status`."""

from __future__ import annotations

import click

from cldc.cli.app import App
from cldc.cli.options import command


@click.command()
@command(server=True)
def status(app: App) -> None:
    """Show how far your submissions are."""
    from cldc.cli.board import fetch_board
    from cldc.ledger import Ledger
    from cldc.render.submission import standing_blocks
    from cldc.submission.standing import standings

    with Ledger(app.home) as ledger:
        found = standings(
            ledger,
            app.rest,
            fetch_board(app, account=app.credentials.username, required=False),
            competition=app.competition.name,
            account=app.rest.user().name,
        )
    app.output.show({"submissions": found}, standing_blocks(found))
