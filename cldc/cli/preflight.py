"""`cldc preflight`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cldc.cli.app import App
from cldc.cli.learning import show
from cldc.cli.options import DATASET, command
from cldc.cli.remote import preflight_remotely
from cldc.cli.work import preflighted, training_inputs, validated
from cldc.errors import UsageError
from cldc.preflight.pipeline import preflight as preflight_once
from cldc.preflight.repeats import repeats_of, require_seeds, summarize_runs
from cldc.render.validation import blocks

if TYPE_CHECKING:
    from cldc.cli.work import TrainingInputs
    from cldc.preflight.model import PreflightResult
    from cldc.preflight.repeats import RepeatedRuns
    from cldc.validation import ValidationReport


@click.command()
@click.argument("folders", metavar="[DIR]...", type=DATASET, nargs=-1)
@click.option("--script", type=click.Path(), help="A training script in place of the organisers'.")
@click.option("--label-book", type=click.Path(), help="A label book folder in place of the organisers'.")
@click.option(
    "--quick",
    is_flag=True,
    help="Only what can go wrong: read every image, train one epoch. Can't be submitted.",
)
@click.option(
    "--repeat",
    type=click.IntRange(2, 50),
    metavar="N",
    help="Train N times, all but the first with the built-in script and other seeds, and show the spread.",
)
@click.option(
    "--remote",
    is_flag=True,
    help="Train on CodaLab's workers, several datasets at once: private runs that spend no quota.",
)
@click.option("--keep", is_flag=True, help="With --remote: leave what was made for it on the server.")
@click.option("--force", is_flag=True, help="Train again even where the same was trained before.")
@command(server=True, formats=("html",))
def preflight(
    app: App,
    *,
    folders: tuple[Path, ...],
    quick: bool,
    repeat: int | None,
    remote: bool,
    keep: bool,
    force: bool,
) -> int:
    """Train on a dataset as the competition does, and show what comes out.

    The organisers' own script runs in a TensorFlow of its time, on a read-only copy of the dataset, and says what
    accuracy it reaches on the validation split and on the label book. Script and label book come from CodaLab; when
    it can't be reached, from what was downloaded before, and the script from cldc itself.

    With --remote the same runs on CodaLab, as a submission's training would; what it made there is removed afterwards.
    """
    _require_sense({"--quick": quick, "--repeat": repeat, "--remote": remote})
    if remote:
        return preflight_remotely(app, folders, keep=keep, force=force)
    if keep or len(folders) > 1:
        raise UsageError(
            f"{'--keep is' if keep else 'Several datasets at once are'} for preflights on CodaLab only.",
            action="Say --remote as well, or train on one dataset here.",
        )
    if repeat:
        require_seeds(app.competition)
    report = validated(app, next(iter(folders), None))
    if not report.ok:
        app.output.tell(blocks(report))
        report.require_valid()
    needed = training_inputs(app)
    result = preflighted(app, report, needed, force=force, quick=quick)
    runs = _repeat(app, report, needed, result, times=repeat, force=force) if repeat else None
    show(app, report, needed, result, repeated=runs)
    return 0


def _require_sense(ways: Mapping[str, object]) -> None:
    """There is one way to train."""
    given = [way for way, value in ways.items() if value]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} do not go together.", action="Leave one of them out.")


def _repeat(
    app: App,
    report: ValidationReport,
    needed: TrainingInputs,
    first: PreflightResult,
    *,
    times: int,
    force: bool,
) -> RepeatedRuns:
    """The first run and others of other seeds, each kept as a preflight is."""
    runs = [first]
    _, *others = repeats_of(needed.training(report, app.competition), times)
    for number, training in enumerate(others, 2):
        app.observer.note(f"Run {number} of {times}: the built-in script with another seed")
        runs.append(
            preflight_once(
                training, environment=app.tensorflow(), home=app.home, observer=app.observer, force=force
            )
        )
    return summarize_runs(runs)
