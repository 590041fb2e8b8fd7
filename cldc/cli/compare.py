"""`cldc compare`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from cldc.cli import completion
from cldc.cli.contestant import remote_account, require_consent, require_organisers
from cldc.cli.options import EXISTING_FOLDER, command, refuse_combined
from cldc.cli.server_app import ServerApp
from cldc.cli.training import DASK, tensorflow, train, trainings_of
from cldc.cli.validating import require_valid, validated
from cldc.dataset import load
from cldc.errors import InvalidDataset, UsageError
from cldc.insight.comparing import Comparison, compare_preflights
from cldc.insight.page_pictures import pictures
from cldc.insight.paired import Train, TrainedModel, compare_repeats, require_unseen, train_models
from cldc.preflight.inputs import label_books, read_label_book
from cldc.preflight.model import LabelBook, ModelPredictions, Outcome, PreflightResult, Training
from cldc.preflight.predicting import predict_folder
from cldc.preflight.repeats import repeats_of, require_seeds
from cldc.preflight.result_store import find_named, read_predictions
from cldc.remote.pipeline import preflight_remotely as train_remotely
from cldc.render.comparison import comparison_document
from cldc.validation import ValidationReport

_MOST_PICTURES = 1200


@command(ServerApp, formats=("html",))
@click.argument("a", metavar="A", shell_complete=completion.preflights)
@click.argument("b", metavar="B", shell_complete=completion.preflights)
@click.option(
    "--repeat",
    type=click.IntRange(2, 50),
    metavar="N",
    help="Train both from the same N seeds, and say which is better and how sure that is.",
)
@click.option(
    "--judge",
    "judge_folder",
    type=EXISTING_FOLDER,
    metavar="DIR",
    help="With --repeat: judge by the images of this folder too, one folder for each class; none of them may be in A or B.",
)
@click.option("--remote", is_flag=True, help="With --repeat: train on CodaLab's workers, in private.")
@DASK
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

    One training says nothing about a small change, since another seed moves the accuracy by several points. With --repeat both are
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
    if Path(a) == Path(b) or (Path(a).is_dir() and Path(b).is_dir() and Path(a).samefile(b)):
        raise _same(a, b)
    if repeat is None and given:
        raise UsageError(f"{given[0]} needs --repeat.", action="Add --repeat 5.")
    refuse_combined({"--remote": remote, "--dask": dask})
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
    return compare_preflights(
        TrainedModel(before, read_predictions(app.home, before.id)),
        TrainedModel(after, read_predictions(app.home, after.id)),
    )


def _same(a: str, b: str) -> UsageError:
    return UsageError(
        f"{a} and {b} hold the same images, so there is nothing to compare.",
        action="Name two different datasets.",
    )


def _find_preflight(app: ServerApp, word: str) -> PreflightResult:
    dataset = None
    if Path(word).is_dir():
        dataset = load(Path(word), app.competition.dataset).hash
    return find_named(app.home, word, app.competition, dataset=dataset)


def _compare_repeatedly(
    app: ServerApp, a: str, b: str, *, times: int, judge_folder: Path | None, remote: bool, dask: str | None
) -> Comparison:
    reports = [_report(app, word) for word in (a, b)]
    if reports[0].dataset.hash == reports[1].dataset.hash:
        raise _same(a, b)
    judge = read_label_book(judge_folder, app.competition) if judge_folder else None
    if judge:
        if app.competition.training.checkpoint is None:
            raise UsageError(
                f"{judge_folder} can't judge: the profile {app.competition.name} names no file in which its script keeps "
                "the model.",
                action="Judge by the label book: leave --judge out. Or name that file as training.checkpoint.",
            )
        require_unseen(judge, {a: reports[0].dataset, b: reports[1].dataset})
    train_both: Train = functools.partial(train, app, dask=dask)
    if remote:
        require_organisers(app)
        for report in reports:
            require_consent(app, report, ())
        train_both = functools.partial(_train_on_codalab, app)
    trainings = [training for once in trainings_of(app, reports) for training in repeats_of(once, times)]
    predict = functools.partial(_predict, app, judge) if judge else None
    models = train_models(trainings, train_both, predict=predict, home=app.home)
    before, after = models[0], models[times]
    found = compare_preflights(before, after)
    repeated = compare_repeats(models[:times], models[times:], judge_name=f"images of {judge_folder}")
    return dataclasses.replace(found, repeated=repeated)


def _report(app: ServerApp, word: str) -> ValidationReport:
    """Validate a folder, or the one that a preflight was trained on.

    Raises:
        InvalidDataset: It has errors, or has changed since that preflight.
    """
    if Path(word).is_dir():
        folder, identity = Path(word), None
    else:
        known = _find_preflight(app, word)
        folder, identity = Path(known.dataset_root), known.fingerprint.dataset
    report = validated(app, folder)
    if identity not in (None, report.dataset.hash):
        raise InvalidDataset(
            f"{folder} has changed since {word} was trained.",
            action=f"Name the folder itself to compare it as it is now: {folder}",
        )
    require_valid(app, report)
    return report


def _train_on_codalab(app: ServerApp, trainings: Sequence[Training], *, force: bool = False) -> list[Outcome]:
    """Train on CodaLab's workers; the models predict here."""
    remote = remote_account(app, keep=False, force=force, environment=tensorflow(app))
    return [outcome for _, outcome in train_remotely(remote, trainings)]


def _predict(app: ServerApp, judge: LabelBook, result: PreflightResult) -> ModelPredictions:
    return predict_folder(
        result,
        judge,
        home=app.home,
        competition=app.competition,
        environment=tensorflow(app),
        observer=app.observer,
    )


def _pictures(app: ServerApp, found: Comparison) -> Mapping[str, tuple[str, str]]:
    lists = (found.added, found.removed, found.relabelled, found.moved, found.fixed, found.broken)
    moves = [move for moved in lists for move in moved][:_MOST_PICTURES]
    # If a folder has changed since, its picture is today's or is left out.
    paths = {
        m.after or m.before: _image_path(app, found.after, m.after)
        if m.after
        else _image_path(app, found.before, m.before)
        for m in moves
    }
    return pictures(paths.items(), size=app.competition.dataset.image_size)


def _image_path(app: ServerApp, result: PreflightResult, path: str) -> Path:
    """Find the file of an image: of a preflight's dataset, or of the downloaded label book."""
    folder, _, rest = path.partition("/")
    if folder == app.competition.bundles.label_book.name:
        return label_books(app.home, app.competition) / result.fingerprint.label_book / rest
    return Path(result.dataset_root, path)
