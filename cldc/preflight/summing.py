"""What is told of a run that ended well, wherever it ran."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cldc.competition import Competition
from cldc.preflight.following import Run
from cldc.preflight.judging import warnings_of
from cldc.preflight.model import Fingerprint, LabelBook, PreflightResult, Probe, Script
from cldc.preflight.output import Score
from cldc.validation import ValidationReport


@dataclass(frozen=True, slots=True)
class Subject:
    """What was trained: the validated dataset, with what, by whose rules."""

    report: ValidationReport
    script: Script
    label_book: LabelBook
    competition: Competition
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where and when it was trained.

    Attributes:
        probe: What TensorFlow said of the machine.
        faithful: Whether the environment trains what the competition trained.
        caveats: What is worth knowing of it before the result is trusted, as sentences.
        started: When, in UTC, as ISO 8601.
        log: The script's whole output.
        run: Uuid of the run bundle; empty for this machine.
    """

    probe: Probe
    faithful: bool
    caveats: tuple[str, ...]
    started: str
    log: Path
    run: str = ""


def sum_up(
    subject: Subject, run: Run, predictions: tuple[int, ...], validation: Score, where: Surroundings
) -> PreflightResult:
    """The result of a run whose predictions and validation score were found good."""
    dataset, competition, best = subject.report.dataset, subject.competition, run.output.best
    counts = {split: dataset.count(split) for split in competition.dataset.splits}
    return PreflightResult(
        fingerprint=subject.fingerprint,
        dataset_name=dataset.name,
        dataset_root=str(dataset.root),
        images={**counts, competition.bundles.label_book.name: len(subject.label_book.images)},
        classes=competition.dataset.classes,
        origin=subject.script.origin,
        faithful=where.faithful,
        quick=run.stopped,
        started=where.started,
        seconds=run.seconds,
        peak_memory=run.peak_memory,
        validation=validation,
        label_book=run.output.label_book,
        untrained=run.output.untrained,
        predictions=predictions,
        history=tuple(run.output.history),
        best_epoch=best.number if best else 0,
        probe=where.probe,
        warnings=(*warnings_of(run, predictions, competition), *where.caveats),
        log=str(where.log),
        run=where.run,
    )
