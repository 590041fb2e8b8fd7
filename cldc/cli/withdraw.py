"""`cldc withdraw`."""

from __future__ import annotations

import click

from cldc.bundles.account import ServerClock
from cldc.cli import completing
from cldc.cli.board import board_if_any
from cldc.cli.options import command
from cldc.cli.server import ServerApp
from cldc.ledger import Ledger
from cldc.render.document import Document
from cldc.render.submission import withdrawn_blocks
from cldc.submission.quota import tagged_bundles
from cldc.submission.sync import sync_ledger
from cldc.submission.withdraw import find_tagged
from cldc.submission.withdraw import withdraw as take_back


@click.command()
@click.argument("submission", metavar="NAME", shell_complete=completing.submissions)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
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
    account, competition = app.rest.user().name, app.competition
    with Ledger(app.home) as ledger:
        sync_ledger(ledger, competition, app.rest, account, tagged_bundles(competition, app.rest, account))
        found = find_tagged(ledger, competition, app.rest.server, account, submission)
        name = found.record.name
        app.confirm(
            f"Take the tag off {name}, so that it is not scored?",
            yes=yes,
            stake=f"take the tag off {name} on {app.rest.server}, so that it is not scored",
        )
        result = take_back(
            found,
            competition=competition,
            codalab=app.codalab,
            anonymous=app.anonymous,
            ledger=ledger,
            read_board=lambda: board_if_any(app),
            clock=ServerClock(app.rest),
        )
    app.output.show(Document(result, withdrawn_blocks(result)))
