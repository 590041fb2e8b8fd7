"""Names that CodaLab keeps as they are, and what a folder with another name was perhaps meant to be."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
_MAX_NAME = 32


def default_name(folder: str) -> str:
    """A name for what is made from ``folder`` that CodaLab keeps as it is.

    CodaLab names an uploaded bundle after its file, changed to ``[a-zA-Z_][a-zA-Z0-9_.-]*`` and to at most
    32 characters, while the folder inside the zip keeps its own name. The run finds the data only if the
    zip, its one folder and the dependency's key are the same, so the name is one that needs no change.
    """
    name = folder
    while name.lower().endswith(ARCHIVES):
        name = name[: name.rindex(".")]
    name = re.sub(r"[^a-zA-Z0-9_.]+", "-", name).strip("-.")
    if not name:
        return "dataset"
    if not re.match(r"[a-zA-Z_]", name):
        name = f"_{name}"
    if len(name) > _MAX_NAME:
        # From the middle, since versions of a dataset tend to differ at the end.
        name = f"{name[:16].rstrip('-.')}_{name[-15:].lstrip('-.')}"
    return name


def perhaps_meant(folder: Path, splits: Sequence[str]) -> Path | None:
    """Another folder that holds the splits, where ``folder`` holds none: its only one that does, or its parent."""
    try:
        inside = [path for path in sorted(folder.iterdir()) if _holds(path, splits)]
    except OSError:
        return None
    above = folder.absolute().parent
    return inside[0] if len(inside) == 1 else above if _holds(above, splits) else None


def _holds(folder: Path, splits: Sequence[str]) -> bool:
    try:
        # By the names that are there: a file system that ignores case would find `Train` as `train`.
        names = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return False
    return all(split in names and (folder / split).is_dir() for split in splits)


def meant_class(folder: str, classes: Sequence[str]) -> str:
    """The class that a folder is named after, exactly or but for case, spaces and the form of its characters (such as
    the single character for the numeral IV); empty where it is none of ``classes``."""
    if folder in classes:
        return folder
    return next((label for label in classes if fold_name(label) == fold_name(folder)), "")


def fold_name(name: str) -> str:
    """Equal for names that differ in case, in spaces around them or in the form of their characters only."""
    return unicodedata.normalize("NFKC", name).strip().casefold()
