"""`cldc preflight`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cldc.cli.app import App
from cldc.cli.options import command

if TYPE_CHECKING:
    from cldc.cli.work import Material
    from cldc.insight import Suggestion
    from cldc.preflight import PreflightResult
    from cldc.validation import ValidationReport


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--script", type=click.Path(), help="A training script in place of the organisers'.")
@click.option("--label-book", type=click.Path(), help="A label book folder in place of the organisers'.")
@click.option(
    "--quick",
    is_flag=True,
    help="Only what can go wrong: read every image, train one epoch. Can't be submitted.",
)
@click.option("--force", is_flag=True, help="Train again even where the same was trained before.")
@click.option(
    "--report",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page with curves, mistakes and labels that look wrong (HTML) to this file.",
)
@command(server=True)
def preflight(app: App, folder: Path | None, quick: bool, force: bool, page: Path | None) -> int:
    """Train on a dataset as the competition does, and show what comes out.

    The organisers' own script runs in a TensorFlow of its time, on a read-only copy of the dataset, and says what
    accuracy it reaches on the validation split and on the label book. Script and label book come from CodaLab; when
    it can't be reached, from what was downloaded before, and the script from cldc itself.
    """
    from cldc.cli.work import material, preflighted, validated
    from cldc.render.preflight import preflight_blocks
    from cldc.render.validation import blocks

    report = validated(app, folder)
    if not report.ok:
        if app.output.form != "json":
            app.output.tell(blocks(report))
        report.require_valid()
    needed = material(app)
    result = preflighted(app, report, needed, force=force, quick=quick)
    if page is not None:
        _write_page(app, report, needed, result, page)
    app.output.show(result, preflight_blocks(result))
    return 0


def _write_page(
    app: App, report: ValidationReport, needed: Material, result: PreflightResult, page: Path
) -> None:
    from cldc.environments import ensure_analysis
    from cldc.files import replace_atomically
    from cldc.insight import Insight, pictures, suggest, worst_mistakes
    from cldc.preflight.learned import read
    from cldc.render.preflight_html import MOST_MISTAKES, to_html

    learned = read(app.home, result.id)
    found: tuple[Suggestion, ...] = ()
    why = "nothing was kept of its images"
    if learned is not None:
        found, why = suggest(
            report.dataset, learned, lambda: ensure_analysis(app.home, app.observer), observer=app.observer
        )
    shown = {suggestion.path for suggestion in found}
    if learned is not None and learned.known:
        for split in learned.splits[1:]:
            shown |= {image.path for image in worst_mistakes(learned, split, MOST_MISTAKES)}
    # A path of the label book begins with its class, one of the dataset with its split.
    book = {path for path, _ in needed.label_book.images}
    root, outside = report.dataset.root, needed.label_book.root
    places = [(path, (outside if path in book else root) / path) for path in sorted(shown)]
    drawn = pictures(places, size=app.competition.dataset.image_size)
    text = to_html(Insight(result, learned, found, why, drawn))
    replace_atomically(page, text, mode=0o644)
    app.observer.note(f"The page with pictures is {page}.")
