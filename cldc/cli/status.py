"""`cldc status`."""

from __future__ import annotations

import click

from cldc.cli.board import board_if_any
from cldc.cli.options import command
from cldc.cli.server import ServerApp
from cldc.ledger import Ledger
from cldc.render.document import Document
from cldc.render.submission import standing_blocks
from cldc.submission import Clock
from cldc.submission.standing import Standing, standings


@click.command()
@command(ServerApp)
def status(app: ServerApp) -> None:
    """Show how far your submissions are.

    Of a run that goes or failed, the end of its log is shown; of one that nothing happens to, why.

    \b
    Examples:
      cldc status
    """
    with Ledger(app.home, reading=True) as ledger:
        found = look(app, ledger)
    app.output.show(Document({"submissions": found}, standing_blocks(found)))


def look(app: ServerApp, ledger: Ledger) -> tuple[Standing, ...]:
    """Where every submission of the account is now."""
    return standings(
        ledger,
        app.rest,
        board_if_any(app),
        competition=app.competition,
        account=app.rest.user().name,
        now=Clock(app.rest)(),
    )
