"""Check whether a run has a trustworthy result, wherever it ran, and build it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from cldc.errors import PreflightFailed
from cldc.preflight.model import Fingerprint, PreflightResult, Probe, Score, Training
from cldc.preflight.predictions_file import UnusablePredictions, expected_labels, parse_predictions
from cldc.preflight.run_script import Run
from cldc.process import describe_exit
from cldc.text import plural

_KILLED = (-9, 137)
_SHOWN_LINES = 8


def build_result(
    training: Training,
    run: Run,
    *,
    fingerprint: Fingerprint,
    folder: Path,
    log: Path,
    tensorflow: str,
    probe: Probe,
    caveats: tuple[str, ...],
) -> PreflightResult:
    """Check a run, and build its result; of a run stopped after the first epoch, the result is that epoch's.

    Args:
        folder: The folder with the script's files.
        log: The file with the script's whole output.
        tensorflow: TensorFlow's version; empty if unknown.
        probe: TensorFlow's report about the machine.
        caveats: Where the environment does not train what the competition trained, the reasons as sentences.

    Raises:
        PreflightFailed: The run has no usable result.
    """
    dataset, competition, best = training.report.dataset, training.competition, run.output.best
    predictions: tuple[int, ...] = ()
    if run.stopped:
        first = run.output.history[0]
        validation = Score(first.val_loss, first.val_accuracy)
    else:
        predictions, validation = _require_usable(training, run, folder, log, tensorflow)
    counts = {split: dataset.count(split) for split in competition.dataset.splits}
    return PreflightResult(
        fingerprint=fingerprint,
        dataset_name=dataset.name,
        dataset_root=str(dataset.root),
        images={**counts, competition.bundles.label_book.name: len(training.label_book.images)},
        classes=competition.dataset.classes,
        origin=training.script.origin,
        faithful=not caveats,
        quick=run.stopped,
        started=run.started,
        seconds=run.seconds,
        peak_memory=run.peak_memory,
        validation=validation,
        label_book=run.output.label_book,
        untrained=run.output.untrained,
        predictions=predictions,
        history=tuple(run.output.history),
        best_epoch=best.number if best else 0,
        probe=probe,
        warnings=(*_warnings(training, run, predictions), *caveats),
        log=str(log),
        run=run.uuid,
    )


def _require_usable(
    training: Training, run: Run, folder: Path, log: Path, tensorflow: str
) -> tuple[tuple[int, ...], Score]:
    """Return the predictions of a successful run, and its score on the validation split.

    Raises:
        PreflightFailed: The run has no usable result.
    """
    output, competition = run.output, training.competition
    if output.refusal:
        raise PreflightFailed(
            f"The training script refused the dataset: {output.refusal}. It counts whole batches of "
            f"{competition.dataset.batch}, and still ends with exit code {run.returncode}.",
            action="Remove images, then run the preflight again; `cldc validate` shows how they are counted.",
        )
    if run.returncode:
        raise _ended(run, log)
    path = folder / competition.run.predictions
    labels = expected_labels(training.label_book, competition, training.script, tensorflow=tensorflow)
    action = f"Read the script's output in {log}; a submission of this run would be lost."
    try:
        predictions = parse_predictions(path.read_bytes(), labels, output, what=path.name)
    except FileNotFoundError:
        raise PreflightFailed(
            f"The training script ended with exit code 0 but left no {path.name}.", action=action
        ) from None
    except OSError as error:
        raise PreflightFailed(f"{path.name} can't be read: {error}.", action=action) from error
    except UnusablePredictions as error:
        raise PreflightFailed(str(error), action=action) from error
    if output.validation is None or output.label_book is None:
        raise PreflightFailed(
            "The training script ended without an error but did not print its final accuracy on the validation split and the label book.",
            action=f"Read its output in {log}, and check that it is the competition's script.",
        )
    if not math.isfinite(output.validation.loss):
        raise PreflightFailed(
            f"The training diverged: the loss on the validation split is {output.validation.loss} in the end.",
            action=f"Look for images that are all of one colour or labelled at random; the epochs are in {log}.",
        )
    return predictions, output.validation


def _ended(run: Run, log: Path) -> PreflightFailed:
    """Explain why a run ended with an error."""
    lines = list(run.output.tail)
    if any("No space left on device" in line for line in lines):
        return PreflightFailed(
            "The disk was full while the training script wrote its files.",
            action="Free some space, or point TMPDIR to another disk, then run the preflight again.",
        )
    if run.returncode in _KILLED:
        held = f"; it held {run.peak_memory / 1e6:,.0f} MB" if run.peak_memory else ""
        return PreflightFailed(
            f"The training script was killed (signal SIGKILL) after {run.seconds:.0f} s, most probably because memory "
            f"ran out{held}.",
            action=f"Free some memory, then run the preflight again; its output is in {log}.",
        )
    ended = f"The training script ended with {describe_exit(run.returncode)}"
    if not lines:
        return PreflightFailed(
            f"{ended} and printed nothing.", action="Correct the script, then run the preflight again."
        )
    shown = "\n".join(f"  {line}" for line in lines[-_SHOWN_LINES:])
    return PreflightFailed(
        f"{ended}. Its last lines:\n{shown}",
        action=f"Correct the error that they report, then run the preflight again; the whole output is in {log}.",
    )


def _warnings(training: Training, run: Run, predictions: tuple[int, ...]) -> Iterator[str]:
    """List reasons to doubt the result, as sentences."""
    competition, history = training.competition, run.output.history
    never = [name for index, name in enumerate(competition.dataset.classes) if index not in predictions]
    if predictions and never:
        noun = "class" if len(never) == 1 else "classes"
        yield f"The model never predicts the {noun} {', '.join(never)} on the label book."
    if diverged := [epoch.number for epoch in history if not math.isfinite(epoch.loss + epoch.val_loss)]:
        yield f"The loss was not a number from epoch {diverged[0]} on; the best epoch before it was kept."
    epochs = competition.training.epochs
    if history and predictions and run.output.epoch != epochs:
        yield f"The script trained {plural(run.output.epoch, 'epoch')}; the competition's trains {epochs}."
