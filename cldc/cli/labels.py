"""`cldc labels`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from cldc.cli.app import App
from cldc.cli.options import FOLDER, command
from cldc.dataset import load
from cldc.decisions import default_path, match, read
from cldc.insight.label_search import RankedLabel, find_suspicious_labels
from cldc.insight.page_pictures import pictures
from cldc.render.labels import labels_document
from cldc.validation.pipeline import QUESTIONS

_QUESTION = "label"


@command(App, formats=("html", "csv"))
@FOLDER
@click.option(
    "--top",
    type=click.IntRange(1),
    metavar="N",
    help="List the first N of all images. By default every suspicious one; printed as text, 20.",
)
def labels(app: App, *, folder: Path | None, top: int | None) -> None:
    """List labels that look wrong, without a training.

    Each image is compared with all others, and ranked by how badly its label fits: drawings that look like another
    class, like several, or like none, and blank ones. The list says how many wrong labels to expect; in a clean dataset, none.
    Images that you marked as correct are left out.

    The first time, an environment of 200 MB is created. 3,000 images take about 15 seconds; the result is kept
    until an image or a label changes.

    \b
    Examples:
      cldc labels my-images
      cldc labels my-images --top 100 --report labels.html
      cldc labels --format json
    """
    root, rules = app.dataset_folder(folder), app.competition.dataset
    decisions = read(default_path(root), rules)
    dataset = load(root, rules, app.observer)
    found = find_suspicious_labels(dataset, rules.classes, home=app.home, observer=app.observer)
    correct = match(decisions, dataset, rules.classes).correct(_QUESTION, QUESTIONS)

    def drawn(images: Sequence[RankedLabel]) -> Mapping[str, tuple[str, str]]:
        paths = [(image.path, dataset.root / image.path) for image in images]
        return pictures(paths, size=rules.image_size)

    app.output.show(
        labels_document(
            found.without(correct),
            dataset.name,
            correct=sum(image.sha256 in correct for image in found.images),
            top=top,
            pictures=drawn,
            next_command=app.command_for("cldc review", root),
        )
    )
