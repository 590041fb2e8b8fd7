"""Trainings on this machine, as many at once as its processors and its memory allow."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

import psutil

from cldc.environments import Environment
from cldc.preflight.model import PreflightResult, Training
from cldc.preflight.pipeline import preflight, threads
from cldc.process import Group
from cldc.progress import Observer
from cldc.trainings.model import Lane

# A training of ten thousand images held 620 MB at most; the rest is room for its checkpoint and for this program.
BYTES_EACH = 800 * 2**20
_CGROUP = Path("/sys/fs/cgroup")


class LocalTrainer:
    """Trains here: each training is a program of its own, with as many threads as it would have alone.

    A training keeps 1.4 processors busy, whatever there are, so there may be as many at once as processors; the number of
    TensorFlow's threads, which changes the sums, stays that of the machine.
    """

    where = "here"
    lost: tuple[type[BaseException], ...] = ()

    def __init__(self, environment: Environment, home: Path, *, at_once: int) -> None:
        """``at_once`` is how many train at the same time."""
        self._environment = environment
        self._home = home
        self._group = Group()
        self._executor = ThreadPoolExecutor(at_once, thread_name_prefix="training")

    def submit(self, training: Training, observer: Observer, *, force: bool) -> Future[PreflightResult]:
        """As `Trainer.submit`."""
        if isinstance(observer, Lane):
            observer.check = self._group.check
        return self._executor.submit(self._train, training, observer, force)

    def _train(self, training: Training, observer: Observer, force: bool) -> PreflightResult:
        with self._group.entered():
            return preflight(
                training, environment=self._environment, home=self._home, observer=observer, force=force
            )

    def result(self, training: Training, future: Future[PreflightResult]) -> PreflightResult:
        """As `Trainer.result`."""
        return future.result()

    def stop(self) -> None:
        """As `Trainer.stop`."""
        self._group.end()
        self._executor.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        """It is ready."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing running."""
        self.stop()


def most_at_once() -> int:
    """How many trainings this machine's processors and free memory carry at the same time; at least one."""
    return max(1, min(threads(), free_memory() // BYTES_EACH))


def free_memory() -> int:
    """Bytes that programs may still take: of the machine, or of the container that this runs in."""
    free = psutil.virtual_memory().available
    try:
        limit = int((_CGROUP / "memory.max").read_text())  # "max" where there is none
        free = min(free, limit - int((_CGROUP / "memory.current").read_text()))
    except (OSError, ValueError):
        pass
    return max(0, free)
