"""`cldc login`, `cldc logout` and `cldc whoami`."""

from __future__ import annotations

from dataclasses import dataclass

import click

from cldc.cli.app import App
from cldc.cli.options import command
from cldc.errors import CredentialsError


@dataclass(frozen=True, slots=True)
class Account:
    """Who is signed in where; disk in bytes, time in seconds."""

    server: str
    account: str
    source: str
    disk_used: int
    disk_quota: int
    time_used: float
    time_quota: float
    parallel_run_quota: int


def _account(app: App) -> Account:
    user = app.rest.user()
    return Account(
        app.server,
        user.name,
        app.credentials.source,
        user.disk_used,
        user.disk_quota,
        user.time_used,
        user.time_quota,
        user.parallel_run_quota,
    )


@click.command()
@command(server=True)
def login(app: App) -> None:
    """Check an account against the server and remember it in the keyring.

    The user name and password come from CODALAB_USERNAME and CODALAB_PASSWORD, or are asked for; there is no
    option for them, since a command line can be read by everyone on the machine.
    """
    from cldc import credentials
    from cldc.render.blocks import Line

    if app.interactive and not app.on_sandbox:
        app.ask_anew()
    account = _account(app)
    if app.credentials.source in ("environment", "sandbox"):
        stored = Line(f"The credentials stay where they are: {app.credentials.source}.", "dim")
    else:
        credentials.store(app.server, app.credentials)
        stored = Line("The password is in the keyring.", "dim")
    app.output.show(account, [Line(f"Signed in to {account.server} as {account.account}.", "good"), stored])


@click.command()
@click.option("--account", metavar="NAME", help="Only this account; without it, all of the server.")
@command(server=True)
def logout(app: App, account: str | None) -> None:
    """Forget an account."""
    from cldc import credentials
    from cldc.render.blocks import Line

    gone = credentials.forget(app.server, account)
    if account and not gone:
        raise CredentialsError(
            f"No account {account!r} on {app.server} is remembered.",
            action="`cldc whoami` shows which one is used.",
        )
    text = (
        f"Forgot {', '.join(gone)} on {app.server}."
        if gone
        else f"No account on {app.server} was remembered."
    )
    app.output.show({"server": app.server, "forgotten": gone}, [Line(text, "good")])


@click.command()
@command(server=True)
def whoami(app: App) -> None:
    """Show server, account, and its disk and time quotas."""
    from cldc.render.blocks import Table

    account = _account(app)
    rows = [
        ("server", account.server),
        ("account", f"{account.account} (from {account.source})"),
        ("disk", f"{account.disk_used / 1e6:,.1f} of {account.disk_quota / 1e6:,.1f} MB used"),
        ("time", f"{account.time_used / 3600:,.1f} of {account.time_quota / 3600:,.1f} hours used"),
        ("runs at once", str(account.parallel_run_quota)),
    ]
    app.output.show(account, [Table(("", ""), rows)])
