"""Build the result of a successful run, wherever it ran."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cldc.preflight.following import Run
from cldc.preflight.model import Fingerprint, PreflightResult, Probe, Training
from cldc.preflight.output import Score
from cldc.preflight.run_checks import warnings_of


@dataclass(frozen=True, slots=True)
class RunEnvironment:
    """Time and environment of a training.

    Attributes:
        probe: TensorFlow's report about the machine.
        faithful: Whether the environment trains what the competition trained.
        caveats: Reasons not to trust the environment fully, as sentences.
        started: When, in UTC, as ISO 8601.
        log: The script's whole output.
        run: Uuid of the run bundle; empty for a local training.
    """

    probe: Probe
    faithful: bool
    caveats: tuple[str, ...]
    started: str
    log: Path
    run: str = ""


def build_result(
    training: Training,
    run: Run,
    *,
    fingerprint: Fingerprint,
    predictions: tuple[int, ...],
    validation: Score,
    environment: RunEnvironment,
) -> PreflightResult:
    """Build the result of a run whose predictions passed the checks."""
    dataset, competition, best = training.report.dataset, training.competition, run.output.best
    counts = {split: dataset.count(split) for split in competition.dataset.splits}
    return PreflightResult(
        fingerprint=fingerprint,
        dataset_name=dataset.name,
        dataset_root=str(dataset.root),
        images={**counts, competition.bundles.label_book.name: len(training.label_book.images)},
        classes=competition.dataset.classes,
        origin=training.script.origin,
        faithful=environment.faithful,
        quick=run.stopped,
        started=environment.started,
        seconds=run.seconds,
        peak_memory=run.peak_memory,
        validation=validation,
        label_book=run.output.label_book,
        untrained=run.output.untrained,
        predictions=predictions,
        history=tuple(run.output.history),
        best_epoch=best.number if best else 0,
        probe=environment.probe,
        warnings=(*warnings_of(run, predictions, competition), *environment.caveats),
        log=str(environment.log),
        run=environment.run,
    )
