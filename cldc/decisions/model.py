"""A decision about one image."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

RELABEL = "relabel"
SET_ASIDE = "set-aside"
CORRECT = "correct"
_MOVE_TO = "move-to-"


def move_to(split: str) -> str:
    """Return the action that moves an image to ``split``."""
    return _MOVE_TO + split


def moved_to(action: str) -> str:
    """Return the split that ``action`` moves an image to; empty for other actions."""
    return action.removeprefix(_MOVE_TO) if action.startswith(_MOVE_TO) else ""


class Decision(NamedTuple):
    """One line of the table.

    Attributes:
        sha256: SHA-256 of the file's content, in lower-case hexadecimal; empty in a line made by hand.
        path: Path of the image at the time of the decision, relative to the dataset, with slashes; may be empty if
            ``sha256`` is not.
        action: `RELABEL`, `SET_ASIDE`, `CORRECT` or a result of `move_to`.
        label: The new class of `RELABEL`; empty otherwise. The table's column is called ``class``.
        reason: The reason as free text. For `CORRECT`, ids of rules (and ``label``, the question whether the label is right)
            limit the decision to these questions.
        time: The time, in UTC, as ``2026-11-26T09:50:11Z``; free text, or empty, in a line made by hand.
    """

    sha256: str
    path: str
    action: str
    label: str = ""
    reason: str = ""
    time: str = ""

    @property
    def split(self) -> str:
        """The split that the image moves to; empty for other decisions."""
        return moved_to(self.action)

    @property
    def is_about_label(self) -> bool:
        """Whether it is about the image's content and so applies to every copy of the file."""
        return self.action in (RELABEL, CORRECT)

    def questions(self, known: Iterable[str]) -> frozenset[str]:
        """Return the ``known`` questions that the reason names; an empty set means all of them."""
        return frozenset(re.findall(r"[\w-]+", self.reason)).intersection(known)

    def describe(self) -> str:
        """Describe the decision in a few words, such as ``relabel to viii``."""
        if self.action == RELABEL:
            return f"relabel to {self.label}"
        if self.split:
            return f"move to {self.split}"
        return {SET_ASIDE: "set aside", CORRECT: "correct as is"}[self.action]


def replaces(new: Decision, old: Decision) -> bool:
    """Check whether ``new`` replaces ``old`` in the table, because they contradict each other or say the same.

    Of two files with the same content, one may be set aside or moved alone; a label applies to both.
    """
    if old.sha256 != new.sha256 or not (old.sha256 or old.path == new.path):
        return False
    if old.path != new.path:
        return new.is_about_label and old.action == RELABEL and old != new
    if SET_ASIDE in (old.action, new.action):
        return True
    return bool(old.split) == bool(new.split)
