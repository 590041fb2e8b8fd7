"""Names that CodaLab keeps unchanged, and the folder that a wrong path or name was probably meant to be."""

from __future__ import annotations

import contextlib
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

ARCHIVE_EXTENSIONS = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst")
_MAX_NAME = 32
# How far around a wrong folder a dataset is searched: archives nest folders, and people name a class's folder.
_LEVELS_DOWN = 4
_LEVELS_UP = 2
_MOST_FOLDERS = 2000


def default_name(folder: str) -> str:
    """Derive from ``folder`` a bundle's name that CodaLab keeps unchanged.

    CodaLab names an uploaded bundle after its file, changed to ``[a-zA-Z_][a-zA-Z0-9_.-]*`` and to at most
    32 characters, while the folder inside the zip keeps its own name. The run finds the data only if the
    zip, its one folder and the dependency's key have the same name.
    """
    name = re.sub(r"[^a-zA-Z0-9_.]+", "-", folder).strip("-.")
    while name.lower().endswith(ARCHIVE_EXTENSIONS):
        name = name[: name.rindex(".")].rstrip("-.")
    if not name:
        return "dataset"
    if not re.match(r"[a-zA-Z_]", name):
        name = f"_{name}"
    if len(name) > _MAX_NAME:
        # From the middle, since versions of a dataset tend to differ at the end.
        name = f"{name[:16].rstrip('-.')}_{name[-15:].lstrip('-.')}"
    return name


def suggest_roots(folder: Path, splits: Sequence[str]) -> tuple[Path, ...]:
    """Find folders that hold the splits: the nearest ones inside ``folder`` or, if there are none, the nearest one above.

    The search goes down `_LEVELS_DOWN` levels, skips hidden folders and gives up after `_MOST_FOLDERS` folders; it goes
    up `_LEVELS_UP` levels.
    """
    inside = _roots_inside(folder.absolute(), splits)
    if inside:
        return inside
    above = folder.absolute().parents[:_LEVELS_UP]
    return next(((parent,) for parent in above if _holds(parent, splits)), ())


def _roots_inside(folder: Path, splits: Sequence[str]) -> tuple[Path, ...]:
    level, left = [folder], _MOST_FOLDERS
    for _ in range(_LEVELS_DOWN):
        below = list(islice(chain.from_iterable(map(_folders_in, level)), left))
        left -= len(below)
        # Links first, so that a folder replaces a link to it.
        below.sort(key=lambda path: (not path.is_symlink(), path))
        found = {os.path.realpath(path): path for path in below if _holds(path, splits)}
        if found or not left:
            return tuple(sorted(found.values()))
        level = [path for path in below if not path.is_symlink()]
    return ()


def _folders_in(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir(folder) as items:
        for item in items:
            path = Path(item.path)
            is_folder = path.is_dir() if item.is_symlink() else item.is_dir()
            if is_folder and not item.name.startswith((".", "__")):
                yield path


def _holds(folder: Path, splits: Sequence[str]) -> bool:
    try:
        # By the names in the list: a file system that ignores case would find `Train` as `train`.
        names = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return False
    return all(split in names and (folder / split).is_dir() for split in splits)


def meant_class(folder: str, classes: Sequence[str]) -> str:
    """Find the class that a folder is named after; empty if there is none.

    Names may differ in case, in spaces and in the form of their characters, such as the single character for IV.
    """
    if folder in classes:
        return folder
    return next((label for label in classes if fold_name(label) == fold_name(folder)), "")


def fold_name(name: str) -> str:
    """Fold a name: names that differ only in case, spaces around them or the form of characters become equal."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def fold_path(path: str) -> str:
    """Fold a path: paths that some file systems treat as equal, by case or by how accents are written, become equal."""
    return unicodedata.normalize("NFC", path).casefold()
