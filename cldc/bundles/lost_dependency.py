"""Recognize a run that failed because a worker lost a file of a bundle that the run depends on.

On worksheets.codalab.org in 2021 runs of many accounts failed with "FileNotFoundError: [Errno 2] No such file or directory:
'mine/mine/train'" or "NotADirectoryError" for the same path, though the upload was complete (issues 1417, 3170, 3627, 3739
and 3743 of codalab/codalab-worksheets). The same run usually succeeded when it was started again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from cldc.codalab import Bundle, Dependency, Rest
from cldc.codalab.failures import NotFound, TooLarge
from cldc.errors import RunFailed

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


def lost_dependency(rest: Rest, run: Bundle) -> str | None:
    """Find the path that a failed run missed although its dependency has it; None if it failed otherwise.

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
    """List the paths that are missing according to a log."""
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
    """Check whether the bundle behind a dependency has the file that the run looked for at ``path``."""
    parts = PurePosixPath(path).parts
    if ".." in parts:
        return False
    # An absolute path begins with the run's folder.
    for index, part in enumerate(parts):
        inside = "/".join((*PurePosixPath(dependency.parent_path).parts, *parts[index + 1 :]))
        if part == dependency.key and rest.has(dependency.parent, inside):
            return True
    return False


def lost_dependency_twice(server: str, run: str, path: str) -> RunFailed:
    """Build the error for a second run in a row that did not find a dependency."""
    return RunFailed(
        f"The run {run} did not find {path}, which {server} has, and neither did the run before it: "
        "the server's workers lose what runs depend on. Nothing is wrong with the dataset.",
        action="Run the command again later, and tell the server's operators if it happens again. No quota was spent.",
    )
