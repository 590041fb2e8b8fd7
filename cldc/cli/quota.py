"""`cldc quota`."""

from __future__ import annotations

from dataclasses import fields

import click

from cldc.bundles.account import ServerClock
from cldc.cli.options import command
from cldc.cli.server import ServerApp
from cldc.ledger import Ledger
from cldc.render.document import Document
from cldc.render.submission import quota_blocks
from cldc.submission.quota import tagged_bundles, usage_by_source


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
    competition, rest, account = app.competition, app.rest, app.rest.user().name
    with Ledger(app.home, reading=True) as ledger:
        submissions = ledger.submissions(competition=competition.name, server=rest.server, account=account)
    tagged = tagged_bundles(competition, rest, account)
    found = usage_by_source(competition.quota, tagged, submissions, ServerClock(rest)())
    together = found["together"]
    # The requested result is on top; the two sources are beside it.
    result = {f.name: getattr(together, f.name) for f in fields(together)}
    app.output.show(
        Document({**result, "server": found["server"], "ledger": found["ledger"]}, quota_blocks(found))
    )
