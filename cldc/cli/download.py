"""`cldc download`."""

from __future__ import annotations

from pathlib import Path

import click

from cldc.cli.options import command
from cldc.cli.server import ServerApp
from cldc.curation.downloading import DATASET, LABEL_BOOK, WHAT, Downloaded, reference_of
from cldc.curation.downloading import download as fetch
from cldc.errors import UsageError
from cldc.render.blocks import Line
from cldc.render.document import Document
from cldc.text import printable


@click.command()
@click.argument("what", metavar="[dataset|label-book|script]...", type=click.Choice(WHAT), nargs=-1)
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    help="Where to put it; by default here, under the name of its bundle.",
)
@command(ServerApp)
def download(app: ServerApp, *, what: tuple[str, ...], into: Path | None) -> None:
    """Fetch the organisers' starting dataset, label book and script.

    Without a name all three. Folders come in the shape that cldc and the training script expect, class by class; run the
    command again to go on after an interruption. Existing files are never overwritten.

    \b
    Examples:
      cldc download
      cldc download dataset --into my-images
    """
    if into is not None and len(what) != 1:
        raise UsageError("--into goes with one thing to download.", action=f"Name one of {', '.join(WHAT)}.")
    wanted = dict.fromkeys(what or WHAT)
    places = {each: into or Path(reference_of(app.competition, each).name) for each in wanted}
    done: list[Downloaded] = []
    for each, place in places.items():
        done.append(fetch(app.anonymous, app.competition, each, place, home=app.home, observer=app.observer))
    data = {
        "downloaded": [
            {"what": d.what, "bundle": d.reference.uuid, "path": d.path, "was_there": d.was_there}
            for d in done
        ]
    }
    app.output.show(Document(data, [*map(_line, done), *_next(done)]))


def _line(done: Downloaded) -> Line:
    state = "is already there and matches the server" if done.was_there else "is downloaded"
    return Line(printable(f"{done.path}: the {done.what.replace('-', ' ')} {state}."), "good")


def _next(done: list[Downloaded]) -> list[Line]:
    by_what = {each.what: each for each in done}
    lines = []
    if DATASET in by_what:
        lines.append(Line(printable(f"Next: cldc validate {by_what[DATASET].path}")))
    elif LABEL_BOOK in by_what:
        lines.append(Line(printable(f"Next: cldc validate --label-book {by_what[LABEL_BOOK].path}")))
    return lines
