"""Follow runs on the server: parse their output, and detect lost workers."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from cldc.codalab import Bundle, Rest, progress_of
from cldc.codalab.wait import PATIENCE_SECONDS
from cldc.errors import Unreachable
from cldc.remote.model import OFFLINE_SECONDS, Job, Remote

_SHORTEST_SECONDS, _LONGEST_SECONDS, _GROWTH = 0.5, 5.0, 1.3
# After this time, explain why no worker takes the run.
_PATIENT_SECONDS = 120.0
# Number of runs that fit on one line of a terminal.
_MOST_SHOWN, _LONGEST_NAME = 3, 12


def follow(remote: Remote, jobs: Sequence[Job], rest: Rest, *, waiting: int, done: int) -> None:
    """Poll the runs until one has ended, reporting the progress of all in epochs.

    ``rest`` reads their output, with a short timeout. ``waiting`` datasets have no run yet, and ``done`` are finished.

    Raises:
        Unreachable: The server was unreachable for ten minutes.
    """
    epochs = remote.competition.training.epochs
    last_seen, pause = time.monotonic(), _SHORTEST_SECONDS
    while True:
        try:
            _poll(remote, jobs)
        except Unreachable:
            if time.monotonic() - last_seen > PATIENCE_SECONDS:
                raise
            remote.observer.note(f"{remote.rest.server} does not answer; still waiting for it.")
        else:
            last_seen = time.monotonic()
            for job in jobs:
                if job.bundle is not None:
                    job.log.follow(job.bundle, rest)
            at = epochs * done + sum(job.log.output.epochs_done for job in jobs)
            remote.observer.advance(at, summarize(jobs, waiting))
            if any(job.ended for job in jobs):
                return
        time.sleep(pause)
        pause = min(pause * _GROWTH, _LONGEST_SECONDS)


def _poll(remote: Remote, jobs: Sequence[Job]) -> None:
    found = remote.rest.bundles(job.run for job in jobs)
    for job in jobs:
        if bundle := found.get(job.run):
            _update(job, bundle, remote)
        elif not remote.rest.found(job.run):
            job.bundle = None


def _update(job: Job, bundle: Bundle, remote: Remote) -> None:
    """Update a job with its run as the server shows it, and note what a person should know of its worker."""
    job.bundle = bundle
    if bundle.state == "worker_offline" and job.offline_since is None:
        job.offline_since = time.monotonic()
        remote.observer.note(
            f"The worker that trained {job.name} has stopped answering; it has {OFFLINE_SECONDS:.0f} s to come back."
        )
    elif bundle.state != "worker_offline" and job.offline_since is not None:
        job.offline_since = None
        remote.observer.note(f"The worker of {job.name} is back.")
    if bundle.state != "staged":
        job.waits_since = None
    elif job.waits_since is None:
        job.waits_since = time.monotonic()
    elif time.monotonic() - job.waits_since > _PATIENT_SECONDS:
        job.waits_since = math.inf
        said = f": {bundle.state_details}" if bundle.state_details else "."
        remote.observer.note(f"{job.name} still waits for a worker{said}")


def summarize(jobs: Sequence[Job], waiting: int) -> str:
    """Summarize the runs' progress in a few words: one in full, several in short."""
    if len(jobs) == 1 and not waiting:
        return _in_full(jobs[0])
    shown = [_in_short(job) for job in jobs[:_MOST_SHOWN]]
    if more := len(jobs) - len(shown) + waiting:
        shown.append(f"{more} more")
    return "  ".join(shown)


def _in_full(job: Job) -> str:
    if job.log.output.epoch:
        return job.log.output.describe(now=time.monotonic())
    if job.bundle is None:
        return "gone"
    return "waits for a worker" if job.bundle.state == "staged" else progress_of(job.bundle)


def _in_short(job: Job) -> str:
    output, name = job.log.output, job.name
    state = job.bundle.state if job.bundle is not None else "gone"
    if output.epoch and job.offline_since is None:
        best = f" {output.best.val_accuracy:.0%}" if output.best else ""
        state = f"{len(output.history)}/{output.epochs}{best}"
    return f"{name if len(name) <= _LONGEST_NAME else f'{name[: _LONGEST_NAME - 1]}…'} {state}"
