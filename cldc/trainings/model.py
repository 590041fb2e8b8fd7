"""Trainers, and the progress of each training."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, Self

from cldc.preflight.model import PreflightResult, Training
from cldc.process import raise_if_cancelled
from cldc.progress import Observer


class WorkerLost(Exception):
    """The worker that ran a training is gone."""


class Trainer(Protocol):
    """Trains in an executor.

    Attributes:
        where: The place of its trainings, such as "on this machine".
        threads: Number of threads that TensorFlow uses there, which changes a training's numbers; None if workers may differ.
        at_once: Number of trainings at the same time.
    """

    where: str
    threads: int | None
    at_once: int

    def submit(self, training: Training, observer: Observer, *, force: bool) -> Future[Any]:
        """Queue a training; a thread of the executor reports its progress to the observer."""

    def result(self, training: Training, future: Future[Any]) -> PreflightResult:
        """Return the stored result of a finished future.

        Raises:
            CldcError: The training failed.
            WorkerLost: Another worker may be able to do it.
        """

    def stop(self) -> None:
        """Stop all its trainings, and wait until those on this machine have ended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass(slots=True)
class TrainingProgress:
    """One training's progress, written by the training thread and read by the display thread.

    Updates raise `Cancelled` once the training must stop.

    Attributes:
        epochs: Epochs done, counting the running one in part.
        detail: The training's progress in a few words.
    """

    epochs: float = 0.0
    detail: str = ""
    _unit: str = ""

    def start(self, task: str, total: float | None = None, unit: str = "") -> None:
        """Start a task; only the training task counts epochs."""
        raise_if_cancelled()
        self._unit, self.detail = unit, task

    def advance(self, done: float, detail: str = "") -> None:
        """Update the progress of the task."""
        raise_if_cancelled()
        self.detail = detail or self.detail
        if self._unit == "epochs":
            self.epochs = done

    def note(self, text: str) -> None:
        """Ignore notes, which would interleave; the results hold what matters."""
        raise_if_cancelled()
        self.detail = text
