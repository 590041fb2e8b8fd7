"""Fix what has one right answer: leftover files, metadata, extensions that belie the content, names of folders.

No image is ever deleted, and no pixel changed. In a copy, leftover files are left out; in place, they are moved to a
folder beside a record by which `undo` brings everything back, and originals of what lost its metadata are kept there.
"""

from __future__ import annotations

import json
import os
import shlex
import tempfile
import unicodedata
from collections.abc import Container, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Literal

from cldc.dataset import Image, OutwardLink
from cldc.errors import CldcError, StorageError, UsageError
from cldc.files import private_folder, replace_atomically, storage_errors, temporary_folder
from cldc.progress import SILENT, Observer
from cldc.validation.images import right_endings
from cldc.validation.model import Subject
from cldc.validation.moving import copy_followed, give_back, led_to, move, require_folder
from cldc.validation.names import junk_images, junk_others
from cldc.validation.stripping import find_strippable, give_back_original, strip
from cldc.validation.structure import JUNK_FOLDERS, misnamed_folders

_RECORD = "record.json"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to fix: ``rename`` from ``source`` to ``target``, set ``source`` ``aside``, or ``strip`` it of metadata.

    Both are relative to the dataset, with slashes; ``target`` is where it, or the original of what is stripped, lies in
    the record's folder. ``sha256`` is that of a file without its metadata.
    """

    kind: Literal["rename", "aside", "strip"]
    rule: str
    source: str
    target: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Fixed:
    """What was mended.

    Attributes:
        root: In which folder.
        changes: What was done.
        record: For `undo`, where it was done in place.
        left: What only a copy could have mended, since links lead to it or through it.
        copied: Links out of the dataset in whose place a copy holds the files themselves.
        damaged: Images that keep their metadata, since it can't be removed without a doubt about their picture.
    """

    root: Path
    changes: tuple[Change, ...]
    record: Path | None = None
    left: tuple[str, ...] = ()
    copied: tuple[OutwardLink, ...] = ()
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Undone:
    """What was taken back, and what could not be, each with the reason."""

    changes: tuple[Change, ...] = ()
    left: tuple[tuple[Change, CldcError], ...] = ()


def _plan(subject: Subject, observer: Observer) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Everything that can be fixed, in an order in which it can be done, and the images that keep their metadata."""
    moves = _plan_moves(subject)
    aside = {change.source for change in moves if change.kind == "aside"}
    found = find_strippable(subject, lambda path: not _within(path, aside), observer)
    # First: the paths hold until then.
    strips = [Change("strip", "image-metadata", path, path, sha256) for path, sha256 in found.images.items()]
    return (*strips, *moves), found.damaged


def _plan_moves(subject: Subject) -> tuple[Change, ...]:
    aside = {path: Change("aside", rule, path, path) for path, rule in _leavings(subject)}
    emptied = _emptied(subject, aside)
    asides = [change for path, change in aside.items() if path.split("/")[0] not in emptied]
    # Folders last: paths of what is in them hold until then.
    folders = [Change("rename", "class-misnamed", *pair) for pair in misnamed_folders(subject)]
    return (*asides, *_endings(subject, aside), *folders)


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


def _emptied(subject: Subject, aside: Container[str]) -> set[str]:
    """Splits whose every image is a leaving; without them the script would stop where it ran."""
    images = subject.dataset.images
    return {image.split for image in images} - {i.split for i in images if not _within(i.path, aside)}


def _within(path: str, places: Container[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[:number]) in places for number in range(1, len(parts) + 1))


def _endings(subject: Subject, aside: Container[str]) -> list[Change]:
    paths = chain((i.path for i in subject.dataset.images), (o.path for o in subject.dataset.ignored))
    taken = set(map(_folded, paths))
    changes = []
    for image in subject.dataset.images:
        if _within(image.path, aside):
            continue
        target = _right_name(subject, image, taken)
        if target != image.path:
            taken.add(_folded(target))
            changes.append(Change("rename", "extension-content", image.path, target))
    return changes


def _folded(path: str) -> str:
    # What differs in case or accents' form only is one file on some systems.
    return unicodedata.normalize("NFC", path).casefold()


def _right_name(subject: Subject, image: Image, taken: set[str]) -> str:
    found = subject.inspections.get(image.sha256)
    kind = found.verdict.format if found else None
    path = PurePosixPath(image.path)
    if kind is None or image.path.lower().endswith(right_endings(kind)):
        return image.path
    # Under an ending that the competition does not take, the script would pass over it.
    usable = [end for end in right_endings(kind) if end in subject.competition.dataset.extensions]
    for number in range(len(taken) + 1) if usable else ():
        middle = f"-{number}" if number else ""
        target = str(path.with_name(f"{path.stem}{middle}{usable[0]}"))
        # Folders in a class folder are in no list.
        if _folded(target) not in taken and not os.path.lexists(subject.dataset.root / target):
            return target
    return image.path


def fix_copy(subject: Subject, into: Path, observer: Observer = SILENT) -> Fixed:
    """Copy the dataset to ``into``, mended; the original stays as it is, and so does what it links to.

    What is copied, and how links are, `copy_followed` says. ``into`` is there when all of it is.

    Raises:
        UsageError: ``into`` is there already, or lies in the dataset.
        StorageError: It can't be written, or something can't be read.
    """
    root = subject.dataset.root
    splits = subject.dataset.splits
    follow = {split.name for split in splits} | {f"{s.name}/{folder}" for s in splits for folder in s.folders}
    target = into.absolute()
    inside = any(target.resolve().is_relative_to((root / place).resolve()) for place in ("", *follow))
    if os.path.lexists(target) or inside:
        raise UsageError(
            f"{into} is there already, or lies in the dataset.", action="Name a folder that is not there yet."
        )
    changes, damaged = _plan(subject, observer)
    left_out = frozenset(change.source for change in changes if change.kind == "aside")
    observer.start("Copying the dataset")
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(".cldc-", target.parent) as room:
        copy = room / "copy"
        copy_followed(root, copy, follow=frozenset(follow), leave_out=left_out)
        for change in changes:
            if change.kind == "rename":
                move(copy / change.source, copy / change.target)
            elif change.kind == "strip":
                strip(copy / change.source, change.sha256)
        move(copy, target)
    return Fixed(target, changes, copied=subject.dataset.outward_links, damaged=damaged)


def fix_in_place(subject: Subject, fixes: Path, observer: Observer = SILENT) -> Fixed:
    """Mend the dataset's own folder.

    What lies behind a linked folder is not the dataset's own, and stays; so does what a link leads to.

    Args:
        subject: The dataset as it was checked.
        fixes: Where to make a folder for the record and what is set aside.
        observer: Told of what is done.

    Raises:
        StorageError: Something can't be moved; the error says how to take back what was done until then.
    """
    root = subject.dataset.root.resolve()
    every, damaged = _plan(subject, observer)
    changes, left = _own(every, subject, root)
    if not changes:
        return Fixed(subject.dataset.root, (), left=left, damaged=damaged)
    keep = _new_folder(fixes, subject.dataset.name)
    record = keep / _RECORD
    # Written first: whatever happens after, the record knows of it.
    text = {"root": str(root), "changes": [asdict(change) for change in changes]}
    replace_atomically(record, json.dumps(text, indent=2))
    observer.note(f"What is mended is written down in {record}.")
    observer.start("Mending the dataset", total=len(changes), unit="changes")
    for number, change in enumerate(changes):
        try:
            _do(change, root, keep)
        except StorageError as error:
            raise StorageError(
                f"{error.message} {number} of {len(changes)} changes were made.",
                action=f"{error.action} To take back what was done: {undo_command(record)}",
            ) from error
        observer.advance(number + 1)
    return Fixed(subject.dataset.root, changes, record, left, damaged=damaged)


def _own(
    every: tuple[Change, ...], subject: Subject, root: Path
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """The changes that harm no link and nothing outside, and the sources of the others."""
    if not every:
        return (), ()
    pinned = led_to(root, [root / image.path for image in subject.dataset.images if image.link])

    def is_own(change: Change) -> bool:
        if change.kind == "strip":  # its name stays, so a link that leads to it does no harm
            return (root / change.source).resolve() == root / change.source
        return not pinned(change.source)

    changes = tuple(filter(is_own, every))
    # One file may be there under two paths, and be fixed under its own.
    done = {(change.kind, root / change.source) for change in changes}
    others = set(every).difference(changes)
    left = (c.source for c in every if c in others and (c.kind, _place(root, c)) not in done)
    return changes, tuple(dict.fromkeys(left))


def _place(root: Path, change: Change) -> Path:
    """Where what is to be changed lies in truth: of what is stripped the content, of the others the name."""
    path = root / change.source
    return path.resolve() if change.kind == "strip" else path.parent.resolve() / path.name


def _new_folder(fixes: Path, name: str) -> Path:
    # Nobody else's, also where two begin in one second.
    with storage_errors(fixes):
        prefix = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{name}-"
        return Path(tempfile.mkdtemp(prefix=prefix, dir=private_folder(fixes)))


def _do(change: Change, root: Path, keep: Path) -> None:
    target = _target(change, root, keep)
    if change.kind == "strip":
        strip(root / change.source, change.sha256, target)
        return
    if change.kind == "aside":
        with storage_errors(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
    move(root / change.source, target)


def _target(change: Change, root: Path, keep: Path) -> Path:
    folders = {"rename": root, "aside": keep / "aside", "strip": keep / "originals"}
    return folders[change.kind] / change.target


def undo_command(record: Path) -> str:
    """What to type to take back what ``record`` tells of."""
    return f"cldc validate --undo {shlex.quote(str(record))}"


def undo(record: Path) -> Undone:
    """Bring everything back that the record tells of and that was done; what can't be brought back is passed over.

    Running it again goes on from there.

    Raises:
        UsageError: ``record`` is no record.
        StorageError: Its dataset is gone.
    """
    try:
        text = json.loads(record.read_text())
        root = Path(text["root"])
        changes = [Change(**change) for change in text["changes"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{record} is no record of changes: {error}.", action="Give the file that `--fix` named."
        ) from error
    if not root.is_dir():
        raise StorageError(
            f"{root}, the dataset that {record} tells of, is not there any more.",
            action="Move it back there and run the command again.",
        )
    done, left = [], []
    for change in reversed(changes):
        try:
            if _take_back(change, root, record.parent):
                done.append(change)
        except StorageError as error:
            left.append((change, error))
    return Undone(tuple(done), tuple(left))


def _take_back(change: Change, root: Path, keep: Path) -> bool:
    """Undo one change; whether there was anything to undo."""
    source, target = root / change.source, _target(change, root, keep)
    if change.kind == "strip":
        return give_back_original(target, source, change.sha256)
    there = _named(source, target)
    if not _named(target, source):
        if there:
            return False  # never done, or taken back before
        raise StorageError(
            f"Neither {source} nor {target} is there any more.", action="Look for it where you moved it."
        )
    if change.kind == "aside":
        return give_back(target, source)
    if there:
        raise StorageError(
            f"{source} and {target} are both there.", action="Move one away and run the command again."
        )
    require_folder(source)
    move(target, source)
    return True


def _named(path: Path, other: Path) -> bool:
    """Whether ``path`` is there by its exact name: a file system that ignores case finds ``other`` by it."""
    if not os.path.lexists(path):
        return False
    return _folded(path.name) != _folded(other.name) or path.name in os.listdir(path.parent)  # noqa: PTH208
