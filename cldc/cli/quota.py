"""`cldc quota`."""

from __future__ import annotations

import click

from cldc.cli.app import App
from cldc.cli.options import command


@click.command()
@command(server=True)
def quota(app: App) -> None:
    """Show how many submissions are left, and when the next place frees.

    Counted from the ledger on this machine and from the account's tagged bundles on the server, whichever knows of
    more.
    """
    from cldc.ledger import Ledger
    from cldc.render.submission import quota_blocks
    from cldc.submission import standing

    with Ledger(app.home) as ledger:
        found = standing(app.competition, app.rest, ledger, app.rest.user().name)
    app.output.show(found, quota_blocks(found))
