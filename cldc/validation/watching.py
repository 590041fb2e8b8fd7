"""Watch a folder and the decisions about its images for changes, without opening a file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cldc.competition import Competition
from cldc.dataset import scan
from cldc.decisions import default_path
from cldc.errors import InvalidDataset, StorageError

# A scan of ten thousand files takes a twentieth of a second, so this often costs a tenth of one processor.
_SECONDS = 0.5


def changes(
    folder: Path,
    competition: Competition,
    *,
    sleep: Callable[[float], None] = time.sleep,
    seconds: float = _SECONDS,
) -> Iterator[None]:
    """Yield at once, and then whenever the folder has changed and then stayed the same for ``seconds``.

    So copying many files yields once, at the end.
    """
    # Scanned before the caller's check, so that a change during the check is noticed.
    reported = before = _state(folder, competition)
    yield
    while True:
        sleep(seconds)
        now = _state(folder, competition)
        if now == before and now != reported:
            reported = now
            yield
        before = now


def _state(folder: Path, competition: Competition) -> tuple[object, ...]:
    try:
        dataset = scan(folder, competition.dataset)
    except (InvalidDataset, StorageError) as error:
        # Gone for a moment, as when a program replaces the folder.
        return (str(error),)
    decided: tuple[int, ...] = ()
    with contextlib.suppress(OSError):  # there is no such file
        status = default_path(folder).stat()
        decided = (status.st_mtime_ns, status.st_size, status.st_ino)
    return dataset, decided
