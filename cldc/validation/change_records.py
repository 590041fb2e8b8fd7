"""Change a dataset's folder; a record is written first, from which every byte can be restored.

`cldc validate --fix` and `cldc apply` change folders here, and nowhere else. Nothing is deleted or overwritten.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shlex
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Literal

from cldc.dataset import Dataset, OutwardLink, fold_path
from cldc.errors import CldcError, StorageError, UsageError
from cldc.files import lock, private_folder, replace_atomically, storage_errors, temporary_folder
from cldc.progress import SILENT, Observer
from cldc.validation.safe_moves import (
    copy_following_links,
    link_targets,
    move,
    move_back,
    require_parent,
    restore_original,
    strip,
)

_RECORD = "record.json"
# Beside the record of changes that were all undone.
_UNDONE = "undone"

Command = Literal["validate", "apply"]


@dataclass(frozen=True, slots=True)
class Change:
    """One change: ``rename`` from ``source`` to ``target``, set ``source`` ``aside``, ``strip`` it of metadata, or create
    the ``folder`` ``target``.

    Paths are relative to the dataset, with slashes. For ``aside`` and ``strip``, ``target`` is where the file or its original
    is kept in a folder outside. ``sha256`` is that of the file without its metadata.
    """

    kind: Literal["rename", "aside", "strip", "folder"]
    rule: str
    source: str
    target: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Fixed:
    """The result of a fix.

    Attributes:
        root: The fixed folder.
        changes: The changes.
        record: The record for `undo`, if it was fixed in place.
        left: Paths that only a copy could fix, because links lead to them or through them.
        copied: Links out of the dataset that the copy replaces with the files themselves.
        damaged: Images that keep their metadata, because removing it might change their picture.
    """

    root: Path
    changes: tuple[Change, ...]
    record: Path | None = None
    left: tuple[str, ...] = ()
    copied: tuple[OutwardLink, ...] = ()
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Undone:
    """The undone changes, and those that can't be undone, each with the reason."""

    changes: tuple[Change, ...] = ()
    left: tuple[tuple[Change, CldcError], ...] = ()


def records_folder(home: Path) -> Path:
    """Return the folder of the records in the data folder."""
    return home / "fixes"


def change_lock(home: Path, observer: Observer = SILENT) -> contextlib.AbstractContextManager[None]:
    """Let only one command change folders at a time."""
    return lock(records_folder(home) / ".lock", purpose="changing a dataset", observer=observer)


def carry_out(
    changes: Sequence[Change],
    root: Path,
    records: Path,
    *,
    command: Command,
    task: str,
    aside: Path | None = None,
    observer: Observer = SILENT,
) -> Path:
    """Apply the changes in order, and return their record, for `undo`.

    Args:
        changes: The changes, in their order.
        root: The dataset, resolved.
        records: The folder in which to create one for the record.
        command: The command that changes the folder; it determines the one to undo it.
        task: Its name in progress events.
        aside: The folder for files that are set aside; by default beside the record.
        observer: Receives progress.

    Raises:
        StorageError: Something can't be moved; the error says how to undo the changes until then.
    """
    with storage_errors(records):
        # A new folder even if two commands begin at the same moment, and sorted by time.
        prefix = f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{root.name}-"
        keep = Path(tempfile.mkdtemp(prefix=prefix, dir=private_folder(records)))
    record = keep / _RECORD
    kept = {"aside": aside or keep / "aside", "strip": keep / "originals"}
    # Written first, so that the record knows of whatever happens.
    text = {
        "root": str(root),
        "command": command,
        "aside": str(kept["aside"]),
        "changes": [asdict(change) for change in changes],
    }
    replace_atomically(record, json.dumps(text, indent=2))
    observer.note(f"The changes are recorded in {record}.")
    observer.start(task, total=len(changes), unit="changes")
    for number, change in enumerate(changes):
        try:
            _apply(change, root, kept)
        except StorageError as error:
            raise StorageError(
                f"{error.message} {number} of {len(changes)} changes were made.",
                action=f"{error.action} To undo what was done: {undo_command(record, command)}",
            ) from error
        observer.advance(number + 1)
    return record


def carry_out_in_copy(
    changes: Sequence[Change], dataset: Dataset, into: Path, *, follow: Iterable[str], observer: Observer
) -> Path:
    """Copy the dataset to ``into`` with the changes, and return that; the original and what it links to stay unchanged.

    Files to set aside are left out. `copy_following_links` says what else is copied, with ``follow`` besides splits and
    classes. ``into`` appears when it is complete.

    Raises:
        UsageError: ``into`` exists, or lies in the dataset.
        StorageError: It can't be written, or something can't be read.
    """
    root, target = dataset.root, into.absolute()
    folders = {split.name for split in dataset.splits}
    folders |= {f"{split.name}/{folder}" for split in dataset.splits for folder in split.folders}
    real = Path(os.path.realpath(target))
    inside = any(real.is_relative_to(os.path.realpath(root / place)) for place in ("", *folders))
    if os.path.lexists(target) or inside:
        raise UsageError(
            f"{into} exists already, or lies in the dataset.", action="Name a folder that does not exist yet."
        )
    left_out = frozenset(change.source for change in changes if change.kind == "aside")
    observer.start("Copying the dataset")
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(".cldc-", target.parent) as scratch:
        copy = scratch / "copy"
        copy_following_links(root, copy, follow=frozenset({*folders, *follow}), leave_out=left_out)
        for change in changes:
            if change.kind != "aside":
                _apply(change, copy, {})
        move(copy, target)
    return target


def harmless(
    wanted: tuple[Change, ...], dataset: Dataset, root: Path
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Return the changes that break no link and touch nothing outside, and the sources of the others."""
    if not wanted:
        return (), ()
    links = {image.path for image in dataset.images if image.link}
    is_linked = link_targets(root, [root / path for path in links])
    changes = dict.fromkeys(change for change in wanted if _is_harmless(change, root, links, is_linked))
    # A file that has two paths is changed under its own.
    done = {(change.kind, root / change.source) for change in changes}
    left = dict.fromkeys(
        change.source
        for change in wanted
        if change not in changes and (change.kind, _real_source(change, root)) not in done
    )
    return tuple(changes), tuple(left)


def _is_harmless(change: Change, root: Path, links: Set[str], is_linked: Callable[[str], bool]) -> bool:
    """Check that a change breaks no link and touches nothing outside; ``is_linked``: does a link lead to a path?"""
    if change.kind == "folder":
        return True
    if change.kind == "strip":  # its name stays, so a link that leads to it does no harm
        return _real_source(change, root) == root / change.source
    if is_linked(change.source):
        return False
    if change.kind == "aside" or Path(change.source).parent == Path(change.target).parent:
        return True
    # A link would lead elsewhere from another folder, and that folder may itself lie outside.
    folder = (root / change.target).parent
    return change.source not in links and folder.resolve() == folder


def _real_source(change: Change, root: Path) -> Path:
    """Find the real path of a change's source: a move moves a link itself, a strip changes the link's target."""
    path = root / change.source
    return path.resolve() if change.kind == "strip" else path.parent.resolve() / path.name


class FreeNames:
    """Names in a folder, each given out once."""

    def __init__(self, folder: Path, taken: Iterable[str] = ()) -> None:
        """Count ``taken``, paths relative to the folder, as taken even where no file is there."""
        self._folder, self._taken = folder, set(map(fold_path, taken))

    def take(self, path: str) -> str:
        """Return ``path`` or, if it is taken, the first free one of ``NAME-1.png``, ``NAME-2.png`` and so on."""
        wanted, free = PurePosixPath(path), path
        for number in itertools.count(1):
            if fold_path(free) not in self._taken and not os.path.lexists(self._folder / free):
                break
            free = str(wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}"))
        self._taken.add(fold_path(free))
        return free


def _apply(change: Change, root: Path, kept: Mapping[str, Path]) -> None:
    """Apply one change; ``kept`` names the folders for files that are set aside and for originals of stripped files."""
    source, target = root / change.source, kept.get(change.kind, root) / change.target
    if change.kind == "strip":
        strip(source, change.sha256, target if kept else None)
        return
    with storage_errors(target):
        if change.kind == "folder":
            target.mkdir(exist_ok=True)
            return
        if change.kind == "aside":
            target.parent.mkdir(parents=True, exist_ok=True)
    move(source, target)


def undo_command(record: Path, command: Command = "validate") -> str:
    """Return the command that undoes the changes of ``record``."""
    return f"cldc {command} --undo {shlex.quote(str(record))}"


def last_record(root: Path, records: Path, command: Command) -> Path | None:
    """Find the newest record of a command's changes to ``root`` that were not all undone; None if there is none."""
    # The folders' names begin with the time.
    for folder in sorted(records.glob("*/"), key=lambda folder: folder.name, reverse=True):
        record = folder / _RECORD
        with contextlib.suppress(OSError, ValueError):
            text = json.loads(record.read_text())
            ours = Path(text.get("root", "")) == root.resolve() and text.get("command") == command
            if ours and not (folder / _UNDONE).exists():
                return record
    return None


def undo(record: Path) -> Undone:
    """Undo the recorded changes; skip those that can't be undone, which another call tries again.

    Raises:
        UsageError: ``record`` is not a record.
        StorageError: Its dataset is gone.
    """
    try:
        text = json.loads(record.read_text())
        root = Path(text["root"])
        # Records of 0.1.0 do not name the folder of what was set aside.
        kept = {
            "aside": Path(text.get("aside", record.parent / "aside")),
            "strip": record.parent / "originals",
        }
        changes = [Change(**change) for change in text["changes"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        problem = (
            f"can't be read: {error.strerror}" if isinstance(error, OSError) else "is not a record of changes"
        )
        raise UsageError(
            f"{record} {problem}.", action="Give the file that `--fix` or `apply` named."
        ) from error
    if not root.is_dir():
        raise StorageError(
            f"{root}, the dataset of {record}, is not there any more.",
            action="Move it back there and run the command again.",
        )
    done, left = [], []
    for change in reversed(changes):
        try:
            if _undo(change, root, kept):
                done.append(change)
        except StorageError as error:
            left.append((change, error))
    if not left:
        _remove_empty(kept["aside"], [change.target for change in changes if change.kind == "aside"])
        with contextlib.suppress(StorageError):  # it only saves reading the record again
            replace_atomically(record.parent / _UNDONE, "")
    return Undone(tuple(done), tuple(left))


def _remove_empty(aside: Path, targets: Iterable[str]) -> None:
    """Remove the folders of files that were set aside, unless they hold something else."""
    folders = {
        parent for target in targets for parent in (aside / target).parents if parent.is_relative_to(aside)
    }
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _undo(change: Change, root: Path, kept: Mapping[str, Path]) -> bool:
    """Undo one change; return False if there was nothing to undo."""
    source, target = root / change.source, kept.get(change.kind, root) / change.target
    if change.kind == "strip":
        return restore_original(target, source, change.sha256)
    if change.kind == "folder":
        with contextlib.suppress(OSError):  # gone, or no longer empty
            target.rmdir()
            return True
        return False
    back_already = _exists(source, target)
    if not _exists(target, source):
        if back_already:
            return False  # never done, or undone before
        raise StorageError(
            f"Neither {source} nor {target} is there any more.", action="Look for it where you moved it."
        )
    if change.kind == "aside":
        return move_back(target, source)
    if back_already:
        raise StorageError(
            f"{source} and {target} both exist.", action="Move one away and run the command again."
        )
    require_parent(source)
    move(target, source)
    return True


def _exists(path: Path, other: Path) -> bool:
    """Check whether ``path`` exists by its exact name, even on a file system that ignores case."""
    if not os.path.lexists(path):
        return False
    return fold_path(path.name) != fold_path(other.name) or path.name in os.listdir(path.parent)  # noqa: PTH208
