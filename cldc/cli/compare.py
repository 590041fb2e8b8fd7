"""`cldc compare`."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from cldc import insight
from cldc.cli import completing
from cldc.cli.options import command
from cldc.cli.remote import remote_of, require_consent, require_organisers
from cldc.cli.server import ServerApp
from cldc.cli.tensorflow import tensorflow
from cldc.cli.trainings import DASK, trainer
from cldc.cli.validating import validated
from cldc.cli.work import training_inputs
from cldc.dataset import load
from cldc.errors import CldcError, InvalidDataset, UsageError
from cldc.insight import Comparison, pictures
from cldc.insight.repeated import RepeatedComparison, TrainedModel, compare_repeats
from cldc.preflight.model import LabelBook, PreflightResult, Training
from cldc.preflight.model_predictions import ModelPredictions, read
from cldc.preflight.predicting import ModelUnusable, predict_folder
from cldc.preflight.records import all_records, weights_folder
from cldc.preflight.repeats import repeats_of, require_seeds
from cldc.preflight.sources import read_label_book
from cldc.remote.pipeline import preflight_remotely as train_remotely
from cldc.render.comparison import comparison_document
from cldc.render.validation import blocks
from cldc.trainings.many import train_all
from cldc.trainings.model import Trainer
from cldc.validation import ValidationReport

_MOST_PICTURES = 1200


@click.command()
@click.argument("a", metavar="A", shell_complete=completing.preflights)
@click.argument("b", metavar="B", shell_complete=completing.preflights)
@click.option(
    "--repeat",
    type=click.IntRange(2, 50),
    metavar="N",
    help="Train both from the same N seeds, and say which is better and how sure that is.",
)
@click.option(
    "--judge",
    "judge_folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="With --repeat: judge by the images of this folder too, one folder for each class; none of them may be in A or B.",
)
@click.option("--remote", is_flag=True, help="With --repeat: train on CodaLab's workers, in private.")
@DASK
@command(ServerApp, formats=("html",))
def compare(
    app: ServerApp,
    *,
    a: str,
    b: str,
    repeat: int | None,
    judge_folder: Path | None,
    remote: bool,
    dask: str | None,
) -> None:
    """Show what changed between two datasets, and which is better.

    A and B are folders, or preflights: their ids as `cldc history` shows them (the first digits will do), or names of datasets,
    of which the newest preflight is taken. Images are compared by content, not by name.

    One training says nothing of a small change, since another seed moves the accuracy by several points. With --repeat both are
    trained from the same seeds, and the answer has an interval that counts seeds and images. What was trained before is not
    trained again, so an interrupted command continues where it stopped.

    \b
    Examples:
      cldc compare before after
      cldc compare old/ new/ --repeat 10
      cldc compare old/ new/ --repeat 10 --judge photos/ --report compared.html
    """
    given = [
        option
        for option, value in {"--judge": judge_folder, "--remote": remote, "--dask": dask}.items()
        if value
    ]
    if repeat is None and given:
        raise UsageError(f"{given[0]} goes with --repeat.", action="Add --repeat 5.")
    if remote and dask:
        raise UsageError("--remote and --dask do not go together.", action="Leave one of them out.")
    if repeat is None:
        found = _compare_once(app, a, b)
    else:
        require_seeds(app.competition)
        found = _compare_repeatedly(
            app, a, b, times=repeat, judge_folder=judge_folder, remote=remote, dask=dask
        )
    app.output.show(
        comparison_document(found, functools.partial(_pictures, app, found), everything=app.output.verbose)
    )


def _compare_once(app: ServerApp, a: str, b: str) -> Comparison:
    before, after = (_find_preflight(app, word) for word in (a, b))
    if before.id == after.id:
        raise _same(a, b)
    return insight.compare(before, read(app.home, before.id), after, read(app.home, after.id))


def _same(a: str, b: str) -> UsageError:
    return UsageError(
        f"{a} and {b} hold the same images, so there is nothing to compare.",
        action="Name two different datasets.",
    )


def _find_preflight(app: ServerApp, word: str) -> PreflightResult:
    """The preflight that a word of the command line stands for.

    Raises:
        UsageError: There is none, or there are several.
    """
    results = [r for r in all_records(app.home) if r.fingerprint.competition == app.competition.name]
    if Path(word).is_dir():
        dataset = load(
            Path(word), splits=app.competition.dataset.splits, extensions=app.competition.dataset.extensions
        )
        named = [result for result in results if result.fingerprint.dataset == dataset.hash]
        if not named:
            raise UsageError(
                f"There is no preflight of {word} as it is now.",
                action=f"Run `cldc preflight {word}` first, or have both trained with --repeat 5.",
            )
    else:
        named = [result for result in results if word in result.names]
    if named:
        # The newest whole one trained as the competition trains, before one of another seed.
        command = app.competition.run.command
        return max(named, key=lambda r: (not r.quick, r.fingerprint.command == command, r.started))
    matching = [result for result in results if result.id.startswith(word)]
    whole = [result for result in matching if result.id == word or not result.quick]
    if len(whole or matching) == 1:
        return (whole or matching)[0]
    raise UsageError(
        f"{word} stands for {len(matching)} preflights."
        if matching
        else f"There is no folder and no preflight {word}.",
        action="Give a folder, or the id of a preflight or the name of a dataset as `cldc history` shows them.",
    )


def _compare_repeatedly(
    app: ServerApp, a: str, b: str, *, times: int, judge_folder: Path | None, remote: bool, dask: str | None
) -> Comparison:
    reports = [_report(app, word) for word in (a, b)]
    if reports[0].dataset.hash == reports[1].dataset.hash:
        raise _same(a, b)
    judge = read_label_book(judge_folder, app.competition) if judge_folder else None
    if judge:
        _require_unseen(judge, judge_folder, {a: reports[0], b: reports[1]})
    with contextlib.ExitStack() as stack:
        if remote:
            require_organisers(app)
            for report in reports:
                require_consent(app, report, ())
            train = functools.partial(_train_on_codalab, app)
        else:
            train = functools.partial(_train_with, app, stack.enter_context(trainer(app, dask=dask)))
        models = _train_models(app, reports, train, times=times, judge=judge)
    before, after = models[:times], models[times:]
    repeated = compare_repeats(before, after, judge_name=f"images of {judge_folder}")
    return _with_repeats(before[0], after[0], repeated)


def _with_repeats(before: TrainedModel, after: TrainedModel, repeated: RepeatedComparison) -> Comparison:
    found = insight.compare(before.result, before.predictions, after.result, after.predictions)
    return dataclasses.replace(found, repeated=repeated)


def _report(app: ServerApp, word: str) -> ValidationReport:
    """The validation of a folder, or of the one that a preflight was trained on.

    Raises:
        InvalidDataset: It has errors, or is not any more what that preflight was trained on.
    """
    if Path(word).is_dir():
        folder, identity = Path(word), None
    else:
        known = _find_preflight(app, word)
        folder, identity = Path(known.dataset_root), known.fingerprint.dataset
    report = validated(app, folder)
    if identity not in (None, report.dataset.hash):
        raise InvalidDataset(
            f"{folder} is not any more what {word} was trained on.",
            action=f"Name the folder itself to compare it as it is now: {folder}",
        )
    if not report.ok:
        app.output.tell(blocks(report))
    report.require_valid()
    return report


def _require_unseen(judge: LabelBook, folder: Path | None, datasets: Mapping[str, ValidationReport]) -> None:
    """Refuse judge images that a model was trained on or selected by: they say nothing about new images."""
    contents = {sha256 for _, sha256 in judge.images}
    known = {
        name: len(contents & {image.sha256 for image in report.dataset.images})
        for name, report in datasets.items()
    }
    if any(known.values()):
        counted = ", ".join(f"{count} in {name}" for name, count in known.items())
        raise UsageError(
            f"Images of {folder} can't judge, since models have learned them: of {len(contents)} there are {counted}.",
            action="Take them out of that folder, or out of the datasets, or judge by another folder.",
        )


def _train_models(
    app: ServerApp,
    reports: Sequence[ValidationReport],
    train: Callable[..., list[PreflightResult]],
    *,
    times: int,
    judge: LabelBook | None,
) -> list[TrainedModel]:
    """Every model of both datasets, those of the first one first."""
    inputs = training_inputs(app)
    trainings = [
        training
        for report in reports
        for training in repeats_of(inputs.training(report, app.competition), times)
    ]
    results = train(trainings)
    if judge:
        without_weights = [
            training
            for training, result in zip(trainings, results, strict=True)
            if not weights_folder(app.home, result.id).is_dir()
        ]
        if without_weights:  # an older cldc kept none
            train(without_weights, force=True)
            results = train(trainings)
    return [
        TrainedModel(
            result,
            read(app.home, result.id)
            or ModelPredictions(result.classes, (), "an older cldc kept nothing of the images"),
            _judged(app, result, judge) if judge else None,
        )
        for result in results
    ]


def _train_with(
    app: ServerApp, trains: Trainer, trainings: Sequence[Training], *, force: bool = False
) -> list[PreflightResult]:
    outcomes = train_all(trainings, trains, home=app.home, observer=app.observer, force=force)
    for outcome in outcomes:
        if isinstance(outcome, CldcError):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, PreflightResult)]


def _train_on_codalab(
    app: ServerApp, trainings: Sequence[Training], *, force: bool = False
) -> list[PreflightResult]:
    """Train on CodaLab's workers; the models are asked here."""
    remote = remote_of(app, keep=False, force=force, environment=tensorflow(app))
    found = train_remotely(remote, trainings)
    if found.failed:
        raise found.failed[0].error
    return list(found.results)


def _judged(app: ServerApp, result: PreflightResult, judge: LabelBook) -> ModelPredictions:
    try:
        return predict_folder(
            result,
            judge,
            home=app.home,
            competition=app.competition,
            environment=tensorflow(app),
            observer=app.observer,
        )
    except ModelUnusable as error:
        raise InvalidDataset(
            f"The model of preflight {result.id} can't judge: {error}.",
            action="Judge by the label book: leave --judge out.",
        ) from error


def _pictures(app: ServerApp, found: Comparison) -> Mapping[str, tuple[str, str]]:
    old, new = Path(found.before.dataset_root), Path(found.after.dataset_root)
    lists = (found.added, found.removed, found.relabelled, found.moved, found.fixed, found.broken)
    moves = [move for moved in lists for move in moved][:_MOST_PICTURES]
    # Where the folder was changed since, the picture is left out or is today's.
    places = {m.after or m.before: (new / m.after if m.after else old / m.before) for m in moves}
    return pictures(places.items(), size=app.competition.dataset.image_size)
