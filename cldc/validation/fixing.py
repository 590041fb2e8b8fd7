"""Fix what is safe to fix automatically: leftover files, metadata, wrong extensions, names of splits and classes.

No image is ever deleted, and no pixel changed. In a copy, leftover files are left out. In place, they move to a folder
that also has a record, from which `undo` restores everything; originals of images that lost their metadata are kept there.
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
from cldc.validation.model import InspectedDataset
from cldc.validation.moving import copy_following_links, link_targets, move, move_back, require_parent
from cldc.validation.rules.folders import LEFTOVER_FOLDERS, misnamed_classes, misnamed_splits
from cldc.validation.rules.images import EXTENSIONS
from cldc.validation.rules.names import leftover_ignored, leftover_images
from cldc.validation.stripping import find_strippable, restore_original, strip

_RECORD = "record.json"


@dataclass(frozen=True, slots=True)
class Change:
    """One fix: ``rename`` from ``source`` to ``target``, set ``source`` ``aside``, or ``strip`` it of metadata.

    Both are relative to the dataset, with slashes; of what is set aside or stripped, ``target`` is where it, or the
    original, is kept in the record's folder. ``sha256`` is that of a file without its metadata.
    """

    kind: Literal["rename", "aside", "strip"]
    rule: str
    source: str
    target: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Fixed:
    """What was fixed.

    Attributes:
        root: The fixed folder.
        changes: What was done.
        record: For `undo`, if it was done in place.
        left: Paths that only a copy could fix, because links lead to them or through them.
        copied: Links out of the dataset in whose place a copy has the files themselves.
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
    """What was undone, and what could not be, each with the reason."""

    changes: tuple[Change, ...] = ()
    left: tuple[tuple[Change, CldcError], ...] = ()


def fix_copy(inspected: InspectedDataset, into: Path, observer: Observer = SILENT) -> Fixed:
    """Copy the dataset to ``into`` and fix the copy; the original and what it links to stay unchanged.

    `copy_following_links` says what is copied. ``into`` appears when it is complete.

    Raises:
        UsageError: ``into`` exists, or lies in the dataset.
        StorageError: It can't be written, or something can't be read.
    """
    root = inspected.dataset.root
    splits = inspected.dataset.splits
    follow = {split.name for split in splits} | {f"{s.name}/{folder}" for s in splits for folder in s.folders}
    target = into.absolute()
    inside = any(target.resolve().is_relative_to((root / place).resolve()) for place in ("", *follow))
    if os.path.lexists(target) or inside:
        raise UsageError(
            f"{into} exists already, or lies in the dataset.", action="Name a folder that does not exist yet."
        )
    changes, damaged = _plan(inspected, observer)
    left_out = frozenset(change.source for change in changes if change.kind == "aside")
    renamed_splits = {change.source for change in changes if change.rule == "split-missing"}
    observer.start("Copying the dataset")
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(".cldc-", target.parent) as room:
        copy = room / "copy"
        copy_following_links(root, copy, follow=frozenset(follow | renamed_splits), leave_out=left_out)
        for change in changes:
            if change.kind == "rename":
                move(copy / change.source, copy / change.target)
            elif change.kind == "strip":
                strip(copy / change.source, change.sha256)
        move(copy, target)
    return Fixed(target, changes, copied=inspected.dataset.outward_links, damaged=damaged)


def fix_in_place(inspected: InspectedDataset, fixes: Path, observer: Observer = SILENT) -> Fixed:
    """Fix the dataset's own folder.

    What lies behind a linked folder is not the dataset's own and stays unchanged; so does what a link leads to.

    Args:
        inspected: The dataset as it was checked.
        fixes: Where to create a folder for the record and what is set aside.
        observer: Receives progress.

    Raises:
        StorageError: Something can't be moved; the error says how to undo what was done until then.
    """
    root = inspected.dataset.root.resolve()
    wanted, damaged = _plan(inspected, observer)
    changes, left = _harmless(wanted, inspected, root)
    if not changes:
        return Fixed(inspected.dataset.root, (), left=left, damaged=damaged)
    with storage_errors(fixes):
        # A new folder, even if two fixes begin in the same second.
        prefix = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{inspected.dataset.name}-"
        keep = Path(tempfile.mkdtemp(prefix=prefix, dir=private_folder(fixes)))
    record = keep / _RECORD
    # Written first, so that the record knows of whatever happens.
    text = {"root": str(root), "changes": [asdict(change) for change in changes]}
    replace_atomically(record, json.dumps(text, indent=2))
    observer.note(f"The changes are recorded in {record}.")
    observer.start("Fixing the dataset", total=len(changes), unit="changes")
    for number, change in enumerate(changes):
        try:
            _apply(change, root, keep)
        except StorageError as error:
            raise StorageError(
                f"{error.message} {number} of {len(changes)} changes were made.",
                action=f"{error.action} To undo what was done: {undo_command(record)}",
            ) from error
        observer.advance(number + 1)
    return Fixed(inspected.dataset.root, changes, record, left, damaged=damaged)


def _plan(inspected: InspectedDataset, observer: Observer) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Everything that can be fixed, in an order in which it can be done, and the images that keep their metadata."""
    aside = {path: Change("aside", rule, path, path) for path, rule in _leftovers(inspected)}
    strippable = find_strippable(inspected, lambda path: not _is_within(path, aside), observer)
    strips = [Change("strip", "image-metadata", path, path, sha) for path, sha in strippable.images.items()]
    # A split would vanish if all of its images were set aside, and the script would stop.
    images = inspected.dataset.images
    kept = {image.split for image in images if not _is_within(image.path, aside)}
    emptied = {image.split for image in images} - kept
    asides = [change for path, change in aside.items() if path.split("/")[0] not in emptied]
    # Folders last, because until then the paths of what is in them hold.
    classes = [Change("rename", "class-misnamed", *pair) for pair in misnamed_classes(inspected)]
    splits = [Change("rename", "split-missing", *pair) for pair in misnamed_splits(inspected)]
    return (*strips, *asides, *_renamed_files(inspected, aside), *classes, *splits), strippable.damaged


def _leftovers(inspected: InspectedDataset) -> Iterator[tuple[str, str]]:
    """Paths of leftover files and folders, each with the rule that finds it."""
    folders = [
        f"{split.name}/{folder}"
        for split in inspected.dataset.splits
        for folder in split.folders
        if folder in LEFTOVER_FOLDERS and folder not in inspected.competition.dataset.classes
    ]
    yield from ((path, "class-extra") for path in folders)
    files = {image.path for image in leftover_images(inspected)}
    files |= {each.path for each in leftover_ignored(inspected)}
    for path in sorted(files):
        if not any(path.startswith(f"{folder}/") for folder in folders):
            yield path, "junk-file"


def _is_within(path: str, places: Container[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[:number]) in places for number in range(1, len(parts) + 1))


def _renamed_files(inspected: InspectedDataset, aside: Container[str]) -> list[Change]:
    """Images that get the extension of their content."""
    paths = chain((i.path for i in inspected.dataset.images), (o.path for o in inspected.dataset.ignored))
    taken = set(map(_folded, paths))
    changes = []
    for image in inspected.dataset.images:
        if _is_within(image.path, aside):
            continue
        target = _right_name(inspected, image, taken)
        if target != image.path:
            taken.add(_folded(target))
            changes.append(Change("rename", "extension-content", image.path, target))
    return changes


def _folded(path: str) -> str:
    # Some systems take names that differ only in case or in the form of accents as the same.
    return unicodedata.normalize("NFC", path).casefold()


def _right_name(inspected: InspectedDataset, image: Image, taken: set[str]) -> str:
    inspection = inspected.inspections.get(image.sha256)
    kind = inspection.verdict.format if inspection else None
    path = PurePosixPath(image.path)
    if kind is None or image.path.lower().endswith(EXTENSIONS[kind]):
        return image.path
    # With an extension that the competition does not accept, the script would ignore it.
    usable = [end for end in EXTENSIONS[kind] if end in inspected.competition.dataset.extensions]
    for number in range(len(taken) + 1) if usable else ():
        middle = f"-{number}" if number else ""
        target = str(path.with_name(f"{path.stem}{middle}{usable[0]}"))
        # Folders inside a class folder are in no list.
        if _folded(target) not in taken and not os.path.lexists(inspected.dataset.root / target):
            return target
    return image.path


def _harmless(
    wanted: tuple[Change, ...], inspected: InspectedDataset, root: Path
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """The changes that break no link and touch nothing outside, and the sources of the others."""
    if not wanted:
        return (), ()
    is_linked = link_targets(root, [root / image.path for image in inspected.dataset.images if image.link])

    def harmless(change: Change) -> bool:
        if change.kind == "strip":  # its name stays, so a link that leads to it does no harm
            return (root / change.source).resolve() == root / change.source
        return not is_linked(change.source)

    changes = tuple(filter(harmless, wanted))
    # A file that has two paths is fixed under its own.
    done = {(change.kind, root / change.source) for change in changes}
    skipped = set(wanted).difference(changes)
    left = (c.source for c in wanted if c in skipped and (c.kind, _real_place(root, c)) not in done)
    return changes, tuple(dict.fromkeys(left))


def _real_place(root: Path, change: Change) -> Path:
    """Where what is changed really lies: the content of what is stripped, the name of everything else."""
    path = root / change.source
    return path.resolve() if change.kind == "strip" else path.parent.resolve() / path.name


def _apply(change: Change, root: Path, keep: Path) -> None:
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
    """The command that undoes what ``record`` lists."""
    return f"cldc validate --undo {shlex.quote(str(record))}"


def undo(record: Path) -> Undone:
    """Undo everything that was done of what the record lists; what can't be undone is skipped.

    Running it again goes on from there.

    Raises:
        UsageError: ``record`` is not a record.
        StorageError: Its dataset is gone.
    """
    try:
        text = json.loads(record.read_text())
        root = Path(text["root"])
        changes = [Change(**change) for change in text["changes"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{record} is not a record of changes: {error}.", action="Give the file that `--fix` named."
        ) from error
    if not root.is_dir():
        raise StorageError(
            f"{root}, the dataset of {record}, is not there any more.",
            action="Move it back there and run the command again.",
        )
    done, left = [], []
    for change in reversed(changes):
        try:
            if _undo(change, root, record.parent):
                done.append(change)
        except StorageError as error:
            left.append((change, error))
    return Undone(tuple(done), tuple(left))


def _undo(change: Change, root: Path, keep: Path) -> bool:
    """Undo one change; whether there was anything to undo."""
    source, target = root / change.source, _target(change, root, keep)
    if change.kind == "strip":
        return restore_original(target, source, change.sha256)
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
    """Whether ``path`` exists by its exact name: a file system that ignores case would find ``other`` by it."""
    if not os.path.lexists(path):
        return False
    return _folded(path.name) != _folded(other.name) or path.name in os.listdir(path.parent)  # noqa: PTH208
