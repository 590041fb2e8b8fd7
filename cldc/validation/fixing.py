"""Mend what has one right answer: leavings of other programs, endings that belie the content, names of folders.

No image is ever deleted. In a copy, leavings are left out; in place, they are moved to a folder beside a record
by which `undo` brings everything back.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from cldc.dataset import Image
from cldc.errors import StorageError, UsageError
from cldc.files import private_folder, replace_atomically, storage_errors
from cldc.progress import SILENT, Observer
from cldc.validation.images import right_endings
from cldc.validation.model import Subject
from cldc.validation.names import junk_images, junk_others
from cldc.validation.structure import JUNK_FOLDERS, misnamed_folders

_RECORD = "record.json"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to mend: ``rename`` from ``source`` to ``target``, or set ``source`` ``aside``.

    Both are relative to the dataset, with slashes; ``target`` is where it lies in the record's folder if set aside.
    """

    kind: Literal["rename", "aside"]
    rule: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Fixed:
    """What was mended: in which folder, and, if it was in place, the record for `undo`."""

    root: Path
    changes: tuple[Change, ...]
    record: Path | None = None


def plan(subject: Subject) -> tuple[Change, ...]:
    """Everything that can be mended, in an order in which it can be done."""
    aside = {path: Change("aside", rule, path, path) for path, rule in _leavings(subject)}
    renames = _endings(subject, set(aside))
    # Folders last: paths of what is in them hold until then.
    folders = [Change("rename", "class-misnamed", *pair) for pair in misnamed_folders(subject)]
    return (*aside.values(), *renames, *folders)


def _leavings(subject: Subject) -> Iterator[tuple[str, str]]:
    whole = [
        f"{split.name}/{folder}"
        for split in subject.dataset.splits
        for folder in split.folders
        if folder in JUNK_FOLDERS and folder not in subject.competition.dataset.classes
    ]
    yield from ((path, "class-extra") for path in whole)
    junk = {image.path for image in junk_images(subject)} | {other.path for other in junk_others(subject)}
    for path in sorted(junk):
        if not any(path.startswith(f"{folder}/") for folder in whole):
            yield path, "junk-file"


def _endings(subject: Subject, gone: Iterable[str]) -> list[Change]:
    out = set(gone)
    taken = {image.path for image in subject.dataset.images} | {o.path for o in subject.dataset.others}
    changes = []
    for image in subject.dataset.images:
        if image.path in out or any(image.path.startswith(f"{path}/") for path in out):
            continue
        target = _right_name(subject, image, taken)
        if target != image.path:
            taken.add(target)
            changes.append(Change("rename", "extension-content", image.path, target))
    return changes


def _right_name(subject: Subject, image: Image, taken: set[str]) -> str:
    found = subject.inspections.get(image.sha256)
    kind = found.verdict.format if found else None
    path = PurePosixPath(image.path)
    if kind is None or image.path.lower().endswith(right_endings(kind)):
        return image.path
    for number in range(len(taken) + 1):
        middle = f"-{number}" if number else ""
        target = str(path.with_name(f"{path.stem}{middle}{right_endings(kind)[0]}"))
        if target not in taken:
            return target
    return image.path


def fix_copy(subject: Subject, into: Path, observer: Observer = SILENT) -> Fixed:
    """Copy the dataset to ``into``, mended; the original stays as it is.

    Links are copied as links; what is neither file, folder nor link is left out, as leavings are.

    Raises:
        UsageError: ``into`` is there already, or lies in the dataset.
        StorageError: It can't be written.
    """
    root = subject.dataset.root
    target = into.absolute()
    if os.path.lexists(target) or target.resolve().is_relative_to(root.resolve()):
        raise UsageError(
            f"{into} is there already, or lies in the dataset.", action="Name a folder that is not there yet."
        )
    changes = plan(subject)
    left_out = {change.source for change in changes if change.kind == "aside"}

    def skipped(folder: str, names: list[str]) -> set[str]:
        inside = Path(folder).relative_to(root)
        return {
            name for name in names if (inside / name).as_posix() in left_out or _special(Path(folder, name))
        }

    observer.start("Copying the dataset")
    with storage_errors(target):
        try:
            shutil.copytree(root, target, symlinks=True, ignore=skipped)
        except shutil.Error as error:
            raise StorageError(
                f"Some files could not be copied to {into}: {error.args[0][0][2]}.",
                action=f"Remove {into}, mend or remove those files and run the command again.",
            ) from error
        for change in changes:
            if change.kind == "rename":
                _rename(target / change.source, target / change.target)
    return Fixed(target, changes)


def _special(path: Path) -> bool:
    mode = path.lstat().st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))


def fix_in_place(subject: Subject, keep: Path, observer: Observer = SILENT) -> Fixed:
    """Mend the dataset's own folder.

    Args:
        subject: The dataset as it was checked.
        keep: A folder that is not there yet, for the record and what is set aside.
        observer: Told of what is done.

    Raises:
        StorageError: Something can't be moved; what was done until then is in the record.
    """
    root, changes = subject.dataset.root, plan(subject)
    if not changes:
        return Fixed(root, ())
    private_folder(keep)
    record = keep / _RECORD
    # Written first: whatever happens after, the record knows of it.
    text = {"root": str(root), "changes": [asdict(change) for change in changes]}
    replace_atomically(record, json.dumps(text, indent=2))
    observer.start("Mending the dataset", total=len(changes), unit="changes")
    for number, change in enumerate(changes, 1):
        place = keep / "aside" if change.kind == "aside" else root
        with storage_errors(root / change.source):
            _rename(root / change.source, place / change.target)
        observer.advance(number)
    return Fixed(root, changes, record)


def undo(record: Path) -> tuple[Change, ...]:
    """Bring everything back that the record tells of and that was done; what was done.

    Raises:
        UsageError: ``record`` is no record.
        StorageError: Something can't be moved back; running it again goes on from there.
    """
    try:
        text = json.loads(record.read_text())
        root = Path(text["root"])
        changes = [Change(**change) for change in text["changes"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{record} is no record of changes: {error}.", action="Give the file that `--fix` named."
        ) from error
    done = []
    for change in reversed(changes):
        place = record.parent / "aside" if change.kind == "aside" else root
        if os.path.lexists(place / change.target) and not _same(place / change.target, root / change.source):
            with storage_errors(root / change.source):
                _rename(place / change.target, root / change.source)
            done.append(change)
    return tuple(done)


def _same(one: Path, other: Path) -> bool:
    # On a file system that ignores case both names may be one file: then its exact name decides.
    return one.name == other.name and one.parent == other.parent


def _rename(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(target) and not (source.exists() and target.exists() and source.samefile(target)):
        raise StorageError(
            f"{target} is there already.", action="Move one of the two away and run the command again."
        )
    shutil.move(source, target)
