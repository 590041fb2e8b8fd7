"""What people decided about images, kept in a table beside the dataset: ``decisions.csv``.

A decision is about a content, so it stays true when the image is renamed or moved. The table is read by people, by
spreadsheets and by git; `cldc.decisions.table` defines its form.
"""

from __future__ import annotations

from cldc.decisions.matching import Conflict, Matched, match
from cldc.decisions.model import CORRECT, RELABEL, SET_ASIDE, Decision, move_to, moved_to
from cldc.decisions.store import FILE_NAME, Edit, default_path, edit, now, read
from cldc.decisions.table import InvalidDecisions

__all__ = [
    "CORRECT",
    "FILE_NAME",
    "RELABEL",
    "SET_ASIDE",
    "Conflict",
    "Decision",
    "Edit",
    "InvalidDecisions",
    "Matched",
    "default_path",
    "edit",
    "match",
    "move_to",
    "moved_to",
    "now",
    "read",
]
