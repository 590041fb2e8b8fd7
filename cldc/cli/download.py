"""`cldc download`."""

from __future__ import annotations

from pathlib import Path

import click

from cldc.cli.app import shown_path
from cldc.cli.options import command
from cldc.cli.server_app import ServerApp
from cldc.curation.downloading import DATASET, LABEL_BOOK, WHAT, reference_of
from cldc.curation.downloading import download as fetch
from cldc.errors import UsageError
from cldc.render.document import Line


@command(ServerApp)
@click.argument("what", metavar="[dataset|label-book|script]...", type=click.Choice(WHAT), nargs=-1)
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    help="Where to put it; by default here, under the name of its bundle.",
)
def download(app: ServerApp, *, what: tuple[str, ...], into: Path | None) -> None:
    """Fetch the organisers' starting dataset, label book and script.

    Fetches all three unless you name some. Folders come in the shape that cldc and the training script expect, class by class; run the
    command again to continue after an interruption. Existing files are never overwritten.

    \b
    Examples:
      cldc download
      cldc download dataset --into my-images
    """
    if into is not None and len(what) != 1:
        raise UsageError(
            "--into needs exactly one thing to download.", action=f"Name one of {', '.join(WHAT)}."
        )
    targets = {each: into or Path(reference_of(app.competition, each).name) for each in what or WHAT}
    done = [
        fetch(app.anonymous, app.competition, each, target, home=app.home, observer=app.observer)
        for each, target in targets.items()
    ]
    data = [
        {"what": each.what, "bundle": each.reference.uuid, "path": each.path, "was_there": each.was_there}
        for each in done
    ]
    blocks = []
    for each in done:
        state = "is already there and matches the server" if each.was_there else "was downloaded"
        text = f"{each.path}: the {each.what.replace('-', ' ')} {state}."
        blocks.append(Line(text, "good"))
    paths = {each.what: each.path for each in done}
    if DATASET in paths:
        blocks.append(Line(f"Next: {app.command_for('cldc validate', paths[DATASET])}"))
    elif LABEL_BOOK in paths:
        blocks.append(Line(f"Next: cldc validate --label-book {shown_path(paths[LABEL_BOOK])}"))
    app.show({"downloaded": data}, *blocks)
