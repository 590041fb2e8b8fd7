"""What trains, and how far each training is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, Self

from cldc.preflight.model import FailedPreflight, PreflightResult, Training
from cldc.progress import Observer


class Trainer(Protocol):
    """Trains in an executor.

    Attributes:
        where: Where that is, as in "on this machine".
        lost: What a future raises when the worker that trained is gone.
    """

    where: str
    lost: tuple[type[BaseException], ...]

    def submit(self, training: Training, observer: Observer, *, force: bool) -> Future[Any]:
        """Have it trained as soon as there is room; the observer is told how far it is, from another thread."""

    def result(self, training: Training, future: Future[Any]) -> PreflightResult:
        """The kept result of a future that is done.

        Raises:
            CldcError: The training failed.
        """

    def stop(self) -> None:
        """End all its trainings, and wait until those on this machine are gone."""

    def __enter__(self) -> Self:
        """Make it ready."""

    def __exit__(self, *_: object) -> None:
        """Leave nothing running."""


@dataclass(frozen=True, slots=True)
class Preflights:
    """What came of several trainings, in the order in which the datasets were given."""

    results: tuple[PreflightResult, ...]
    failed: tuple[FailedPreflight, ...]


@dataclass(slots=True)
class Lane:
    """One training's progress, written by the thread that trains and read by the one that shows it.

    Attributes:
        check: Called at each news; raises where the training is to end.
        epochs: Epochs done, the running one in part.
        detail: How the training stands, in a few words.
    """

    check: Callable[[], None] = lambda: None
    epochs: float = 0.0
    detail: str = ""
    _unit: str = ""

    def start(self, task: str, total: float | None = None, unit: str = "") -> None:
        """A task begins; only that of training counts epochs."""
        self.check()
        self._unit, self.detail = unit, task

    def advance(self, done: float, detail: str = "") -> None:
        """The task has come further."""
        self.check()
        self.detail = detail or self.detail
        if self._unit == "epochs":
            self.epochs = done

    def note(self, text: str) -> None:
        """Notes of many trainings would drown each other; what matters is in the results."""
        self.check()
        self.detail = text
