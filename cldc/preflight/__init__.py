"""Trains on a dataset as the competition does, before anything is submitted.

`preflight` runs the training script in its own environment on a read-only copy of a valid dataset, follows what it
prints, judges what it leaves and keeps the result. Where script and label book come from is for the caller to say:
`remember_script` and `remember_label_book` keep what was downloaded and tell a change, `given_script` takes a file,
`builtin_script` our own implementation.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cldc.preflight.elsewhere import ABOUT, Ran, command_on, conclude, fingerprint_on
    from cldc.preflight.model import Fingerprint, LabelBook, PreflightResult, Probe, Script
    from cldc.preflight.output import Epoch, Score
    from cldc.preflight.pipeline import fingerprint, preflight, with_changes
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
    from cldc.preflight.summing import Subject

__all__ = [
    "ABOUT",
    "Epoch",
    "Fingerprint",
    "LabelBook",
    "PreflightResult",
    "Probe",
    "Ran",
    "RememberedLabelBook",
    "RememberedScript",
    "Repeated",
    "Score",
    "Script",
    "Spread",
    "Subject",
    "builtin_script",
    "command_on",
    "conclude",
    "everything",
    "find",
    "fingerprint",
    "fingerprint_on",
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
    "with_changes",
]

# By PEP 562 a name's module is imported when it is first asked for: validation only wants the label book that is
# remembered, and what trains would take as long to import as a second check takes.
_MODULES = {
    "elsewhere": (
        "ABOUT",
        "Ran",
        "command_on",
        "conclude",
        "fingerprint_on",
    ),
    "model": (
        "Fingerprint",
        "LabelBook",
        "PreflightResult",
        "Probe",
        "Script",
    ),
    "output": (
        "Epoch",
        "Score",
    ),
    "pipeline": (
        "fingerprint",
        "preflight",
        "with_changes",
    ),
    "records": ("everything", "find"),
    "repeating": (
        "Repeated",
        "Spread",
        "other_seeds",
        "repeated",
        "require_seeds",
    ),
    "sources": (
        "RememberedLabelBook",
        "RememberedScript",
        "builtin_script",
        "given_script",
        "read_label_book",
        "remember_label_book",
        "remember_script",
        "remembered_label_book",
        "remembered_script",
    ),
    "summing": ("Subject",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
