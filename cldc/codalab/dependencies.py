"""Dependencies that a worker lost: a run does not find what its bundles hold.

Seen on worksheets.codalab.org in 2021, with many accounts and without a pattern: "FileNotFoundError: [Errno 2] No such
file or directory: 'mine/mine/train'" and "NotADirectoryError" for the same path, though the upload was whole
(issues 1417, 3170, 3627, 3739 and 3743 of codalab/codalab-worksheets). The same run, started again, usually ended well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from cldc.codalab.failures import NotFound, TooLarge
from cldc.codalab.records import Bundle, Dependency
from cldc.codalab.rest import Rest

_LOG_LINES = 50
# What CodaLab's worker itself says where it can't fetch one.
_NOT_FETCHED = re.compile(r"Failed to download dependency (\S+?):")
_ABSENT = r"(?:No such file or directory|Not a directory)"
# As Python's exceptions say it, its command line and `ls`, shells and TensorFlow, and TensorFlow of a folder.
_MISSED = (
    re.compile(rf"{_ABSENT}: b?(?P<quote>['\"])(?P<path>.+?)(?P=quote)"),
    re.compile(rf"(?P<quote>['\"])(?P<path>[^'\"]+)(?P=quote): (?:\[Errno \d+\] )?{_ABSENT}"),
    re.compile(rf"(?P<path>[^\s'\":;]+) ?[:;] {_ABSENT}"),
    re.compile(r"Could not find directory (?P<path>\S+)"),
)


def lost_dependency(rest: Rest, run: Bundle) -> str | None:
    """What a failed run did not find although it is in a bundle that it depends on; None where it failed otherwise.

    Raises:
        CldcError: The server can't be asked.
    """
    if run.type != "run" or run.failure is None:
        return None
    if fetched := _NOT_FETCHED.search(run.failure_message or ""):
        return fetched[1]
    for name in ("stderr", "stdout"):
        for path in missed_paths(_tail(rest, run.uuid, name)):
            if any(_holds(rest, dependency, path) for dependency in run.dependencies):
                return path
    return None


def missed_paths(log: str) -> Iterator[str]:
    """The paths that a log says are not there."""
    for line in log.splitlines():
        for pattern in _MISSED:
            for found in pattern.finditer(line):
                yield found["path"]


def _tail(rest: Rest, uuid: str, name: str) -> str:
    try:
        return rest.file(uuid, name, tail=_LOG_LINES).decode("utf-8", "replace")
    except (NotFound, TooLarge):
        return ""


def _holds(rest: Rest, dependency: Dependency, path: str) -> bool:
    """Whether the bundle behind a dependency has what the run looked for at ``path``."""
    parts = PurePosixPath(path).parts
    if ".." in parts:
        return False
    # The run's folder may stand before the key in an absolute path.
    for index, part in enumerate(parts):
        inside = "/".join((*PurePosixPath(dependency.parent_path).parts, *parts[index + 1 :]))
        if part == dependency.key and rest.has(dependency.parent, inside):
            return True
    return False
