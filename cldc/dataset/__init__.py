"""A dataset folder, seen exactly as the training script will see it.

The script lists its splits through Keras' ``image_dataset_from_directory``, whose habits are copied here:
endings count in any case, hidden files and ``._`` files too; a file at any depth of a class folder belongs
to that class; links to files and class folders that are links are followed, a linked folder inside a class
is not; a link that points nowhere is counted and stops the script when it comes to be read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from cldc.dataset.model import (
    Dataset,
    Entry,
    Image,
    Listing,
    Other,
    OutwardLink,
    Reason,
    Split,
    SplitState,
)
from cldc.dataset.naming import default_name, fold_name, meant_class, suggest_roots
from cldc.dataset.reading import MAX_HELD_BYTES, Read, read_entry, read_start
from cldc.dataset.walk import survey
from cldc.progress import SILENT, Observer

__all__ = [
    "MAX_HELD_BYTES",
    "Dataset",
    "Entry",
    "Image",
    "Listing",
    "Other",
    "OutwardLink",
    "Read",
    "Reason",
    "Split",
    "SplitState",
    "assemble",
    "default_name",
    "fold_name",
    "identity",
    "load",
    "meant_class",
    "read_entry",
    "read_start",
    "suggest_roots",
    "survey",
]

_HASH_HEADER = b"cldc dataset 1\n"


def load(
    folder: Path,
    *,
    splits: Sequence[str],
    extensions: Sequence[str],
    name: str | None = None,
    observer: Observer = SILENT,
) -> Dataset:
    """Walk and hash ``folder``.

    Args:
        folder: The folder whose direct children are the splits.
        splits: Names of the splits.
        extensions: Lower-case endings that the script takes.
        name: The dataset's name where it is not to be made from the folder's.
        observer: Told of files as they are hashed.

    Raises:
        InvalidDataset: ``folder`` is no folder. Missing splits and unreadable files are no error here.
    """
    listing = survey(folder, splits=splits, extensions=extensions, name=name)
    observer.start("Reading images", total=len(listing.entries), unit="images")
    images = []
    for number, entry in enumerate(listing.entries, 1):
        images.append(read_entry(listing.root, entry, keep=False).image)
        if number % 256 == 0:
            observer.advance(number)
    observer.advance(len(images))
    return assemble(listing, images)


def assemble(listing: Listing, images: Iterable[Image]) -> Dataset:
    """The dataset of a walked folder whose images have been read, in the order of its entries."""
    taken = tuple(images)
    return Dataset(
        root=listing.root,
        name=listing.name,
        splits=listing.splits,
        images=taken,
        others=listing.others,
        hash=identity((image.path, image.sha256) for image in taken),
        outward_links=listing.outward_links,
    )


def identity(contents: Iterable[tuple[str, str]]) -> str:
    """A dataset's identity from relative paths and SHA-256s; `Dataset` defines the format."""
    # No path holds a NUL, so that lines are in the order of their paths; of ASCII, that of characters is that of bytes.
    lines = [f"{path}\0{sha256}\n" for path, sha256 in contents]
    plain = "".join(lines).isascii()
    text = "".join(sorted(lines, key=None if plain else os.fsencode))
    return hashlib.sha256(_HASH_HEADER + os.fsencode(text)).hexdigest()
