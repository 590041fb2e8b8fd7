"""The account that a command works as, in the chosen competition."""

from __future__ import annotations

from cldc.bundles.account import ServerClock
from cldc.cli.server import ServerApp
from cldc.environments import Environment
from cldc.ledger import Ledger
from cldc.remote.model import Remote
from cldc.submission.context import Contestant


def contestant(app: ServerApp, ledger: Ledger) -> Contestant:
    """The account with this machine's ledger of its submissions.

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


def remote_account(app: ServerApp, *, keep: bool, force: bool, environment: Environment | None) -> Remote:
    """The account that trains on the server; models predict with this machine's TensorFlow, the ``environment``.

    Raises:
        Unreachable, CredentialsError: The server can't be read as the account.
    """
    return Remote(
        competition=app.competition,
        codalab=app.codalab,
        account=app.rest.user().name,
        home=app.home,
        clock=ServerClock(app.rest),
        observer=app.observer,
        keep=keep,
        force=force,
        environment=environment,
    )
