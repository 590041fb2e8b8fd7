"""Names that CodaLab keeps as they are, and folders that were perhaps meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
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
    holds: Callable[[Path], bool] = lambda path: all((path / split).is_dir() for split in splits)  # noqa: E731
    try:
        inside = [path for path in sorted(folder.iterdir()) if holds(path)]
        above = folder.absolute().parent
        return inside[0] if len(inside) == 1 else above if holds(above) else None
    except OSError:
        return None
