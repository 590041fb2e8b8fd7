"""Train on this machine, as many datasets at once as its processors and memory allow."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psutil

from cldc.environments import Environment
from cldc.preflight.model import PreflightResult, Training
from cldc.preflight.pipeline import preflight, threads
from cldc.process import ProcessGroup
from cldc.progress import Observer
from cldc.trainings.model import Trainer

# A training of ten thousand images peaked at 620 MB; the rest is for its checkpoint and this program.
BYTES_EACH = 800 * 2**20
_CGROUP = Path("/sys/fs/cgroup")


class LocalTrainer(Trainer):
    """Trains here: each training is a separate process with as many threads as it would have alone.

    A training keeps 1.4 processors busy on any machine, so as many as there are processors may run at once; the number of
    TensorFlow's threads, which affects the sums, stays that of the machine.
    """

    where = "here"

    def __init__(self, environment: Environment, home: Path, *, at_once: int) -> None:
        """Run up to ``at_once`` trainings at the same time."""
        self.threads = threads()
        self._environment = environment
        self._home = home
        self._group = ProcessGroup()
        self.at_once = at_once
        self._executor = ThreadPoolExecutor(at_once, thread_name_prefix="training")

    def submit(self, training: Training, observer: Observer, *, force: bool) -> Future[PreflightResult]:
        """Queue a training on this machine; see `Trainer.submit`."""
        return self._executor.submit(self._train, training, observer, force)

    def _train(self, training: Training, observer: Observer, force: bool) -> PreflightResult:
        with self._group.entered():
            return preflight(
                training, environment=self._environment, home=self._home, observer=observer, force=force
            )

    def result(self, training: Training, future: Future[PreflightResult]) -> PreflightResult:
        """Return the stored result of a finished future; see `Trainer.result`."""
        return future.result()

    def stop(self) -> None:
        """Stop all trainings, and wait until they have ended."""
        self._group.end()
        self._executor.shutdown(cancel_futures=True)


def most_at_once() -> int:
    """Compute how many trainings processors and free memory allow at the same time; at least one."""
    return max(1, min(threads(), free_memory() // BYTES_EACH))


def free_memory() -> int:
    """Return the free memory in bytes, of the machine or of the container around this process."""
    free = psutil.virtual_memory().available
    try:
        limit = int((_CGROUP / "memory.max").read_text())  # "max" if there is no limit
        free = min(free, limit - int((_CGROUP / "memory.current").read_text()))
    except (OSError, ValueError):
        pass
    return max(0, free)
