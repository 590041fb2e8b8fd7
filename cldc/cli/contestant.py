"""The account that a command works as, with this machine's ledger of its submissions."""

from __future__ import annotations

from cldc.bundles.account import ServerClock
from cldc.cli.server import ServerApp
from cldc.ledger import Ledger
from cldc.submission.context import Contestant


def contestant(app: ServerApp, ledger: Ledger) -> Contestant:
    """The account in the chosen competition.

    Raises:
        Unreachable, CredentialsError: The server can't be read as the account.
    """
    return Contestant(
        competition=app.competition,
        codalab=app.codalab,
        account=app.rest.user().name,
        home=app.home,
        clock=ServerClock(app.rest),
        observer=app.observer,
        anonymous=app.anonymous,
        ledger=ledger,
    )
