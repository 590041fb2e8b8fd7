"""Copies of drawings that were rotated, sheared, scaled or stretched, between splits and the label book.

Finding them takes numpy, so it runs in the environment that also ranks labels. Copies within one split are ignored: they
are often deliberate.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from cldc import inside
from cldc.environments import Environment, ensure_analysis, ready_analysis
from cldc.environments.analysis import analyse
from cldc.errors import CldcError
from cldc.files import hash_bytes, private_folder, replace_atomically
from cldc.progress import SILENT, Observer
from cldc.resources import template
from cldc.validation.near_duplicates import Pair, Similarity

_PROGRAM = Path(__file__).with_name("inside") / "warped.py"
_FOLDER = "warped-copies"


def find_warped_copies(
    sides: Sequence[Mapping[str, Path]], home: Path, observer: Observer, *, required: bool = False
) -> tuple[Pair, ...] | None:
    """Find pairs of contents of two sides that show the same drawing, one a warped copy of the other.

    This takes about ten seconds for 3,000 images, and only once: later searches read only new files.

    Args:
        sides: A file for each content of a split, or of the label book, by SHA-256.
        home: The data folder.
        observer: Receives progress.
        required: Whether the environment is created if it is missing, and a failure is an error.

    Returns:
        None if the environment is missing, or if the search failed, which is then noted.

    Raises:
        CldcError: The search, or creating the environment, failed although it is required.
    """
    try:
        environment = ensure_analysis(home, observer) if required else ready_analysis(home)
        return search_warped_copies(sides, environment, home, observer) if environment else None
    except CldcError as error:
        if required:
            raise
        observer.note(f"Skipped the search for warped copies: {error.message.splitlines()[0]}")
        return None


def search_warped_copies(
    sides: Sequence[Mapping[str, Path]], environment: Environment, home: Path, observer: Observer = SILENT
) -> tuple[Pair, ...]:
    """Do the work of `find_warped_copies` in a given environment of kind analysis.

    Raises:
        ProcessFailed: The search failed.
        StorageError: The result can't be kept.
    """
    ink = Path(inside.__file__).with_name("ink.py")
    parts = (_PROGRAM, ink, template("environments", "analysis.txt"))
    version = hash_bytes("".join(hash_bytes(path.read_bytes()) for path in parts))[:16]
    contents = json.dumps([list(side) for side in sides])
    folder = private_folder(home / _FOLDER)
    path = folder / f"{hash_bytes(version + contents)[:16]}.json.gz"
    try:
        rows = json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, zlib.error, ValueError):  # not there yet, or damaged
        observer.start("Looking for warped copies", sum(map(len, sides)), "images")
        job = {"sides": [[[sha256, str(file)] for sha256, file in side.items()] for side in sides]}
        kept, what = folder / f"drawings-{version}.npz", "The search for warped copies"
        rows = analyse(environment, _PROGRAM, job, kept, what=what, observer=observer)["pairs"]
        observer.advance(sum(map(len, sides)))
        replace_atomically(path, gzip.compress(json.dumps(rows).encode(), mtime=0))
    return tuple(Pair(min(a, b), max(a, b), Similarity.WARPED, part) for a, b, part in rows)
