"""Remember hidden test sets, so that the history can distinguish gradings from preflights."""

from __future__ import annotations

import json
from pathlib import Path

from cldc.files import private_folder, read_json, replace_atomically

_FILE = "test-sets.json"


def remember_test_set(home: Path, identity: str) -> None:
    """Record the hash of a hidden test set that a class is graded with.

    Raises:
        StorageError: It can't be written.
    """
    known = hidden_test_sets(home)
    if identity not in known:
        path = private_folder(home / "grading") / _FILE
        replace_atomically(path, json.dumps(sorted(known | {identity})))


def hidden_test_sets(home: Path) -> frozenset[str]:
    """Return the hash of each hidden test set that a class was graded with on this machine.

    Raises:
        StorageError: They can't be read.
    """
    return frozenset(read_json(home / "grading" / _FILE) or ())
