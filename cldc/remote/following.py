"""Follow runs on the server: parse their output, and detect lost workers."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cldc.bundles.run_log import RunLog
from cldc.codalab import Bundle, Rest, progress_of
from cldc.codalab.wait import PATIENCE_SECONDS
from cldc.errors import Unreachable
from cldc.preflight.output import done_epochs
from cldc.preflight.run_script import describe
from cldc.remote.model import Job, Remote

# CodaLab waits a minute before it marks a worker offline; a restarting worker is back within another minute.
OFFLINE_SECONDS = 60.0
_SHORTEST_SECONDS, _LONGEST_SECONDS, _GROWTH = 0.5, 5.0, 1.3
# After this time, explain why no worker takes the run.
_PATIENT_SECONDS = 120.0
# Number of runs that fit on one line of a terminal.
_MOST_SHOWN, _LONGEST_NAME = 3, 12


@dataclass(slots=True)
class Follower:
    """The state of one run in progress.

    Attributes:
        log: Its output so far.
        bundle: As last read; None if it was removed.
        offline_since: When its worker was first seen offline; None while it is online.
    """

    job: Job
    log: RunLog
    bundle: Bundle | None = None
    offline_since: float | None = None
    _waits_since: float | None = None

    @property
    def ended(self) -> bool:
        """Whether it is over: its state is final, its worker is lost, or it was removed."""
        return self.bundle is None or self.bundle.final or self.lost

    @property
    def lost(self) -> bool:
        """Whether its worker has been offline too long to come back, or the run was removed."""
        gone = self.offline_since is not None and time.monotonic() - self.offline_since >= OFFLINE_SECONDS
        return self.bundle is None or gone

    def take(self, bundle: Bundle, remote: Remote) -> None:
        """Update with the bundle as the server shows it."""
        self.bundle = bundle
        if bundle.state == "worker_offline" and self.offline_since is None:
            self.offline_since = time.monotonic()
            remote.observer.note(
                f"The worker that trained {self.job.name} has stopped answering; it has {OFFLINE_SECONDS:.0f} s to come back."
            )
        elif bundle.state != "worker_offline" and self.offline_since is not None:
            self.offline_since = None
            remote.observer.note(f"The worker of {self.job.name} is back.")
        self._explain_waiting(bundle, remote)

    def _explain_waiting(self, bundle: Bundle, remote: Remote) -> None:
        """Report once CodaLab's explanation for a run that no worker takes."""
        if bundle.state != "staged":
            self._waits_since = None
        elif self._waits_since is None:
            self._waits_since = time.monotonic()
        elif time.monotonic() - self._waits_since > _PATIENT_SECONDS:
            self._waits_since = math.inf
            said = f": {bundle.state_details}" if bundle.state_details else "."
            remote.observer.note(f"{self.job.name} still waits for a worker{said}")


def follow(remote: Remote, followers: Sequence[Follower], rest: Rest, *, waiting: int, done: int) -> None:
    """Poll the runs until one has ended, reporting the progress of all in epochs.

    ``rest`` reads their output, with a short timeout. ``waiting`` datasets have no run yet, and ``done`` are finished.

    Raises:
        Unreachable: The server was unreachable for ten minutes.
    """
    epochs = remote.competition.training.epochs
    last_seen, pause = time.monotonic(), _SHORTEST_SECONDS
    while True:
        try:
            _poll(remote, followers)
            last_seen = time.monotonic()
        except Unreachable:
            if time.monotonic() - last_seen > PATIENCE_SECONDS:
                raise
            remote.observer.note(f"{remote.rest.server} does not answer; still waiting for it.")
        for follower in followers:
            if follower.bundle is not None:
                follower.log.follow(follower.bundle, rest)
        at = epochs * done + sum(done_epochs(follower.log.output) for follower in followers)
        remote.observer.advance(at, summarize(followers, waiting))
        if any(follower.ended for follower in followers):
            return
        time.sleep(pause)
        pause = min(pause * _GROWTH, _LONGEST_SECONDS)


def _poll(remote: Remote, followers: Sequence[Follower]) -> None:
    found = remote.rest.bundles(follower.job.run for follower in followers)
    for follower in followers:
        if bundle := found.get(follower.job.run):
            follower.take(bundle, remote)
        elif not remote.rest.exists(follower.job.run):
            follower.bundle = None


def summarize(followers: Sequence[Follower], waiting: int) -> str:
    """Summarize the runs' progress in a few words: one in full, several in short."""
    if len(followers) == 1 and not waiting:
        return _in_full(followers[0])
    shown = [_in_short(follower) for follower in followers[:_MOST_SHOWN]]
    if more := len(followers) - len(shown) + waiting:
        shown.append(f"{more} more")
    return "  ".join(shown)


def _in_full(follower: Follower) -> str:
    if follower.log.output.epoch:
        return describe(follower.log.output, now=time.monotonic(), began=follower.log.began)
    if follower.bundle is None:
        return "gone"
    return "waits for a worker" if follower.bundle.state == "staged" else progress_of(follower.bundle)


def _in_short(follower: Follower) -> str:
    output, name = follower.log.output, follower.job.name
    state = follower.bundle.state if follower.bundle is not None else "gone"
    if output.epoch and follower.offline_since is None:
        best = f" {output.best.val_accuracy:.0%}" if output.best else ""
        state = f"{len(output.history)}/{output.epochs}{best}"
    return f"{name if len(name) <= _LONGEST_NAME else f'{name[: _LONGEST_NAME - 1]}…'} {state}"
