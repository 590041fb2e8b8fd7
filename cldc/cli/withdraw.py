"""`cldc withdraw`."""

from __future__ import annotations

import click

from cldc.cli import completing
from cldc.cli.board import board_if_any
from cldc.cli.contestant import contestant
from cldc.cli.options import YES, command
from cldc.cli.server import ServerApp
from cldc.ledger import Ledger
from cldc.render.submission import withdrawn_blocks
from cldc.submission.account import sync_ledger
from cldc.submission.quota import find_tagged
from cldc.submission.quota import withdraw as take_back


@click.command()
@click.argument("submission", metavar="NAME", shell_complete=completing.submissions)
@YES
@command(ServerApp)
def withdraw(app: ServerApp, *, submission: str, yes: bool) -> None:
    """Take the tag off a submission.

    NAME is the submission's name or the uuid of its tagged bundle. What was uploaded stays; `cldc submit` sets the tag
    again. It no longer counts against the quota only if the board is newer than the tag and does not have it, and
    nothing on the server shows that the scoring daemon has begun to evaluate it.

    \b
    Examples:
      cldc withdraw first-try
    """
    with Ledger(app.home) as ledger:
        me = contestant(app, ledger)
        sync_ledger(me, me.tagged_bundles())
        found = find_tagged(me, submission)
        name = found.record.name
        app.confirm(
            f"Take the tag off {name}, so that it is not scored?",
            yes=yes,
            stake=f"take the tag off {name} on {app.rest.server}, so that it is not scored",
        )
        result = take_back(me, found, lambda: board_if_any(app))
    app.show(result, *withdrawn_blocks(result))
