"""Run the training script in its environment, and report its epochs as they end."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from cldc.files import storage_errors
from cldc.preflight.model import Training
from cldc.preflight.output import ScriptOutput
from cldc.preflight.workspace import Workspace
from cldc.process import Stream
from cldc.progress import Observer

# Fast enough for a display to look smooth.
_REPORT_SECONDS = 0.2
# On the 2021 starting dataset the best epoch of a run remained unbeaten for up to a third of the run.
_PATIENCE_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Run:
    """A script's run that has ended, here or on CodaLab.

    Attributes:
        output: Its parsed output.
        returncode: Its exit code, or minus the signal that ended it.
        started: The start time, in UTC, as ISO 8601.
        seconds: How long it ran.
        peak_memory: Bytes; 0 where unknown.
        stopped: Whether we stopped it after the first epoch.
        uuid: Uuid of the run bundle; empty for a run here.
    """

    output: ScriptOutput
    returncode: int
    started: str
    seconds: float
    peak_memory: int = 0
    stopped: bool = False
    uuid: str = ""


def run_script(training: Training, workspace: Workspace, observer: Observer, *, quick: bool = False) -> Run:
    """Run the script in its workspace to its end, or if ``quick`` to the end of the first epoch; its output goes to `Workspace.log`.

    Raises:
        ProcessFailed: It can't be started.
        StorageError: The log can't be written.
    """
    competition = training.competition
    names = {"dataset": training.report.dataset.name, "label_book": competition.bundles.label_book.name}
    words = [word.format_map(names) for word in shlex.split(competition.run.command)]
    if words[0] in ("python", "python3"):
        words[0] = str(workspace.python)
    output, reporter = ScriptOutput(), _EpochReporter(observer, competition.training.epochs)
    moment, began, stopped = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic(), False
    with storage_errors(workspace.log), workspace.log.open("w", encoding="utf-8") as log:
        try:
            with Stream(words, env=workspace.env, cwd=workspace.root) as child:
                for line in child:
                    now = time.monotonic()
                    for final in output.feed(line + "\n", now=now):
                        log.write(final + "\n")
                    reporter.report(output, now)
                    stopped = quick and bool(output.history)
                    if stopped:
                        break
        except BaseException as error:
            if not isinstance(error, Exception):
                at = f" at epoch {output.epoch}" if output.epoch else ""
                error.add_note(f"Stopped{at}; training starts over.")
            raise
        for final in output.close(now=time.monotonic()):
            log.write(final + "\n")
    seconds = time.monotonic() - began
    return Run(output, child.returncode, moment, seconds, child.peak_memory_bytes or 0, stopped)


class _EpochReporter:
    """Reports progress to an observer at a limited rate."""

    def __init__(self, observer: Observer, epochs: int) -> None:
        self._observer = observer
        self._epochs = epochs
        self._reported = 0.0
        self._hinted_at = 0
        observer.start("Training", epochs, "epochs")

    def report(self, output: ScriptOutput, now: float) -> None:
        if output.epochs and output.epochs != self._epochs:
            self._epochs = output.epochs
            self._observer.start("Training", output.epochs, "epochs")
        if now - self._reported >= _REPORT_SECONDS:
            self._reported = now
            self._observer.advance(output.epochs_done, output.describe(now=now))
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
