"""`cldc open`."""

from __future__ import annotations

import webbrowser

import click

from cldc.cli import completion
from cldc.cli.options import command
from cldc.cli.server_app import ServerApp
from cldc.errors import ConfigurationError, UsageError
from cldc.ledger import Ledger
from cldc.render.document import Line


@command(ServerApp, name="open")
@click.argument("what", metavar="NAME|worksheet|form|guide", shell_complete=completion.pages)
@click.option("--print", "only_print", is_flag=True, help="Print the address and open nothing.")
def open_(app: ServerApp, *, what: str, only_print: bool) -> None:
    """Open a submission or the guide in the browser.

    NAME is a submission's name: its tagged bundle is opened, or the latest thing created for it.
    `worksheet` is the worksheet of the submission that you began last.

    \b
    Examples:
      cldc open first-try
      cldc open guide
    """
    address = _page(app, what) if what in ("form", "guide") else _submission(app, what)
    if not only_print and not webbrowser.open(address):
        app.observer.note("No browser found; open that address in one.")
    app.show({"address": address}, Line(address))


def _page(app: ServerApp, what: str) -> str:
    address = app.competition.form if what == "form" else app.competition.guide
    if address is None:
        page = "contact form" if what == "form" else "guide"
        raise ConfigurationError(
            f"The profile {app.competition.name} names no {page}.",
            action=f"Ask the profile's maintainers to add its address as `{what}`.",
        )
    return address


def _submission(app: ServerApp, what: str) -> str:
    """Find the page of the submission's latest step in the ledger."""
    with Ledger(app.home, reading=True) as ledger:
        mine = ledger.submissions(competition=app.competition.name, server=app.server)
    for known in reversed(mine):
        kinds = (
            ("worksheet",) if what == "worksheet" else ("tag", "predictions", "run", "upload", "worksheet")
        )
        latest = next((kind for kind in kinds if known.uuid(kind)), None)
        if latest is not None and what in ("worksheet", known.record.name):
            page = "worksheets" if latest == "worksheet" else "bundles"
            return f"{app.server}/{page}/{known.uuid(latest)}/"
    raise UsageError(
        f"Nothing is known of {what!r} on {app.server}.",
        action="`cldc status` lists your submissions.",
    )
