"""`cldc login`, `cldc logout` and `cldc whoami`."""

from __future__ import annotations

import os

import click

from cldc import credentials
from cldc.cli.options import command
from cldc.cli.server_app import ServerApp
from cldc.codalab.json_api import User
from cldc.errors import CredentialsError
from cldc.render.document import Line, Table
from cldc.text import PASSWORD_VARIABLE, size


def _account(app: ServerApp, user: User) -> dict[str, object]:
    """Describe account and server for programs; disk in bytes, time in seconds."""
    return {
        "server": app.server,
        "account": user.name,
        "source": app.credentials.source,
        "disk_used": int(user.disk_used),
        "disk_quota": int(user.disk_quota),
        "time_used": user.time_used,
        "time_quota": user.time_quota,
        "parallel_run_quota": user.parallel_run_quota,
    }


@command(ServerApp)
def login(app: ServerApp) -> None:
    """Check an account and remember it in the keyring.

    The user name and password come from CODALAB_USERNAME and CODALAB_PASSWORD, or are asked for; there is no
    option for them, since a command line can be read by everyone on the machine.

    \b
    Examples:
      cldc login
      cldc login --server https://codalab.example.org --account alice
    """
    if app.interactive and not app.on_sandbox:
        app.prompt_again()
    elif not app.on_sandbox and not os.environ.get(PASSWORD_VARIABLE):
        raise CredentialsError(
            "Can't ask for a password without a terminal.",
            action=f"Set {credentials.USERNAME_VARIABLE} and {PASSWORD_VARIABLE}, or run `cldc login` on a terminal.",
        )
    # Asking the server who this is comes first: what it refuses is never stored.
    user = app.rest.user()
    if app.credentials.source in ("environment", "sandbox"):
        stored = Line(f"The credentials come from the {app.credentials.source} and were not stored.", "dim")
    else:
        credentials.store(app.server, app.credentials)
        stored = Line("The password is in the keyring.", "dim")
    app.show(_account(app, user), Line(f"Signed in to {app.server} as {user.name}.", "good"), stored)


@command(ServerApp)
def logout(app: ServerApp) -> None:
    """Forget an account.

    Forgets the account that --account names, or all accounts on the server.

    \b
    Examples:
      cldc logout
    """
    account = click.get_current_context().params["account"]
    gone = credentials.forget(app.server, account)
    text = f"Forgot {', '.join(gone)} on {app.server}."
    if account and not gone:
        raise CredentialsError(
            f"No account {account!r} on {app.server} is remembered.",
            action="`cldc whoami --all` lists the remembered ones.",
        )
    if not gone:
        text = f"No account on {app.server} was remembered."
    app.show({"server": app.server, "forgotten": gone}, Line(text, "good"))


@command(ServerApp)
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="List every remembered account on any server, without contacting one.",
)
def whoami(app: ServerApp, every: bool) -> None:
    """Show server, account, and its disk and time quotas.

    Several accounts, on one server or on several, can be remembered: --server and --account (or `server` and
    `account` in cldc.toml) say which one is meant; otherwise it is the one last signed in with.

    \b
    Examples:
      cldc whoami
      cldc whoami --all
    """
    if every:
        _show_every_account(app)
        return
    user = app.rest.user()
    hours = "" if user.time_quota is None else f" of {user.time_quota / 3600:,.1f}"
    rows = [
        ("server", app.server),
        ("account", f"{user.name} (from {app.credentials.source})"),
        ("disk", f"{size(user.disk_used)} of {size(user.disk_quota)} used"),
        ("time", f"{user.time_used / 3600:,.1f}{hours} hours used"),
        ("runs at once", str(user.parallel_run_quota)),
    ]
    app.show(_account(app, user), Table(("", ""), rows))


def _show_every_account(app: ServerApp) -> None:
    found = [(server, name, name == names[0]) for server, names in credentials.everywhere() for name in names]
    data = [{"server": server, "account": name, "default": default} for server, name, default in found]
    rows = [(server, name, "yes" if default else "") for server, name, default in found]
    table = Table(("server", "account", "default"), rows)
    none = (Line("No account is remembered."), Line("Next: cldc login"))
    app.show({"accounts": data}, *([table] if rows else none))
