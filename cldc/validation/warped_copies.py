"""Copies of drawings that were rotated, sheared, scaled or stretched, between splits and the label book.

Finding them takes numpy, so it runs in the environment that also ranks labels. Copies within one split are not looked for:
they are often deliberate.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

from cldc import inside
from cldc.environments import Environment, ensure_analysis, ready_analysis
from cldc.environments.analysis import analyse
from cldc.errors import CldcError
from cldc.files import hash_bytes, private_folder, replace_atomically
from cldc.progress import SILENT, Observer
from cldc.resources import template
from cldc.validation.near_duplicates import Evidence, Pair, Side

_PROGRAM = Path(__file__).with_name("inside") / "warped.py"
_FOLDER = "warped-copies"


def find_warped_copies(
    sides: Sequence[Side], environment: Environment, *, home: Path, observer: Observer = SILENT
) -> tuple[Pair, ...]:
    """Pairs of contents of two sides that show the same drawing, one a warped copy of the other.

    It takes about ten seconds for 3,000 images and is kept until a content changes; then only new files are read.

    Args:
        sides: The splits, and the label book.
        environment: That of kind analysis.
        home: The data folder.
        observer: Receives progress.

    Raises:
        ProcessFailed: The search failed.
        StorageError: The result can't be kept.
    """
    ink = Path(inside.__file__).with_name("ink.py")
    parts = (_PROGRAM, ink, template("requirements", "analysis.txt"))
    version = hash_bytes("".join(hash_bytes(path.read_bytes()) for path in parts))[:16]
    contents = json.dumps([[sha256 for sha256, _ in side] for side in sides])
    folder = private_folder(home / _FOLDER)
    path = folder / f"{hash_bytes(version + contents)[:16]}.json.gz"
    try:
        rows = json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, zlib.error, ValueError):  # not there yet, or damaged
        observer.start("Looking for warped copies", sum(map(len, sides)), "images")
        rows = _search(sides, environment, folder / f"drawings-{version}.npz", observer)
        replace_atomically(path, gzip.compress(json.dumps(rows).encode(), mtime=0))
    return tuple(Pair(min(a, b), max(a, b), Evidence.WARPED, part) for a, b, part in rows)


def find_if_ready(
    sides: Sequence[Side], *, home: Path, observer: Observer, make: bool
) -> tuple[Pair, ...] | None:
    """Warped copies between the sides; None if they can't be found, and a note says why.

    Raises:
        CldcError: The search failed, and ``make`` asked for it and, if necessary, for the environment.
    """
    try:
        environment = ensure_analysis(home, observer) if make else ready_analysis(home)
        return find_warped_copies(sides, environment, home=home, observer=observer) if environment else None
    except CldcError as error:
        if make:
            raise
        observer.note(f"Warped copies were not looked for: {error.message.splitlines()[0]}")
        return None


def _search(
    sides: Sequence[Side], environment: Environment, kept: Path, observer: Observer
) -> list[tuple[str, str, float]]:
    job = {"sides": [[[sha256, str(path)] for sha256, path in side] for side in sides]}
    what = "The search for warped copies"
    found = analyse(environment, _PROGRAM, job, kept, what=what, observer=observer)
    observer.advance(sum(map(len, sides)))
    return [(a, b, part) for a, b, part in found["pairs"]]
