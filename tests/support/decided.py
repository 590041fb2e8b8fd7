"""Decisions about images that lie in a dataset."""

from __future__ import annotations

from pathlib import Path

from cldc.decisions import Decision
from cldc.files import hash_bytes


def of(folder: Path, path: str, action: str, label: str = "") -> Decision:
    """What is decided about the image that lies at ``path`` now."""
    return Decision(hash_bytes((folder / path).read_bytes()), path, action, label)
