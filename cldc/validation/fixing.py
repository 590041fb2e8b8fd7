"""Fix what is safe to fix automatically: leftover files, metadata, wrong extensions, names of splits and classes.

No image is ever deleted, and no pixel changed. In a copy, leftover files are left out. In place, they move to a folder
that also has a record, from which `undo` restores everything; originals of images that lost their metadata are kept there.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from itertools import chain
from pathlib import Path, PurePosixPath

from cldc.files import hash_bytes, storage_errors
from cldc.progress import SILENT, Observer
from cldc.text import plural
from cldc.validation.change_records import Change, Fixed, FreeNames, carry_out, carry_out_in_copy, harmless
from cldc.validation.metadata.removal import remove_metadata
from cldc.validation.model import InspectedDataset
from cldc.validation.rules.folders import LEFTOVER_FOLDERS, misnamed_classes, misnamed_splits
from cldc.validation.rules.images import EXTENSIONS
from cldc.validation.rules.names import leftover_ignored, leftover_images


def fix_copy(inspected: InspectedDataset, into: Path, observer: Observer = SILENT) -> Fixed:
    """Copy the dataset to ``into`` and fix the copy, as `carry_out_in_copy` does; errors are the same."""
    changes, damaged = _plan(inspected, observer)
    renamed_splits = {change.source for change in changes if change.rule == "split-missing"}
    target = carry_out_in_copy(changes, inspected.dataset, into, follow=renamed_splits, observer=observer)
    return Fixed(target, changes, copied=inspected.dataset.outward_links, damaged=damaged)


def fix_in_place(inspected: InspectedDataset, fixes: Path, observer: Observer = SILENT) -> Fixed:
    """Fix the dataset's own folder, with a record and what is set aside in a new folder below ``fixes``.

    Files behind a linked folder are not the dataset's own and stay unchanged, as do the targets of links.

    Raises:
        StorageError: Something can't be moved; the error says how to undo the changes until then.
    """
    root = inspected.dataset.root.resolve()
    wanted, damaged = _plan(inspected, observer)
    changes, left = harmless(wanted, inspected.dataset, root)
    if not changes:
        return Fixed(inspected.dataset.root, (), left=left, damaged=damaged)
    record = carry_out(changes, root, fixes, command="validate", task="Fixing the dataset", observer=observer)
    return Fixed(inspected.dataset.root, changes, record, left, damaged=damaged)


def _plan(inspected: InspectedDataset, observer: Observer) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Plan all possible fixes in a workable order; also return the images that keep their metadata."""
    aside = {path: Change("aside", rule, path, path) for path, rule in _leftovers(inspected)}
    strips, damaged = _strips(inspected, aside, observer)
    # A split would vanish if all of its images were set aside, and the script would stop.
    images = inspected.dataset.images
    kept = {image.split for image in images if not _is_within(image.path, aside)}
    emptied = {image.split for image in images} - kept
    asides = [change for path, change in aside.items() if path.split("/")[0] not in emptied]
    # Folders last, because until then the paths of what is in them hold.
    classes = [Change("rename", "class-misnamed", *pair) for pair in misnamed_classes(inspected)]
    splits = [Change("rename", "split-missing", *pair) for pair in misnamed_splits(inspected)]
    return (*strips, *asides, *_renamed_files(inspected, aside), *classes, *splits), damaged


def _strips(
    inspected: InspectedDataset, aside: Container[str], observer: Observer
) -> tuple[list[Change], tuple[str, ...]]:
    """Find images whose metadata can be removed, and paths of those whose pictures that might change."""
    images = [image for image, _ in inspected.metadata if not _is_within(image.path, aside)]
    if images:
        observer.start(f"Examining {plural(len(images), 'image')} with metadata", len(images), "images")
    stripped: dict[str, str | None] = {}
    for count, image in enumerate(images, 1):
        if image.sha256 not in stripped:
            path = inspected.dataset.locate(image)
            with storage_errors(path):
                content = remove_metadata(path.read_bytes())
            stripped[image.sha256] = hash_bytes(content) if content is not None else None
        observer.advance(count)
    found = [(image.path, stripped[image.sha256]) for image in images]
    changes = [Change("strip", "image-metadata", path, path, sha256) for path, sha256 in found if sha256]
    return changes, tuple(path for path, sha256 in found if sha256 is None)


def _leftovers(inspected: InspectedDataset) -> Iterator[tuple[str, str]]:
    """Find leftover files and folders, each with the rule that finds it."""
    folders = [
        f"{split.name}/{folder}"
        for split in inspected.dataset.splits
        for folder in split.folders
        if folder in LEFTOVER_FOLDERS and folder not in inspected.competition.dataset.classes
    ]
    yield from ((path, "class-extra") for path in folders)
    for path in sorted({*leftover_images(inspected), *leftover_ignored(inspected)}):
        if not any(path.startswith(f"{folder}/") for folder in folders):
            yield path, "junk-file"


def _is_within(path: str, places: Container[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[:number]) in places for number in range(1, len(parts) + 1))


def _renamed_files(inspected: InspectedDataset, aside: Container[str]) -> list[Change]:
    """Find images to rename so that their extension fits their content."""
    paths = chain((i.path for i in inspected.dataset.images), (o.path for o in inspected.dataset.ignored))
    names = FreeNames(inspected.dataset.root, paths)
    changes = []
    for image, inspection in inspected.readable:
        kind = inspection.verdict.format
        if kind is None or image.path.lower().endswith(EXTENSIONS[kind]) or _is_within(image.path, aside):
            continue
        # With an extension that the competition does not accept, the script would ignore it.
        usable = [end for end in EXTENSIONS[kind] if end in inspected.competition.dataset.extensions]
        if usable:
            target = names.take(str(PurePosixPath(image.path).with_suffix(usable[0])))
            changes.append(Change("rename", "extension-content", image.path, target))
    return changes
