"""Decisions about images, in a table beside the dataset: ``decisions.csv``.

A decision refers to a content, so it stays valid when the image is renamed or moved. People, spreadsheets and git read
the table; `cldc.decisions.table` defines its format.
"""

from __future__ import annotations

from cldc.decisions.matching import Conflict, Matched, match
from cldc.decisions.model import CORRECT, RELABEL, SET_ASIDE, Decision, move_to, moved_to
from cldc.decisions.store import FILE_NAME, Edit, default_path, edit, now, read

__all__ = [
    "CORRECT",
    "FILE_NAME",
    "RELABEL",
    "SET_ASIDE",
    "Conflict",
    "Decision",
    "Edit",
    "Matched",
    "default_path",
    "edit",
    "match",
    "move_to",
    "moved_to",
    "now",
    "read",
]
