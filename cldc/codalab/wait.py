"""Wait for bundles, check what became of them (CodaLab can call a failed run ready), and say why a run failed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath

from cldc.codalab import failures
from cldc.codalab.failures import NotFound, TooLarge
from cldc.codalab.records import Bundle, Dependency
from cldc.codalab.rest import Rest
from cldc.errors import CldcError, CodaLabError, NotFinished, QuotaExceeded, RunFailed, Unreachable
from cldc.progress import SILENT, Observer

_SHORTEST_SECONDS, _LONGEST_SECONDS, _GROWTH = 0.1, 10.0, 1.4
# A restarting server is back by then, and the run continues meanwhile.
PATIENCE_SECONDS = 600.0
_LOG_LINES = 20
_TIME_LIMIT = "Time limit exceeded"
# A worker checks every few seconds, so it may stop a run this much early or late.
_NOTHING_LEFT_SECONDS = 60.0
_SEARCHED_LINES = 50
# CodaLab's worker, when it can't download a dependency.
_NOT_FETCHED = re.compile(r"Failed to download dependency (\S+?):")
_ABSENT = r"(?:No such file or directory|Not a directory)"
# Python's exceptions; its command line and `ls`; shells and TensorFlow; TensorFlow for a folder.
_MISSED = (
    re.compile(rf"{_ABSENT}: b?(?P<quote>['\"])(?P<path>.+?)(?P=quote)"),
    re.compile(rf"(?P<quote>['\"])(?P<path>[^'\"]+)(?P=quote): (?:\[Errno \d+\] )?{_ABSENT}"),
    re.compile(rf"(?P<path>[^\s'\":;]+) ?[:;] {_ABSENT}"),
    re.compile(r"Could not find directory (?P<path>\S+)"),
)


def wait_for(
    rest: Rest,
    uuid: str,
    *,
    timeout_seconds: float | None = None,
    observer: Observer = SILENT,
    describe: Callable[[Bundle], str] | None = None,
    longest_pause_seconds: float = _LONGEST_SECONDS,
) -> Bundle:
    """Wait until a bundle's state is final and return it, whether ready or failed; see `require_ready`.

    It waits as long as it takes, or ``timeout_seconds``. The first pauses between two requests are short. The observer
    receives the seconds so far and the state, in CodaLab's words or in those of ``describe``.

    Raises:
        NotFinished: The time limit is reached.
        NotFound: It was removed meanwhile.
        Unreachable: The server did not answer for `PATIENCE_SECONDS`.
    """
    started = last_seen = time.monotonic()
    pause, announced = _SHORTEST_SECONDS, False
    while True:
        now, name, state = time.monotonic(), uuid, "unknown"
        try:
            bundle = rest.bundle(uuid)
        except Unreachable:
            if now - last_seen > PATIENCE_SECONDS:
                raise
            observer.note(f"{rest.server} does not answer; still waiting.")
        else:
            last_seen, name, state = now, bundle.name, progress_of(bundle)
            if not announced:
                observer.start(f"Waiting for {name}")
                announced = True
            observer.advance(now - started, describe(bundle) if describe else state)
            if bundle.final:
                return bundle
        if timeout_seconds is not None and now + pause - started > timeout_seconds:
            raise NotFinished(
                f"{name} is still {state} after {timeout_seconds:.0f} s.",
                action="Run the command again to continue waiting.",
            )
        time.sleep(pause)
        pause = min(pause * _GROWTH, longest_pause_seconds)


def progress_of(bundle: Bundle) -> str:
    """A bundle's state in a few words, with a running run's status."""
    status = bundle.run_status.strip()
    return f"{bundle.state} ({status})" if status and not bundle.final else bundle.state


def require_ready(rest: Rest, bundle: Bundle, files: Iterable[str] = ()) -> Bundle:
    """Return ``bundle`` if it is ready without a failure and has the ``files``, of which "" is the bundle itself.

    Raises:
        QuotaExceeded: It failed because the account's disk or time quota is used up.
        RunFailed: It failed; the message of a run has the end of its log. Or a file is missing.
    """
    if bundle.failure is not None:
        raise failure_of(
            rest, bundle, action="Read the log on its page, fix the cause, and run the command again."
        )
    for path in files:
        if not rest.has(bundle.uuid, path):
            raise RunFailed(
                f"{bundle.name} ({bundle.uuid}) ended without an error but has no {path or 'contents'}.",
                action="Read its stdout: the training script says there why it wrote none.",
            )
    return bundle


def failure_of(rest: Rest, bundle: Bundle, *, action: str) -> CldcError:
    """The error for a bundle that failed; ``action`` is what to do unless a quota is the reason.

    Raises:
        Unreachable: The server can't be asked whether a quota is the reason.
    """
    what, reason = f"{bundle.name} ({bundle.uuid})", bundle.failure or bundle.state
    if error := failures.spent_quota(what, reason):
        return error
    # A run without a time limit may use all that the account has left, and its message does not mention the quota.
    if _TIME_LIMIT in reason and rest.username is not None:
        left = rest.user().time_left
        if left is not None and left < _NOTHING_LEFT_SECONDS:
            return QuotaExceeded(
                f"{what} failed: {reason} The account has no computing time left.", action=failures.MORE_TIME
            )
    log = log_tail(rest, bundle.uuid) if bundle.type == "run" else ""
    return RunFailed(f"{what} failed: {reason}" + (f"\n{log}" if log else ""), action=action)


def log_tail(rest: Rest, uuid: str) -> str:
    """The last lines of a run's stderr, or else of its stdout; empty if neither can be read."""
    for name in ("stderr", "stdout"):
        try:
            text = rest.file(uuid, name, tail=_LOG_LINES).decode("utf-8", "replace").strip()
        except (NotFound, CodaLabError, Unreachable):
            continue
        if text:
            return text
    return ""


def lost_dependency(rest: Rest, run: Bundle) -> str | None:
    """The path that a failed run did not find though a bundle that it depends on has it; None if it failed otherwise.

    On worksheets.codalab.org in 2021 runs of many accounts failed with "FileNotFoundError: [Errno 2] No such file or
    directory: 'mine/mine/train'" or "NotADirectoryError" for the same path, though the upload was complete (issues 1417,
    3170, 3627, 3739 and 3743 of codalab/codalab-worksheets). The same run usually succeeded when it was started again.

    Raises:
        CldcError: The server can't be asked.
    """
    if run.type != "run" or run.failure is None:
        return None
    if fetched := _NOT_FETCHED.search(run.failure_message):
        return fetched[1]
    for name in ("stderr", "stdout"):
        for path in missed_paths(_tail(rest, run.uuid, name)):
            if any(_holds(rest, dependency, path) for dependency in run.dependencies):
                return path
    return None


def missed_paths(log: str) -> Iterator[str]:
    """The paths that are missing according to a log."""
    for line in log.splitlines():
        for pattern in _MISSED:
            for found in pattern.finditer(line):
                yield found["path"]


def _tail(rest: Rest, uuid: str, name: str) -> str:
    try:
        return rest.file(uuid, name, tail=_SEARCHED_LINES).decode("utf-8", "replace")
    except (NotFound, TooLarge):
        return ""


def _holds(rest: Rest, dependency: Dependency, path: str) -> bool:
    """Whether the bundle behind a dependency has the file that the run looked for at ``path``."""
    parts = PurePosixPath(path).parts
    if ".." in parts:
        return False
    # An absolute path begins with the run's folder.
    for index, part in enumerate(parts):
        inside = "/".join((*PurePosixPath(dependency.parent_path).parts, *parts[index + 1 :]))
        if part == dependency.key and rest.has(dependency.parent, inside):
            return True
    return False
