"""Labels that look wrong, kept in the data folder: they depend on the dataset alone, and take a while to find."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

from cldc.dataset import Dataset
from cldc.files import hash_bytes, private_folder, replace_atomically
from cldc.insight.model import Suggestion
from cldc.resources import template

LABELS = Path(__file__).with_name("inside") / "labels.py"


def place(home: Path, dataset: Dataset, classes: Sequence[str]) -> Path:
    """Where those of a dataset are kept; another version of what finds them keeps its own."""
    versions = [hash_bytes(path.read_bytes()) for path in (LABELS, template("requirements", "analysis.txt"))]
    identity = hash_bytes(json.dumps([dataset.hash, *classes, *versions]))[:16]
    return home / "preflights" / f"{identity}.labels.json.gz"


def save(path: Path, found: Sequence[Suggestion]) -> None:
    """Keep them, the worst first.

    Raises:
        StorageError: They can't be written.
    """
    rows = [[s.path, s.label, s.predicted, s.probability, s.quality] for s in found]
    private_folder(path.parent)
    replace_atomically(path, gzip.compress(json.dumps(rows).encode(), mtime=0))


def read(path: Path) -> tuple[Suggestion, ...] | None:
    """Those kept there; None where there are none that can be read."""
    try:
        return tuple(Suggestion(*row) for row in json.loads(gzip.decompress(path.read_bytes())))
    except (OSError, EOFError, ValueError, TypeError):
        return None
