"""`cldc preflight`."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from cldc.cli.contestant import remote_account, require_consent, require_organisers
from cldc.cli.options import DATASET, command, refuse_combined
from cldc.cli.server_app import ServerApp
from cldc.cli.training import DASK, LABEL_BOOK, SCRIPT, preflighted, train, trainings_of
from cldc.cli.validating import require_valid, validated
from cldc.dataset import Dataset
from cldc.environments import ready_analysis, ready_tensorflow
from cldc.errors import CldcError, InvalidDataset, UsageError
from cldc.insight.label_search import find_suspicious_labels, known_suspicious_labels
from cldc.insight.model import Insight, suggest
from cldc.insight.page_pictures import pictures
from cldc.preflight.model import Outcome, PreflightResult, Training, require_results
from cldc.preflight.repeats import RepeatedRuns, repeats_of, require_seeds, summarize_runs
from cldc.preflight.result_store import read_predictions
from cldc.remote.pipeline import preflight_remotely as train_remotely
from cldc.render.document import Block, Line, Table
from cldc.render.preflight import OF_BEFORE, pictured, preflight_document
from cldc.validation import ValidationReport


@command(ServerApp, formats=("html",))
@click.argument("folders", metavar="[DIR]...", type=DATASET, nargs=-1)
@SCRIPT
@LABEL_BOOK
@click.option(
    "--quick",
    is_flag=True,
    help="Check only what can go wrong: read every image, train one epoch. Can't be submitted.",
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
    help="Train on CodaLab's workers: private runs that spend no quota.",
)
@DASK
@click.option(
    "--include-link",
    "links",
    multiple=True,
    metavar="PATH",
    help="With --remote: upload what this link leads to outside the dataset, as in `cldc submit`. Repeatable.",
)
@click.option("--keep", is_flag=True, help="With --remote: keep the preflight's bundles on the server.")
@click.option("--force", is_flag=True, help="Train again even if the same was trained before.")
def preflight(
    app: ServerApp,
    *,
    folders: tuple[Path, ...],
    quick: bool,
    repeat: int | None,
    remote: bool,
    links: tuple[str, ...],
    keep: bool,
    force: bool,
    dask: str | None,
) -> int:
    """Train on a dataset as the competition does.

    The organisers' own script runs in a TensorFlow of its time, on a read-only copy of the dataset, and says what
    accuracy it reaches on the validation split and on the label book. Script and label book come from CodaLab; when
    it can't be reached, from what was downloaded before, and the script from cldc itself.

    Several datasets, and repeats, are trained at once, as many as processors and memory allow; the results are the same as one
    by one. With --remote the training runs on CodaLab, as that of a submission would, and its bundles are removed afterwards.

    \b
    Examples:
      cldc preflight my-images
      cldc preflight --quick
      cldc preflight --repeat 5 --report preflight.html
    """
    refuse_combined({"--quick": quick, "--dask": dask, "--remote": remote})
    refuse_combined({"--quick": quick, "--repeat": repeat, "several datasets": len(folders) > 1})
    if app.output.wants("html") and len(folders) > 1:
        raise UsageError(
            "A page shows one dataset.", action="Name one dataset, or choose another format of report."
        )
    if repeat:
        require_seeds(app.competition)
    if remote:
        require_organisers(app)
    elif keep or links:
        option = "--keep" if keep else "--include-link"
        raise UsageError(f"{option} is for preflights on CodaLab only.", action="Add --remote.")
    reports = _valid_reports(app, folders)
    if remote:
        for report in reports:
            require_consent(app, report, links)
    trainings = trainings_of(app, reports)
    if repeat:
        trainings = [seed for training in trainings for seed in repeats_of(training, repeat)]
    server = app.rest.server if remote else None
    found: Sequence[tuple[Training, Outcome]]
    if remote:
        ready = ready_tensorflow(app.competition.training.tensorflow, app.home)
        found = train_remotely(remote_account(app, keep=keep, force=force, environment=ready), trainings)
    elif dask or len(trainings) > 1:
        found = [*zip(trainings, train(app, trainings, dask=dask, force=force), strict=True)]
    else:
        found = [(trainings[0], preflighted(app, trainings[0], force=force, quick=quick))]
    if len(folders) > 1:
        return _show_several(app, found, server)
    results = require_results(outcome for _, outcome in found)
    _show(app, trainings[0], results[0], repeated=summarize_runs(results) if repeat else None)
    return 0


def _valid_reports(app: ServerApp, folders: Sequence[Path]) -> list[ValidationReport]:
    """Validate several datasets, and refuse all if one has errors."""
    reports: list[ValidationReport] = []
    refused: list[CldcError] = []
    for folder in folders or (None,):
        try:
            report = validated(app, folder)
            require_valid(app, report)
        except InvalidDataset as error:
            refused.append(error)
        else:
            reports.append(report)
    if len(refused) == 1:
        raise refused[0]
    if refused:
        raise InvalidDataset(
            f"{len(refused)} of {len(folders)} datasets can't be used, so nothing was trained:\n"
            + "\n".join(f"  {error.message}" for error in refused),
            action="Fix them or leave them out; `cldc validate` shows everything that was found in each.",
        )
    return reports


def _show_several(app: ServerApp, outcomes: Sequence[tuple[Training, Outcome]], server: str | None) -> int:
    """Show the results, and why others have none; the exit code is that of the first dataset without a result."""
    results: list[PreflightResult] = []
    failed: list[tuple[Dataset, CldcError]] = []
    for training, outcome in outcomes:
        if isinstance(outcome, CldcError):
            failed.append((training.report.dataset, outcome))
        else:
            results.append(outcome)
    reasons = [
        {
            "dataset_name": dataset.name,
            "dataset_root": dataset.root,
            "kind": error.kind,
            "code": error.code,
            "message": error.message,
            "action": error.action,
        }
        for dataset, error in failed
    ]
    title = f"Preflights on {server}" if server else f"Preflights of {len(outcomes)} datasets"
    data = {"results": results, "failed": reasons}
    app.show({"server": server, **data} if server else data, *_blocks(title, results, failed))
    return failed[0][1].code if failed else 0


def _blocks(
    title: str, results: Sequence[PreflightResult], failed: Sequence[tuple[Dataset, CldcError]]
) -> Iterator[Block]:
    """Show each dataset's row and remarks, and why others have no result."""
    yield Line(title, "title")
    if results:
        headers = ("dataset", "images", "validation", "label book", "best epoch", "time", "preflight", "")
        numbers = ("images", "validation", "label book", "best epoch", "time")
        optional = ("images", "time", "best epoch")
        yield Table(headers, [_row(result) for result in results], numbers=numbers, optional=optional)
        for used in dict.fromkeys(result.trained_with for result in results):
            yield Line(f"Trained with {used}", "dim")
    for result in results:
        for warning in result.warnings:
            yield Line(f"warning: {result.dataset_name}: {warning}", "warning")
        if result.dataset_changed:
            yield Line(f"warning: {result.dataset_changed} {OF_BEFORE}", "warning")
    for dataset, error in failed:
        first, *more = error.message.splitlines()
        yield Line(f"{dataset.name} has no result: {first}", "bad")
        yield from (Line(line) for line in (*more, error.action))
    if len(results) > 1:
        yield Line("Next: cldc submit DIR, or cldc compare A B with two of these")


def _row(result: PreflightResult) -> tuple[str, ...]:
    return (
        result.dataset_name,
        f"{result.total:,}",
        f"{result.validation.accuracy:.2%}",
        f"{result.label_book.accuracy:.2%}" if result.label_book else "",
        f"{result.best_epoch} of {result.fingerprint.epochs}",
        f"{result.seconds:,.0f} s",
        result.id,
        "recorded" if result.recorded else "",
    )


def _show(
    app: ServerApp, training: Training, result: PreflightResult, *, repeated: RepeatedRuns | None
) -> None:
    """Show a training's finished preflight, and all its runs if it was repeated.

    Suspicious labels are searched for after a training, if the environment for that exists. If a page is requested, they are
    always searched for: the environment is created, and quick preflights and earlier results wait for the search too.
    """
    dataset = training.report.dataset
    insight = _insight(app, dataset, result, wait=app.output.wants("html"))
    drawn = functools.partial(_pictures, training, insight)
    next_command = app.command_for("cldc preflight" if result.quick else "cldc submit", dataset.root)
    app.output.show(preflight_document(insight, repeated, drawn, next_command=next_command))


def _insight(app: ServerApp, dataset: Dataset, result: PreflightResult, *, wait: bool) -> Insight:
    predictions = read_predictions(app.home, result.id)
    if not predictions.images:
        return Insight(result, predictions, (), predictions.why_not)
    classes = predictions.classes
    labels = known_suspicious_labels(dataset, classes, home=app.home)
    if labels is None:
        # That takes an environment of its own (200 MB) and up to a minute.
        if not wait and (result.quick or result.recorded or not ready_analysis(app.home)):
            return Insight(
                result, predictions, (), "not checked yet; run `cldc labels`, or add --report FILE"
            )
        try:
            labels = find_suspicious_labels(dataset, classes, home=app.home, observer=app.observer)
        except CldcError as error:
            return Insight(result, predictions, (), error.message.splitlines()[0].rstrip(".:"))
    return Insight(result, predictions, suggest(labels, predictions))


def _pictures(training: Training, insight: Insight) -> Mapping[str, tuple[str, str]]:
    # A path of the label book begins with its class, one of the dataset with its split.
    book = {path for path, _ in training.label_book.images}
    root, outside = training.report.dataset.root, training.label_book.root
    places = [(path, (outside if path in book else root) / path) for path in pictured(insight)]
    return pictures(places, size=training.competition.dataset.image_size)
