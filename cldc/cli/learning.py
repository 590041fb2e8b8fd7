"""What a finished preflight teaches: numbers, spread, labels that look wrong, and the page with pictures."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cldc.environments import ensure_analysis, ready_analysis
from cldc.insight import Insight, pictures, suggest
from cldc.preflight.model_predictions import read
from cldc.render.preflight import preflight_document
from cldc.render.preflight_page import pictured

if TYPE_CHECKING:
    from cldc.cli.app import App
    from cldc.cli.work import TrainingInputs
    from cldc.environments import Environment
    from cldc.insight import Insight
    from cldc.preflight.model import PreflightResult
    from cldc.preflight.repeats import RepeatedRuns
    from cldc.validation import ValidationReport


def show(
    app: App,
    report: ValidationReport,
    needed: TrainingInputs,
    result: PreflightResult,
    *,
    repeated: RepeatedRuns | None,
) -> None:
    """Tell of a finished preflight, and of all its runs where it was repeated.

    Labels that look wrong are looked for where that delays nobody: after a training, in an environment that is there.
    Only who asks for the page has that environment made, or waits in a quick preflight or before an earlier result.
    """
    insight = _insight(app, report, result, wait=app.output.wants("html"))
    drawn = functools.partial(_pictures, app, report, needed, insight)
    app.output.show(preflight_document(insight, repeated, drawn))


def _insight(app: App, report: ValidationReport, result: PreflightResult, *, wait: bool) -> Insight:
    def environment() -> Environment | str:
        if wait:
            return ensure_analysis(app.home, app.observer)
        if result.quick or result.recorded:
            return "not looked for yet, which takes half a minute; --report FILE does"
        return ready_analysis(app.home) or (
            "not looked for, since that takes an environment of its own (a quarter of a gigabyte, made once); "
            "--report FILE does"
        )

    learned = read(app.home, result.id)
    if learned is None:
        return Insight(result, None, (), "nothing was kept of its images")
    found, why = suggest(report.dataset, learned, environment, home=app.home, observer=app.observer)
    return Insight(result, learned, found, why)


def _pictures(
    app: App, report: ValidationReport, needed: TrainingInputs, insight: Insight
) -> Mapping[str, tuple[str, str]]:
    # A path of the label book begins with its class, one of the dataset with its split.
    book = {path for path, _ in needed.label_book.images}
    root, outside = report.dataset.root, needed.label_book.root
    places = [(path, (outside if path in book else root) / path) for path in pictured(insight)]
    return pictures(places, size=app.competition.dataset.image_size)
