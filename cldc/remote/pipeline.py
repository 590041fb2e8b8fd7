"""Several preflights on one server, from valid datasets to kept results."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cldc.bundles.computing_time import check_time, preflight_runs
from cldc.bundles.retry import BROKEN_OFF, repeat
from cldc.bundles.runs import lost_dependency_twice
from cldc.codalab import Bundle, Rest, User, failure_of, lost_dependency
from cldc.codalab.failures import NotFound, TooLarge, UploadFailed
from cldc.errors import (
    CldcError,
    InvalidDataset,
    PreflightFailed,
    QuotaExceeded,
    RunFailed,
)
from cldc.files import lock, temporary_folder
from cldc.preflight.model import FailedPreflight, LabelBook, PreflightResult, Script, Training
from cldc.preflight.pipeline import with_changes
from cldc.preflight.records import all_records, read, remember_name
from cldc.preflight.remote_runs import ABOUT_FILE, RunArtifacts, finish_run, remote_fingerprint
from cldc.remote.following import Follower, follow
from cldc.remote.making import begin, begun_before, find_uploads, forget_run, tidy
from cldc.remote.model import Job, Remote, RemotePreflights
from cldc.validation import ValidationReport

# A worker may die of bad luck twice; a third time there is a reason.
_MOST_TRIES = 3
_READ_SECONDS = 10.0
_WAIT_SECONDS = 24 * 3600
_BROKEN_OFF: tuple[type[CldcError], ...] = (*BROKEN_OFF, NotFound)
# What concerns one dataset and leaves the others as they are.
_OF_ONE = (InvalidDataset, PreflightFailed, QuotaExceeded, RunFailed, TooLarge, UploadFailed)


def preflight_remotely(
    remote: Remote, reports: Sequence[ValidationReport], *, script: Script, label_book: LabelBook
) -> RemotePreflights:
    """Train on valid datasets on the server as a submission's run would, or answer from the record of the same.

    A dataset that is given twice, under whatever name, is trained once.

    Args:
        remote: Where to train.
        reports: The datasets' validations, without errors.
        script: The organisers' script, as it was just downloaded from there.
        label_book: Theirs as well.

    Raises:
        Unreachable, CredentialsError, SubmissionRefused, CodaLabError: The server, or what the profile names there,
            can't be used. What was begun goes on; the next call goes on with it.
    """
    jobs = [_job(remote, report, script, label_book) for report in _distinct(remote, reports)]
    with contextlib.ExitStack() as held:
        for job in sorted(
            jobs, key=lambda job: job.id
        ):  # in one order, so that two calls can't wait for each other
            held.enter_context(
                lock(
                    remote.home / "preflights" / f".{job.id}.lock",
                    purpose=f"training on {job.name}",
                    observer=remote.observer,
                    timeout_seconds=_WAIT_SECONDS,
                )
            )
        outcomes: dict[str, PreflightResult | FailedPreflight] = {}
        for job in jobs:
            if known := read(remote.home, job.id):
                if remote.force:
                    job.known = known.run
                else:
                    tidy(remote, job)  # what a call that was killed, or was to keep it, left
                    outcomes[job.id] = remember_name(remote.home, known, job.training.report.dataset)
        _carry_out(remote, deque(job for job in jobs if job.id not in outcomes), outcomes)
    found = [outcomes[job.id] for job in jobs]
    return RemotePreflights(
        remote.rest.server,
        tuple(outcome for outcome in found if isinstance(outcome, PreflightResult)),
        tuple(outcome for outcome in found if isinstance(outcome, FailedPreflight)),
    )


def _distinct(remote: Remote, reports: Sequence[ValidationReport]) -> list[ValidationReport]:
    found: dict[str, ValidationReport] = {}
    for report in reports:
        report.require_valid()
        first = found.setdefault(report.dataset.hash, report)
        if first is not report:
            remote.observer.note(
                f"{report.dataset.root} holds the same as {first.dataset.root}; it is trained once."
            )
    return list(found.values())


def _job(remote: Remote, report: ValidationReport, script: Script, label_book: LabelBook) -> Job:
    training = Training(report, script, label_book, remote.competition)
    return Job(training, remote_fingerprint(remote.rest.server, training))


def _carry_out(
    remote: Remote, waiting: deque[Job], outcomes: dict[str, PreflightResult | FailedPreflight]
) -> None:
    """Keep as many runs going as the account may have, until every job has its outcome."""
    if not waiting:
        return
    remote.cl.start()  # its imports take seconds
    find_uploads(remote)
    user = remote.rest.user()
    _require_time(remote, user, waiting, outcomes)
    room = max(1, user.parallel_run_quota)
    going: list[Follower] = []
    total, epochs = len(waiting), remote.competition.training.epochs
    with _noting_what_goes_on(remote, going), remote.rest.with_timeout(_READ_SECONDS) as reader:
        while waiting or going:
            if waiting and len(going) < room:
                while waiting and len(going) < room:
                    _start(remote, waiting.popleft(), going, outcomes)
                remote.observer.start("Training on CodaLab", total * epochs, "epochs")
            if not going:
                continue
            done = total - len(going) - len(waiting)
            follow(remote, going, reader, waiting=len(waiting), done=done)
            for follower in [follower for follower in going if follower.ended]:
                going.remove(follower)
                if follower.lost:
                    _again(remote, follower, going, outcomes)
                elif follower.bundle and (path := lost_dependency(remote.rest, follower.bundle)):
                    _again_with_dependencies(remote, follower, path, going, outcomes)
                else:
                    outcomes[follower.job.id] = _outcome(remote, follower)


def _require_time(
    remote: Remote, user: User, waiting: deque[Job], outcomes: dict[str, PreflightResult | FailedPreflight]
) -> None:
    """Take jobs out of ``waiting`` for which the account has no computing time, but those with a run of an earlier call."""
    known = list(preflight_runs(all_records(remote.home), remote.competition, remote.rest.server))
    for job in list(waiting):
        images = job.training.report.total
        try:
            finding, tight = check_time(remote.rest, user, remote.competition, known, images=images)
        except QuotaExceeded as error:
            if not begun_before(remote, job):
                waiting.remove(job)
                outcomes[job.id] = _failed(job, error)
        else:
            if tight:
                remote.observer.note(f"Computing time for {job.name}: {finding}.")


@contextlib.contextmanager
def _noting_what_goes_on(remote: Remote, going: list[Follower]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if going:
            names = ", ".join(follower.job.name for follower in going)
            noun = "run goes" if len(going) == 1 else "runs go"
            remote.observer.note(
                f"{len(going)} {noun} on, on {remote.rest.server}: {names}. The same command takes them up again; "
                "`cldc clean --unfinished` removes what is no longer wanted."
            )
        raise


def _start(
    remote: Remote, job: Job, going: list[Follower], outcomes: dict[str, PreflightResult | FailedPreflight]
) -> None:
    """Have a job's run on the server, with a second and a third try where network or server broke it off."""

    def broken_off(error: CldcError) -> None:
        remote.uploads.clear()  # what was looked at is not there any more, perhaps
        remote.observer.note(f"{error.message.splitlines()[0]} Trying again.")

    try:
        repeat(lambda: begin(remote, job), on_failure=broken_off, errors=_BROKEN_OFF)
    except _BROKEN_OFF as error:
        remote.uploads.clear()
        if not isinstance(error, _OF_ONE):
            raise
        outcomes[job.id] = _failed(job, error)
    except _OF_ONE as error:
        outcomes[job.id] = _failed(job, error)
        tidy(remote, job)
    else:
        going.append(Follower(job))


def _again(
    remote: Remote,
    follower: Follower,
    going: list[Follower],
    outcomes: dict[str, PreflightResult | FailedPreflight],
) -> None:
    """Give a run that nobody works at any more to another worker."""
    job, server = follower.job, remote.rest.server
    what = "was removed from the server" if follower.bundle is None else "lost its worker"
    if not forget_run(remote, job):
        going.append(Follower(job))  # the worker came back at that very moment
        return
    if job.tries >= _MOST_TRIES:
        error = RunFailed(
            f"The run of {job.name} on {server} {what} {job.tries} times.",
            action="Run the command again later, or train here: leave --remote out. No quota was spent.",
        )
        outcomes[job.id] = _failed(job, error)
        tidy(remote, job)
        return
    remote.observer.note(
        f"The run of {job.name} {what}; training it again (try {job.tries + 1} of {_MOST_TRIES})."
    )
    _start(remote, job, going, outcomes)


def _again_with_dependencies(
    remote: Remote,
    follower: Follower,
    path: str,
    going: list[Follower],
    outcomes: dict[str, PreflightResult | FailedPreflight],
) -> None:
    """Start a run once more whose worker lost ``path``, which it depends on; a second loss is the job's outcome."""
    job = follower.job
    if job.lost_dependency:
        outcomes[job.id] = _failed(job, lost_dependency_twice(remote.rest.server, job.run, path))
        tidy(remote, job)
        return
    job.lost_dependency = True
    remote.observer.note(
        f"The worker of {job.name} lost {path}, which the run depends on and the server has; starting the run once more."
    )
    _start(remote, job, going, outcomes)


def _outcome(remote: Remote, follower: Follower) -> PreflightResult | FailedPreflight:
    """Judge a run that ended, keep what came of it, remove it."""
    job, bundle = follower.job, follower.bundle
    assert bundle is not None  # noqa: S101 - one that was removed is lost
    outcome: PreflightResult | FailedPreflight
    try:
        _require_ended(remote, bundle)
        with temporary_folder("cldc-remote-") as folder:
            ran = _fetched(remote, bundle, folder)
            result = finish_run(
                job.training,
                job.fingerprint,
                ran,
                remote.home,
                environment=remote.environment,
                observer=remote.observer,
            )
            outcome = with_changes(result, job.training)
    except _OF_ONE as error:
        outcome = _failed(job, error)
        remote.observer.note(f"{job.name}: {error.message.splitlines()[0]}")
    else:
        book = f", label book {result.label_book.accuracy:.2%}" if result.label_book else ""
        remote.observer.note(f"{job.name}: validation {result.validation.accuracy:.2%}{book}")
    tidy(remote, job)
    return outcome


def _require_ended(remote: Remote, bundle: Bundle) -> None:
    """A command that ended by itself is judged by what it left; all else is CodaLab's to explain."""
    if bundle.failure is None or (bundle.exit_code is not None and not _stopped(bundle)):
        return
    raise failure_of(
        remote.rest, bundle, action="Correct what it says, then run the command again. No quota was spent."
    )


def _stopped(bundle: Bundle) -> bool:
    """Whether a worker ended it: for its memory, its time, or because somebody asked."""
    message = bundle.failure_message or ""
    return bundle.state == "killed" or bool(message and not message.lower().startswith("exit code"))


def _fetched(remote: Remote, bundle: Bundle, folder: Path) -> RunArtifacts:
    rest: Rest = remote.rest

    def text(path: str) -> str:
        try:
            return rest.file(bundle.uuid, path).decode("utf-8", "replace")
        except NotFound:
            return ""

    for path in _left(remote, bundle):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(NotFound):
            rest.download(bundle.uuid, path, folder / path)
    return RunArtifacts(
        run=bundle.uuid,
        started=(bundle.created or datetime.now(UTC)).isoformat(timespec="seconds"),
        seconds=bundle.seconds,
        exit_code=bundle.exit_code or 0,
        image=bundle.docker_image or bundle.requested_image or remote.competition.run.image,
        stdout=text("stdout"),
        stderr=text("stderr"),
        about=text(ABOUT_FILE),
        folder=folder,
    )


def _left(remote: Remote, bundle: Bundle) -> list[str]:
    """The run's predictions, and the weights where they can be asked."""
    competition = remote.competition
    found = [competition.run.predictions]
    if remote.environment is not None and competition.training.checkpoint is not None:
        entries = remote.rest.info(bundle.uuid, depth=1).contents
        found += [
            entry.name
            for entry in entries
            if entry.type == "file" and entry.name.startswith(competition.training.checkpoint)
        ]
    return found


def _failed(job: Job, error: CldcError) -> FailedPreflight:
    return FailedPreflight.of(job.training, error)
