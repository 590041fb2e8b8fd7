"""See that a folder changes, without opening a file in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cldc.competition import Competition
from cldc.dataset import Listing, scan
from cldc.errors import InvalidDataset, StorageError

# A walk of ten thousand files takes a twentieth of a second; looking this often costs a tenth of one processor.
_LOOK_SECONDS = 0.5


def changes(
    folder: Path,
    competition: Competition,
    *,
    sleep: Callable[[float], None] = time.sleep,
    look_seconds: float = _LOOK_SECONDS,
) -> Iterator[None]:
    """Yield at once, and then each time the folder has changed and stayed as it is for one look.

    A copy of many files is thus told once, when it is done. It goes on until the caller stops asking.
    """
    # Taken before the caller looks, so that what changes while it looks is told next.
    told = before = _seen(folder, competition)
    yield
    while True:
        sleep(look_seconds)
        now = _seen(folder, competition)
        if now == before and now != told:
            told = now
            yield
        before = now


def _seen(folder: Path, competition: Competition) -> tuple[object, ...]:
    rules = competition.dataset
    try:
        listing: Listing = scan(folder, splits=rules.splits, extensions=rules.extensions)
    except (InvalidDataset, StorageError) as error:
        # Gone for a moment, as when a program puts another folder in its place.
        return (str(error),)
    return listing.splits, listing.files, listing.ignored
