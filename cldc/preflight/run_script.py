"""Run the training script in its environment, and report its epochs as they end."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from pathlib import Path

from cldc.files import storage_errors
from cldc.preflight.model import Training
from cldc.preflight.output import Output, done_epochs, seconds_left
from cldc.preflight.workspace import Workspace
from cldc.process import stream
from cldc.progress import Observer
from cldc.text import duration

# Fast enough for a display to look smooth.
_REPORT_SECONDS = 0.2
# On the 2021 starting dataset the best epoch of a run remained unbeaten for up to a third of the run.
_PATIENCE_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Run:
    """The end of a script's run.

    Attributes:
        output: Its parsed output.
        returncode: Its exit code, or minus the signal that ended it.
        seconds: How long it ran.
        peak_memory: Bytes; 0 where unknown.
        stopped: Whether we stopped it after the first epoch.
    """

    output: Output
    returncode: int
    seconds: float
    peak_memory: int
    stopped: bool


def command(training: Training, python: Path) -> list[str]:
    """Build the profile's run command with the environment's Python and the names in the workspace."""
    competition = training.competition
    names = {"dataset": training.report.dataset.name, "label_book": competition.bundles.label_book.name}
    words = [word.format_map(names) for word in shlex.split(competition.run.command)]
    return [str(python) if words[0] in ("python", "python3") else words[0], *words[1:]]


def follow(
    words: list[str],
    *,
    workspace: Workspace,
    epochs: int,
    log: Path,
    observer: Observer,
    only_first_epoch: bool = False,
) -> Run:
    """Run ``words`` in the workspace to its end (or the end of the first epoch), with its output written to ``log``.

    Raises:
        ProcessFailed: It can't be started.
        StorageError: The log can't be written.
    """
    output, reporter, started, stopped = Output(), _EpochReporter(observer, epochs), time.monotonic(), False
    observer.start("Training", epochs, "epochs")
    with storage_errors(log), log.open("w", encoding="utf-8") as file:
        try:
            with stream(words, env=workspace.env, cwd=workspace.root) as child:
                for line in child:
                    now = time.monotonic()
                    for final in output.feed(line + "\n", now=now):
                        file.write(final + "\n")
                    reporter.report(output, now)
                    stopped = only_first_epoch and bool(output.history)
                    if stopped:
                        break
        except BaseException as error:
            if not isinstance(error, Exception):
                at = f" at epoch {output.epoch}" if output.epoch else ""
                error.add_note(f"Stopped{at}; training starts over.")
            raise
        for final in output.close(now=time.monotonic()):
            file.write(final + "\n")
    seconds = time.monotonic() - started
    return Run(output, child.returncode, seconds, child.peak_memory_bytes or 0, stopped)


class _EpochReporter:
    """Reports progress to an observer at a limited rate."""

    def __init__(self, observer: Observer, epochs: int) -> None:
        self._observer = observer
        self._epochs = epochs
        self._reported = 0.0
        self._began: float | None = None
        self._hinted_at = 0

    def report(self, output: Output, now: float) -> None:
        if output.epoch and self._began is None:
            self._began = now
        if output.epochs and output.epochs != self._epochs:
            self._epochs = output.epochs
            self._observer.start("Training", output.epochs, "epochs")
        if now - self._reported >= _REPORT_SECONDS:
            self._reported = now
            self._observer.advance(done_epochs(output), describe(output, now=now, began=self._began))
        self._hint(output)

    def _hint(self, output: Output) -> None:
        best, last = output.best, len(output.history)
        if (
            best
            and last - best.number >= max(5, _PATIENCE_SHARE * self._epochs)
            and best.number > self._hinted_at
        ):
            self._hinted_at = best.number
            self._observer.note(
                f"The best epoch is still {best.number} ({best.val_accuracy:.1%}), {last - best.number} epochs ago; "
                "it may stay the best. The training goes on, as the competition's does."
            )


def describe(output: Output, *, now: float, began: float | None) -> str:
    """Format the progress of a training: ``epoch 23/100  val 61 %  best 63 % (19)  8 min left``."""
    if not output.epoch:
        return "starting TensorFlow"
    words = [f"epoch {output.epoch}/{output.epochs}"]
    if output.history:
        words.append(f"val {100 * output.history[-1].val_accuracy:.0f} %")
    if best := output.best:
        words.append(f"best {100 * best.val_accuracy:.0f} % ({best.number})")
    if began is not None and (left := seconds_left(output, now=now, started=began)) is not None:
        words.append(f"{duration(left)} left")
    return "  ".join(words)
