"""`cldc ledger export` and `cldc ledger rebuild`."""

from __future__ import annotations

from pathlib import Path

import click

from cldc.cli.app import App
from cldc.cli.options import command


@click.group()
def ledger() -> None:
    """The record of your submissions on this machine.

    It is a help and no condition: what was submitted is found again on the server.
    """


@ledger.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@command(competition=False)
def export(app: App, *, file: Path | None) -> None:
    """Write every submission and its steps as JSON, to FILE or to standard output. It holds no secrets."""
    from cldc.files import replace_atomically
    from cldc.ledger import Ledger
    from cldc.render.blocks import Line
    from cldc.render.data import to_json

    with Ledger(app.home) as record:
        text = to_json(record.export())
    if file is None:
        app.output.write(text)
        return
    replace_atomically(file, text)
    app.output.show({"file": file}, [Line(f"Written to {file}.", "good")])


@ledger.command()
@command(server=True)
def rebuild(app: App) -> None:
    """Write into it what the server knows of your submissions and the ledger does not."""
    from cldc.ledger import Ledger
    from cldc.render.blocks import Line, Table
    from cldc.submission.recovery import rebuild as read_back

    with Ledger(app.home) as record:
        found = read_back(record, app.competition, app.rest, app.rest.user().name)
        steps = {r.id: record.steps(r.id) for r in found}
    rows = [(r.name, r.dataset, "tagged" if "tag" in steps[r.id] else "begun", r.id) for r in found]
    blocks: list[Line | Table] = [Table(("submission", "dataset", "", "id"), rows)] if rows else []
    blocks.append(Line(f"{len(found)} found that the ledger did not know.", "good"))
    app.output.show({"found": found}, blocks)
