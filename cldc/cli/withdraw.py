"""`cldc withdraw`."""

from __future__ import annotations

import click

from cldc.cli import completing
from cldc.cli.board import board_if_any
from cldc.cli.options import command
from cldc.cli.server import ServerApp
from cldc.ledger import Ledger
from cldc.render.document import Document
from cldc.render.submission import withdrawn_blocks
from cldc.submission import Clock
from cldc.submission.places import tagged
from cldc.submission.recovery import learn
from cldc.submission.withdrawal import tagged_record
from cldc.submission.withdrawal import withdraw as take_back


@click.command()
@click.argument("submission", metavar="NAME", shell_complete=completing.submissions)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@command(ServerApp)
def withdraw(app: ServerApp, *, submission: str, yes: bool) -> None:
    """Take the tag off a submission.

    NAME is the submission's name or the uuid of its tagged bundle. What was uploaded stays; `cldc submit` sets the tag
    again. Its place of the quota is free again only if the board is newer than the tag and does not have it, and
    nothing on the server shows that the scoring daemon has begun to evaluate it.

    \b
    Examples:
      cldc withdraw first-try
    """
    account, competition = app.rest.user().name, app.competition
    with Ledger(app.home) as ledger:
        learn(ledger, competition, app.rest, account, tagged(competition, app.rest, account))
        record = tagged_record(ledger, competition, app.rest.server, account, submission)
        app.confirm(
            f"Take the tag off {record.name}, so that it is not scored?",
            yes=yes,
            stake=f"take the tag off {record.name} on {app.rest.server}, so that it is not scored",
        )
        result = take_back(
            record,
            competition=competition,
            codalab=app.codalab,
            anonymous=app.anonymous,
            ledger=ledger,
            read_board=lambda: board_if_any(app),
            clock=Clock(app.rest),
        )
    app.output.show(Document(result, withdrawn_blocks(result)))
