"""Shows a finished preflight: accuracies, spread, suspicious labels, and the page with pictures."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from cldc.cli.server import ServerApp
from cldc.dataset import Dataset
from cldc.environments import ready_analysis
from cldc.errors import CldcError
from cldc.insight.label_search import find_suspicious_labels, known_suspicious_labels
from cldc.insight.model import Insight, suggest
from cldc.insight.pictures import pictures
from cldc.preflight.model import PreflightResult, Training
from cldc.preflight.model_predictions import read
from cldc.preflight.repeats import RepeatedRuns
from cldc.render.preflight import preflight_document
from cldc.render.preflight_page import pictured


def show(
    app: ServerApp, training: Training, result: PreflightResult, *, repeated: RepeatedRuns | None
) -> None:
    """Show a training's finished preflight, and all its runs if it was repeated.

    Suspicious labels are searched for if that delays nobody: after a training, if the environment for it exists.
    If a page is requested, the environment is created, and quick preflights and earlier results wait for the search too.
    """
    dataset = training.report.dataset
    insight = _insight(app, dataset, result, wait=app.output.wants("html"))
    drawn = functools.partial(_pictures, training, insight)
    next_command = app.command_for("cldc preflight" if result.quick else "cldc submit", dataset.root)
    app.output.show(preflight_document(insight, repeated, drawn, next_command=next_command))


def _insight(app: ServerApp, dataset: Dataset, result: PreflightResult, *, wait: bool) -> Insight:
    learned = read(app.home, result.id)
    if learned is None:
        return Insight(result, None, (), "nothing was kept of its images")
    classes = learned.classes
    labels = known_suspicious_labels(dataset, classes, home=app.home)
    if labels is None:
        # It takes an environment of its own (200 MB), and up to a minute.
        if not wait and (result.quick or result.recorded or not ready_analysis(app.home)):
            return Insight(result, learned, (), "not checked yet; run `cldc labels`, or add --report FILE")
        try:
            labels = find_suspicious_labels(dataset, classes, home=app.home, observer=app.observer)
        except CldcError as error:
            return Insight(result, learned, (), error.message.splitlines()[0].rstrip(".:"))
    return Insight(result, learned, suggest(labels, learned))


def _pictures(training: Training, insight: Insight) -> Mapping[str, tuple[str, str]]:
    # A path of the label book begins with its class, one of the dataset with its split.
    book = {path for path, _ in training.label_book.images}
    root, outside = training.report.dataset.root, training.label_book.root
    places = [(path, (outside if path in book else root) / path) for path in pictured(insight)]
    return pictures(places, size=training.competition.dataset.image_size)
