"""`cldc ledger export` and `cldc ledger rebuild`."""

from __future__ import annotations

from pathlib import Path

import click

from cldc.cli.app import App
from cldc.cli.contestant import contestant
from cldc.cli.options import command, group
from cldc.cli.server_app import ServerApp
from cldc.files import replace_atomically
from cldc.ledger import Ledger, LedgerUnusable, set_aside
from cldc.render.document import Line, Table
from cldc.render.formats import to_json
from cldc.submission.ledger_sync import rebuild_ledger
from cldc.text import plural


@group
def ledger() -> None:
    """The record of your submissions on this machine.

    No submission depends on it: what was submitted is found again on the server.

    \b
    Examples:
      cldc ledger export
      cldc ledger rebuild
    """


@command(App, group=ledger, competition=False)
@click.argument("file", type=click.Path(path_type=Path), required=False)
def export(app: App, *, file: Path | None) -> None:
    """Write every submission and its steps as JSON, to FILE or to standard output. It holds no secrets.

    \b
    Examples:
      cldc ledger export submissions.json
    """
    with Ledger(app.home, reading=True) as record:
        text = to_json(record.export())
    if file is None:
        app.output.write(text)
        return
    replace_atomically(file, text)
    app.show({"file": file}, Line(f"Written to {file}.", "good"))


@command(ServerApp, group=ledger)
def rebuild(app: ServerApp) -> None:
    """Add the submissions of yours that the server knows and the ledger does not.

    A ledger that is damaged, or that a newer cldc wrote, is set aside first and stays in the data folder.

    \b
    Examples:
      cldc ledger rebuild
    """
    app.rest.user()  # move nothing before the server has answered
    record, aside = _open(app)
    with record:
        found = rebuild_ledger(contestant(app, record))
        steps = {r.id: record.steps(r.id) for r in found}
    rows = [(r.name, r.dataset, "tagged" if "tag" in steps[r.id] else "begun", r.id) for r in found]
    blocks: list[Line | Table] = [Table(("submission", "dataset", "", "id"), rows)] if rows else []
    if aside is not None:
        blocks.append(Line(f"The old ledger was set aside as {aside}."))
        blocks.append(Line("Run this again for each other account or competition of yours.", "dim"))
    blocks.append(Line(f"Added {plural(len(found), 'missing submission')}.", "good"))
    app.show({"found": found, "set_aside": aside}, *blocks)


def _open(app: App) -> tuple[Ledger, Path | None]:
    """Open the ledger; also return where an unusable one was set aside, or None."""
    try:
        return Ledger(app.home), None
    except LedgerUnusable as error:
        app.observer.note(error.message)
    aside = set_aside(app.home)
    record = Ledger(app.home)
    record.rescue_board_results(aside)
    return record, aside
