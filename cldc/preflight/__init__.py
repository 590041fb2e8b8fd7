"""Trains on a dataset as the competition does, before anything is submitted.

`preflight` runs the training script in its own environment on a read-only copy of a valid dataset, follows what it
prints, judges what it leaves and keeps the result. Where script and label book come from is for the caller to say:
`remember_script` and `remember_label_book` keep what was downloaded and tell a change, `given_script` takes a file,
`builtin_script` our own implementation.
"""

from __future__ import annotations

from cldc.preflight.model import Fingerprint, LabelBook, PreflightResult, Probe, Script
from cldc.preflight.output import Epoch, Score
from cldc.preflight.pipeline import fingerprint, preflight
from cldc.preflight.records import everything, find
from cldc.preflight.repeating import Repeated, Spread, other_seeds, repeated, require_seeds
from cldc.preflight.sources import (
    RememberedLabelBook,
    RememberedScript,
    builtin_script,
    given_script,
    read_label_book,
    remember_label_book,
    remember_script,
    remembered_label_book,
    remembered_script,
)

__all__ = [
    "Epoch",
    "Fingerprint",
    "LabelBook",
    "PreflightResult",
    "Probe",
    "RememberedLabelBook",
    "RememberedScript",
    "Repeated",
    "Score",
    "Script",
    "Spread",
    "builtin_script",
    "everything",
    "find",
    "fingerprint",
    "given_script",
    "other_seeds",
    "preflight",
    "read_label_book",
    "remember_label_book",
    "remember_script",
    "remembered_label_book",
    "remembered_script",
    "repeated",
    "require_seeds",
]
