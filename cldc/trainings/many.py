"""Hand trainings to a trainer, show their progress and collect the results."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

from cldc.errors import CldcError, PreflightFailed
from cldc.preflight.model import Outcome, PreflightResult, Training
from cldc.preflight.result_store import all_records, for_training
from cldc.progress import SILENT, Observer
from cldc.text import duration
from cldc.trainings.model import Trainer, TrainingProgress, WorkerLost
from cldc.trainings.time_estimates import estimate_trainings

# Fast enough for a display to look smooth.
_REPORT_SECONDS = 0.2
_MOST_TRIES = 2
# How many running epochs fit on one line.
_MOST_SHOWN = 4


def train_all(
    trainings: Sequence[Training],
    trainer: Trainer,
    *,
    home: Path,
    observer: Observer = SILENT,
    force: bool = False,
) -> tuple[Outcome, ...]:
    """Run the trainings that have no record yet, as many at once as the trainer can.

    Earlier trainings with as many threads are returned from their records, wherever they ran, so an interrupted call
    resumes where it stopped. A training given twice runs once. A training whose worker dies is repeated once.

    Returns:
        For each training its result, or the reason for having none.
    """
    records = all_records(home)
    outcomes: dict[tuple[str, ...], Outcome] = {}
    for record in () if force else records:  # the newest of each training comes last
        same_threads = trainer.threads in (None, record.fingerprint.threads)
        # A run on a CodaLab, in its own image, counts for that server only.
        if record.complete and not record.fingerprint.server and same_threads:
            outcomes[record.fingerprint.key] = record
    missing = {training.key: training for training in trainings if training.key not in outcomes}
    if len(missing) > 1:
        processors = trainer.threads or trainer.at_once
        observer.note(
            estimate_trainings(missing.values(), records, at_once=trainer.at_once, processors=processors)
        )
    outcomes |= _Trainings(missing, trainer, observer).run(force=force) if missing else {}
    found = []
    for training in trainings:
        outcome = outcomes[training.key]
        if isinstance(outcome, PreflightResult):
            outcome = for_training(home, outcome, training)
        found.append(outcome)
    return tuple(found)


class _Trainings:
    """Trainings in progress."""

    def __init__(
        self, trainings: Mapping[tuple[str, ...], Training], trainer: Trainer, observer: Observer
    ) -> None:
        self._trainings = trainings
        self._trainer = trainer
        self._observer = observer
        self._progress = {key: TrainingProgress() for key in trainings}
        self._outcomes: dict[tuple[str, ...], Outcome] = {}
        self._tries = dict.fromkeys(trainings, 0)

    def run(self, *, force: bool) -> dict[tuple[str, ...], Outcome]:
        """Run all trainings; an interruption stops the running ones."""
        epochs = sum(t.competition.training.epochs for t in self._trainings.values())
        count = len(self._trainings)
        times = f" {count} times" if count > 1 else ""
        self._observer.start(f"Training{times} {self._trainer.where}", epochs, "epochs")
        began = time.monotonic()
        try:
            running = {self._submit(key, force=force): key for key in self._trainings}
            while running:
                done, _ = wait(running, _REPORT_SECONDS, FIRST_COMPLETED)
                for future in done:
                    key = running.pop(future)
                    if not self._collect(key, future):
                        running[self._submit(key, force=force)] = key
                self._report(epochs, time.monotonic() - began)
        except BaseException as error:
            self._trainer.stop()
            if not isinstance(error, Exception):
                error.add_note(self._after_interruption())
            raise
        return self._outcomes

    def _after_interruption(self) -> str:
        """Describe the state after an interruption."""
        kept = sum(isinstance(outcome, PreflightResult) for outcome in self._outcomes.values())
        if len(self._progress) > 1:
            return f"Stopped. {kept} of {len(self._progress)} trainings are kept; the others start over."
        (progress,) = self._progress.values()
        return f"Stopped at epoch {int(progress.epochs) + 1}; training starts over."

    def _submit(self, key: tuple[str, ...], *, force: bool) -> Future[Any]:
        self._tries[key] += 1
        return self._trainer.submit(self._trainings[key], self._progress[key], force=force)

    def _collect(self, key: tuple[str, ...], future: Future[Any]) -> bool:
        """Store the outcome of a training; False if its worker is gone and another one should try."""
        training, epochs = self._trainings[key], self._trainings[key].competition.training.epochs
        name = training.report.dataset.name
        try:
            self._outcomes[key] = self._trainer.result(training, future)
        except CldcError as error:
            self._outcomes[key] = error
            self._observer.note(f"{name} has no result: {error.message.splitlines()[0]}")
        except WorkerLost as error:
            if self._tries[key] < _MOST_TRIES:
                self._observer.note(f"The worker that trained {name} is gone; training it again.")
                return False
            self._outcomes[key] = PreflightFailed(
                f"The worker that trained {name} died {self._tries[key]} times: {error}.",
                action="Look at the workers' logs (did they run out of memory?), then run the command again.",
            )
        self._progress[key].epochs = epochs
        return True

    def _report(self, epochs: int, seconds: float) -> None:
        done = sum(progress.epochs for progress in self._progress.values())
        if len(self._progress) == 1:
            (progress,) = self._progress.values()
            self._observer.advance(done, progress.detail)
            return
        parts = [f"{len(self._outcomes)} of {len(self._progress)} done"]
        running = [
            progress.epochs
            for key, progress in self._progress.items()
            if key not in self._outcomes and progress.epochs
        ]
        if running:
            parts.append(f"epoch {', '.join(str(int(at) + 1) for at in running[:_MOST_SHOWN])}")
        if 1 < done < epochs:
            parts.append(f"{duration((epochs - done) * seconds / done)} left")
        self._observer.advance(done, "  ".join(parts))
