"""Run several preflights on one server, from valid datasets to stored results."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence

from cldc.bundles.attempts import BROKEN_OFF, repeat
from cldc.bundles.computing_time import check_time, runs_of_preflights
from cldc.bundles.lost_dependency import lost_dependency, lost_dependency_twice
from cldc.bundles.runs import READ_SECONDS
from cldc.codalab import Bundle, User
from cldc.codalab.failures import NotFound, TooLarge, UploadFailed
from cldc.errors import (
    CldcError,
    InvalidDataset,
    PreflightFailed,
    QuotaExceeded,
    RunFailed,
)
from cldc.files import lock
from cldc.preflight.model import Outcome, Training
from cldc.preflight.result_store import all_records, for_training, read
from cldc.remote.following import follow
from cldc.remote.job_bundles import clean_up, find_uploads, find_worksheet, remove_lost_run, start_job
from cldc.remote.model import Job, Remote
from cldc.remote.results import finish_run, remote_fingerprint
from cldc.text import plural

# A worker may die by chance twice; a third time has a cause.
_MOST_TRIES = 3
_WAIT_SECONDS = 24 * 3600
_BROKEN_OFF: tuple[type[CldcError], ...] = (*BROKEN_OFF, NotFound)
# Errors that concern one dataset and don't affect the others.
_DATASET_ERRORS = (InvalidDataset, PreflightFailed, QuotaExceeded, RunFailed, TooLarge, UploadFailed)


def preflight_remotely(remote: Remote, trainings: Sequence[Training]) -> list[tuple[Training, Outcome]]:
    """Train on the server as a submission's run would, or return the record of the same training.

    A training given twice runs once, even under different dataset names. Repeats with other seeds use the dataset
    of the first training, which stays on the server until all are done.

    Args:
        remote: The account on the server to train with.
        trainings: Trainings on valid datasets, with the organisers' label book and either their script, freshly downloaded from
            there, or the built-in one.

    Returns:
        Each different training with its outcome, in the given order.

    Raises:
        Unreachable, CredentialsError, SubmissionRefused, CodaLabError: The server, or a bundle that the profile names there,
            can't be used. Started runs continue; the next call follows them.
    """
    jobs = [
        Job(training, remote_fingerprint(remote.rest.server, training))
        for training in _distinct(remote, trainings)
    ]
    with contextlib.ExitStack() as held:
        # Always in the same order, so that two calls can't deadlock.
        for job in sorted(jobs, key=lambda job: job.id):
            held.enter_context(
                lock(
                    remote.home / "preflights" / f".{job.id}.lock",
                    purpose=f"training on {job.name}",
                    observer=remote.observer,
                    timeout_seconds=_WAIT_SECONDS,
                )
            )
        batch = _Batch(remote, jobs)
        for job in jobs:
            if known := read(remote.home, job.id):
                if remote.force:
                    job.known = known.run
                else:  # a killed call, or one that kept its bundles, may have left some
                    batch.finish_job(job, for_training(remote.home, known, job.training))
        batch.train()
    return [(job.training, batch.outcomes[job.id]) for job in jobs]


def _distinct(remote: Remote, trainings: Sequence[Training]) -> list[Training]:
    found: dict[tuple[str, ...], Training] = {}
    for training in trainings:
        training.report.require_valid()
        first = found.setdefault(training.key, training)
        if first is not training:
            root, other = training.report.dataset.root, first.report.dataset.root
            remote.observer.note(f"{root} holds the same as {other}; it is trained once.")
    return list(found.values())


class _Batch:
    """The trainings of one call: waiting, running, and finished with an outcome.

    Attributes:
        outcomes: The outcome of each job, by its id.
    """

    def __init__(self, remote: Remote, jobs: Sequence[Job]) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._jobs = jobs
        self._leftover: list[Job] = []
        self._remote = remote
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []

    def train(self) -> None:
        """Run as many jobs at once as the account may, until every job has its outcome."""
        remote, waiting, running = self._remote, self._waiting, self._running
        waiting.extend(job for job in self._jobs if job.id not in self.outcomes)
        if not waiting:
            return
        remote.cl.start()  # its imports take seconds
        find_uploads(remote)
        user = remote.rest.user()
        self._require_time(user)
        room = max(1, user.parallel_run_quota)
        total, epochs = len(waiting), remote.competition.training.epochs
        with self._noting_running_jobs(), remote.rest.with_timeout(READ_SECONDS) as reader:
            while waiting or running:
                if waiting and len(running) < room:
                    while waiting and len(running) < room:
                        self._start(waiting.popleft())
                    remote.observer.start("Training on CodaLab", total * epochs, "epochs")
                if not running:
                    continue
                done = total - len(running) - len(waiting)
                follow(remote, running, reader, waiting=len(waiting), done=done)
                for job in [job for job in running if job.ended]:
                    running.remove(job)
                    self._end(job)

    def _require_time(self, user: User) -> None:
        """Give up jobs for which the account lacks computing time, except those with a run of an earlier call."""
        remote = self._remote
        known = list(runs_of_preflights(remote, all_records(remote.home)))
        for job in list(self._waiting):
            images = job.training.report.total
            try:
                finding, tight = check_time(remote, user, known, images=images)
            except QuotaExceeded as error:
                if find_worksheet(remote, job) is None:
                    self._waiting.remove(job)
                    self.finish_job(job, error, leave=True)
            else:
                if tight:
                    remote.observer.note(f"Computing time for {job.name}: {finding}.")

    @contextlib.contextmanager
    def _noting_running_jobs(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            if self._running:
                names = ", ".join(job.name for job in self._running)
                verb = "continues" if len(self._running) == 1 else "continue"
                self._remote.observer.note(
                    f"{plural(len(self._running), 'run')} {verb} on {self._remote.rest.server}: {names}. The same command "
                    "resumes them; `cldc clean --unfinished` removes what you no longer need."
                )
            raise

    def _start(self, job: Job) -> None:
        """Find or start a job's run, trying up to three times if the network or the server fails."""
        remote = self._remote

        def broken_off(error: CldcError) -> None:
            remote.uploads.clear()  # a bundle may have been removed since it was read
            remote.sent.clear()
            remote.observer.note(f"{error.message.splitlines()[0]} Trying again.")

        try:
            repeat(lambda: start_job(remote, job), on_failure=broken_off, errors=_BROKEN_OFF)
        except _BROKEN_OFF as error:
            remote.uploads.clear()
            if not isinstance(error, _DATASET_ERRORS):
                raise
            self.finish_job(job, error, leave=True)  # the next call resumes from here
        except _DATASET_ERRORS as error:
            self.finish_job(job, error)
        else:
            self._running.append(job)

    def _end(self, job: Job) -> None:
        """Restart a run that ended through no fault of the dataset; otherwise record the job's outcome."""
        if job.bundle is None or job.lost:
            self._start_on_another_worker(job)
        elif path := lost_dependency(self._remote.rest, job.bundle):
            self._start_with_dependencies(job, path)
        else:
            self.finish_job(job, self._outcome(job, job.bundle))

    def _start_on_another_worker(self, job: Job) -> None:
        """Restart a run that lost its worker."""
        remote = self._remote
        what = "was removed from the server" if job.bundle is None else "lost its worker"
        if not remove_lost_run(remote, job):
            job.follow(job.run)  # the worker came back just now
            self._running.append(job)
        elif job.tries >= _MOST_TRIES:
            error = RunFailed(
                f"The run of {job.name} on {remote.rest.server} {what} {job.tries} times.",
                action="Run the command again later, or train here: leave --remote out. No quota was spent.",
            )
            self.finish_job(job, error)
        else:
            remote.observer.note(
                f"The run of {job.name} {what}; training it again (try {job.tries + 1} of {_MOST_TRIES})."
            )
            self._start(job)

    def _start_with_dependencies(self, job: Job, path: str) -> None:
        """Restart a run whose worker lost the dependency ``path``; a second loss is the job's outcome."""
        remote = self._remote
        if job.lost_dependency:
            self.finish_job(job, lost_dependency_twice(remote.rest.server, job.run, path))
            return
        job.lost_dependency = True
        remote.observer.note(
            f"The worker of {job.name} lost {path}, which the run depends on and the server has; "
            "starting the run once more."
        )
        self._start(job)

    def _outcome(self, job: Job, bundle: Bundle) -> Outcome:
        """Check a finished run, store its outcome and remove it."""
        remote = self._remote
        try:
            result = finish_run(remote, job, bundle)
        except _DATASET_ERRORS as error:
            remote.observer.note(f"{job.name}: {error.message.splitlines()[0]}")
            return error
        book = f", label book {result.label_book.accuracy:.2%}" if result.label_book else ""
        remote.observer.note(f"{job.name}: validation {result.validation.accuracy:.2%}{book}")
        return for_training(remote.home, result, job.training)

    def finish_job(self, job: Job, outcome: Outcome, *, leave: bool = False) -> None:
        """Record a job's outcome and, without ``leave``, remove its bundles once no other job needs its dataset."""
        self.outcomes[job.id] = outcome
        if not leave:
            self._leftover.append(job)
        dataset = job.training.report.dataset.hash
        sharing = [other for other in self._jobs if other.training.report.dataset.hash == dataset]
        if all(other.id in self.outcomes for other in sharing):
            # The first job owns the dataset, which can be removed only when nothing needs it.
            for other in reversed(sharing):
                if other in self._leftover:
                    clean_up(self._remote, other)
