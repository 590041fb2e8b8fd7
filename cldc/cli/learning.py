"""What a finished preflight teaches, shown: numbers, spread, labels that look wrong, and the page with pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cldc.environments import ensure_analysis, ready_analysis
from cldc.files import replace_atomically
from cldc.insight import Insight, pictures, suggest, worst_mistakes
from cldc.preflight.model_predictions import read
from cldc.render.data import to_data
from cldc.render.preflight import next_blocks, preflight_blocks, spread_blocks, suggestion_blocks
from cldc.render.preflight_html import MOST_MISTAKES, to_html

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
    page: Path | None,
) -> None:
    """Print a finished preflight, all its runs where it was repeated, and write the page where one is asked for.

    Labels that look wrong are looked for where that delays nobody: after a training, in an environment that is there.
    Only who asks for the page has that environment made, or waits in a quick preflight or before an earlier result.
    """
    insight = _insight(app, report, result, wait=page is not None)
    if page is not None:
        _write_page(app, report, needed, insight, page)
    told = {
        **to_data(repeated or result),
        "suggestions": insight.suggestions,
        "no_suggestions": insight.no_suggestions or None,
    }
    if not insight.no_suggestions and app.output.form == "github":
        told["label_suggestions"] = len(insight.suggestions)
    blocks = [*preflight_blocks(result), *(spread_blocks(repeated) if repeated else ())]
    app.output.show(told, [*blocks, *suggestion_blocks(insight), *next_blocks(result)])


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


def _write_page(
    app: App, report: ValidationReport, needed: TrainingInputs, insight: Insight, page: Path
) -> None:
    learned, shown = insight.learned, {suggestion.path for suggestion in insight.suggestions}
    if learned is not None and learned.known:
        for split in learned.splits[1:]:
            shown |= {image.path for image in worst_mistakes(learned, split, MOST_MISTAKES)}
    # A path of the label book begins with its class, one of the dataset with its split.
    book = {path for path, _ in needed.label_book.images}
    root, outside = report.dataset.root, needed.label_book.root
    places = [(path, (outside if path in book else root) / path) for path in sorted(shown)]
    drawn = pictures(places, size=app.competition.dataset.image_size)
    replace_atomically(page, to_html(replace(insight, pictures=drawn)), mode=0o644)
    app.observer.note(f"The page with pictures is {page}.")
