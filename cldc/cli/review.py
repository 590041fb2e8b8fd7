"""`cldc review`."""

from __future__ import annotations

import contextlib
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import click

from cldc.cli.app import App
from cldc.cli.options import FOLDER, command
from cldc.cli.validating import validated
from cldc.dataset import Dataset
from cldc.errors import CldcError
from cldc.insight.label_search import find_suspicious_labels
from cldc.render.document import Block, Line
from cldc.review import ReviewServer, ReviewSession, Summary
from cldc.review.page_data import predictions_part, suspicions_part
from cldc.text import plural

_WORDS = {
    "relabel": "to relabel",
    "set-aside": "to set aside",
    "move": "to move to another split",
    "correct": "correct as is",
}


@command(App)
@FOLDER
@click.option("--no-browser", is_flag=True, help="Print the page's address and open no browser.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the page; any that is free by default.")
def review(app: App, *, folder: Path | None, no_browser: bool, port: int | None) -> None:
    """Look at the images in the browser, and decide about labels, copies and splits.

    The page shows all images: those with findings, labels that look wrong, copies side by side, and what the model of
    the last preflight predicts. Decisions are saved at once, in decisions.csv beside the folder; `cldc apply` carries
    them out. The page is served on this machine only, until Ctrl-C.

    \b
    Examples:
      cldc review my-images
      cldc review my-images --no-browser --port 8080
    """
    folder = app.dataset_folder(folder)
    session = ReviewSession(folder, app.competition, home=app.home)
    server = ReviewServer(session, port=port or 0)
    with contextlib.suppress(KeyboardInterrupt), server.running():
        app.output.tell(
            (
                Line("The page is served on this machine only, at", "title"),
                Line(server.address),  # alone on its line, to be copied
                Line("Decisions are saved at once. Ctrl-C ends it.", "dim"),
            )
        )
        if not no_browser and not webbrowser.open(server.ticket()):
            app.observer.note("No browser found; open that address in one.")
        _keep_checking(app, session)
    done = session.summary()
    data = {"decisions": done.path, "counts": done.counts, "new": done.new, "later": done.later}
    app.show(data, *_summary_blocks(done, app.command_for("cldc apply", folder)))


def _keep_checking(app: App, session: ReviewSession) -> NoReturn:
    """Check the folder, at first and whenever it has changed, and tell the page what is found, until Ctrl-C."""
    while True:
        scanned = session.wait_for_change()
        try:
            report = validated(app, session.root, observer=session)
            session.found(report, scanned)
            predictions = predictions_part(report.dataset.images, app.competition, app.home)
            session.show("predictions", predictions)
            _suspect(app, session, report.dataset)
        except CldcError as error:
            session.failed(error)
        finally:
            session.start("")


def _suspect(app: App, session: ReviewSession, dataset: Dataset) -> None:
    """Tell the page which labels are suspicious, or why that is not known; everything else works without."""
    try:
        found = find_suspicious_labels(
            dataset, app.competition.dataset.classes, home=app.home, observer=session
        )
    except CldcError as error:
        session.show("suspicions", {"rows": [], "why": f"Not known: {error.message}"})
    else:
        session.show("suspicions", suspicions_part(found))


def _summary_blocks(done: Summary, next_command: str) -> Iterator[Block]:
    """Show what was decided, and the command that carries it out."""
    if not done.counts:
        yield Line("Nothing was decided.")
    else:
        counts = [f"{count:,} {_WORDS[kind]}" for kind in _WORDS if (count := done.counts.get(kind, 0))]
        yield Line(
            f"{plural(sum(done.counts.values()), 'decision')}, {done.new:,} of them new: {', '.join(counts)}."
        )
        yield Line(f"Saved in {done.path}.", "dim")
    if done.later:
        yield Line(f"{plural(done.later, 'image')} left for later.")
    if done.counts.keys() - {"correct"}:
        yield Line(f"Next: {next_command}", "title")
