"""`cldc quota`."""

from __future__ import annotations

from dataclasses import fields

import click

from cldc.cli.contestant import contestant
from cldc.cli.options import command
from cldc.cli.server import ServerApp
from cldc.ledger import Ledger
from cldc.render.submission import quota_blocks
from cldc.submission.quota import usage_by_source


@click.command()
@command(ServerApp)
def quota(app: ServerApp) -> None:
    """Show how many submissions are left.

    Counted by the competition's rule from two sources side by side: the account's tagged bundles that the server shows,
    and the ledger on this machine. Whichever knows of more decides.

    \b
    Examples:
      cldc quota
    """
    with Ledger(app.home, reading=True) as ledger:
        me = contestant(app, ledger)
        found = usage_by_source(app.competition.quota, me.tagged_bundles(), me.submissions, me.clock())
    together = found["together"]
    # The requested result is on top; the two sources are beside it.
    result = {f.name: getattr(together, f.name) for f in fields(together)}
    app.show({**result, "server": found["server"], "ledger": found["ledger"]}, *quota_blocks(found))
