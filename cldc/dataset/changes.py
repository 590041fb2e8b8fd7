"""Detect changes to a dataset's folder since it was read, since people keep working during a long training."""

from __future__ import annotations

from collections.abc import Sequence

from cldc.dataset import load
from cldc.dataset.model import Dataset
from cldc.errors import InvalidDataset


def changes_since(dataset: Dataset, extensions: Sequence[str]) -> str:
    """How the folder differs from what was read of it, as a sentence; empty if the script would read the same now.

    Args:
        dataset: What was read.
        extensions: Lower-case extensions of the files that the script reads.
    """
    try:
        now = load(dataset.root, splits=[split.name for split in dataset.splits], extensions=extensions)
    except InvalidDataset:
        return f"{dataset.root} is no longer there."
    if now.hash == dataset.hash:
        return ""
    before, after = ({image.path: image.sha256 for image in known.images} for known in (dataset, now))
    counts = {
        "changed": sum(before[path] != after[path] for path in before.keys() & after.keys()),
        "added": len(after.keys() - before.keys()),
        "removed": len(before.keys() - after.keys()),
    }
    listed = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return f"{dataset.root} has changed since its images were read: {listed}."
