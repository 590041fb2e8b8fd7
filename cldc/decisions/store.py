"""Read and change ``decisions.csv`` atomically, without losing changes of concurrent processes."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cldc.competition import DatasetRules
from cldc.decisions import table
from cldc.decisions.model import CORRECT, Decision, replaces
from cldc.errors import StorageError
from cldc.files import hash_bytes, lock, replace_atomically, storage_errors

FILE_NAME = "decisions.csv"
_MODE = 0o644


@dataclass(frozen=True, slots=True)
class Edit:
    """The effect of a change on the table; ``edit(restore=removed, remove=added)`` undoes it."""

    added: tuple[Decision, ...] = ()
    removed: tuple[Decision, ...] = ()


def default_path(root: Path) -> Path:
    """Return the table beside a dataset's folder."""
    return Path(os.path.abspath(root)).parent / FILE_NAME  # noqa: PTH100 - resolve() would follow a linked dataset


def now() -> str:
    """Return the current time, for a new decision."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def read(path: Path, rules: DatasetRules) -> tuple[Decision, ...]:
    """Read all decisions of the table; none if there is no such file.

    Raises:
        InvalidTable: A line is invalid.
        StorageError: It can't be read.
    """
    with storage_errors(path):
        if not path.exists():
            return ()
        if not path.is_file():
            raise StorageError(f"{path} exists and is not a file.", action="Move it away, or name another.")
        return table.parse(path.read_bytes(), path, rules)


def edit(
    path: Path,
    rules: DatasetRules,
    *,
    add: Iterable[Decision] = (),
    remove: Iterable[Decision] = (),
    restore: Iterable[Decision] = (),
    home: Path,
) -> Edit:
    """Add and remove decisions, all or none.

    An added decision replaces contradicting ones about the same image. "Correct as is" about another question
    is added to the questions that already have this answer.

    Args:
        path: The table; created if missing.
        rules: Rules with the valid classes and splits.
        add: New decisions; each needs a SHA-256 and a path.
        remove: Decisions to remove, as they were read; missing ones are ignored.
        restore: Decisions to put back unchanged, whatever they contradict.
        home: The data folder, which holds the lock.

    Raises:
        InvalidTable: The table has an invalid line; it stays unchanged.
        StorageError: It can't be read or written.
    """
    guard = home / "decisions" / f"{hash_bytes(os.path.realpath(os.fsencode(path)))[:32]}.lock"
    with lock(guard, purpose="writing decisions"):
        before, gone = read(path, rules), set(remove)
        kept = [decision for decision in before if decision not in gone]
        after = dict.fromkeys((*_added(kept, add), *restore))
        known = set(before)
        done = Edit(
            added=tuple(decision for decision in after if decision not in known),
            removed=tuple(decision for decision in before if decision not in after),
        )
        if done != Edit():
            with storage_errors(path):
                mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else _MODE
            replace_atomically(path, table.to_text(after), mode=mode)
        return done


def _added(kept: Iterable[Decision], add: Iterable[Decision]) -> tuple[Decision, ...]:
    """Return the kept decisions, with new ones in place of those that they replace."""
    after = dict.fromkeys(kept)
    # Only decisions about one content replace each other; one call may have ten thousand decisions.
    by_content: dict[str, list[Decision]] = defaultdict(list)
    for decision in after:
        by_content[decision.sha256].append(decision)
    for new in add:
        same = by_content[new.sha256]
        replaced = [old for old in same if replaces(new, old)]
        for old in replaced:
            del after[old]
            same.remove(old)
        joined = _joined(new, replaced)
        if joined not in after:
            same.append(joined)
        after[joined] = None
    return tuple(after)


def _joined(new: Decision, replaced: Iterable[Decision]) -> Decision:
    """Add the replaced decision's questions to ``new`` if both say "correct"; no reason means every question."""
    reasons = [old.reason for old in replaced if old.action == CORRECT]
    if new.action != CORRECT or not reasons:
        return new
    words = sorted({word for reason in (*reasons, new.reason) for word in reason.split()})
    return new._replace(reason=" ".join(words) if all((*reasons, new.reason)) else "")
