"""A dataset folder, seen exactly as the training script will see it.

The script lists its splits through Keras' ``image_dataset_from_directory``, whose habits are copied here:
extensions count in any case; hidden files and ``._`` files count too; a file at any depth of a class folder belongs
to that class; links to files and linked class folders are followed, a linked folder inside a class is not; a broken
link is counted and stops the script when it tries to read it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from cldc.dataset.model import (
    Dataset,
    IgnoredPath,
    IgnoreReason,
    Image,
    ImageFile,
    Listing,
    OutwardLink,
    Split,
    SplitState,
)
from cldc.dataset.naming import default_name, fold_name, meant_class, suggest_roots
from cldc.dataset.reading import MAX_HELD_BYTES, Read, read_image, read_start
from cldc.dataset.scan import scan
from cldc.progress import SILENT, Observer

__all__ = [
    "MAX_HELD_BYTES",
    "Dataset",
    "IgnoreReason",
    "IgnoredPath",
    "Image",
    "ImageFile",
    "Listing",
    "OutwardLink",
    "Read",
    "Split",
    "SplitState",
    "assemble",
    "default_name",
    "fold_name",
    "identity",
    "load",
    "meant_class",
    "read_image",
    "read_start",
    "scan",
    "suggest_roots",
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
    """Scan ``folder`` and hash its images.

    Args:
        folder: The folder whose direct children are the splits.
        splits: Names of the splits.
        extensions: Lower-case extensions of the files that the script reads.
        name: The dataset's name; by default it is made from the folder's.
        observer: Receives progress.

    Raises:
        InvalidDataset: ``folder`` does not exist or is not a folder. Missing splits and unreadable files raise nothing.
    """
    listing = scan(folder, splits=splits, extensions=extensions, name=name)
    observer.start("Reading images", total=len(listing.files), unit="images")
    images = []
    for number, file in enumerate(listing.files, 1):
        images.append(read_image(listing.root, file, keep=False).image)
        if number % 256 == 0:
            observer.advance(number)
    observer.advance(len(images))
    return assemble(listing, images)


def assemble(listing: Listing, images: Iterable[Image]) -> Dataset:
    """The dataset of a scanned folder, given its images in the order of ``listing.files``."""
    images = tuple(images)
    return Dataset(
        root=listing.root,
        name=listing.name,
        splits=listing.splits,
        images=images,
        ignored=listing.ignored,
        hash=identity((image.path, image.sha256) for image in images),
        outward_links=listing.outward_links,
    )


def identity(contents: Iterable[tuple[str, str]]) -> str:
    """A dataset's identity from relative paths and SHA-256s; `Dataset` defines the format."""
    # No path contains a NUL, so the lines sort like their paths. ASCII text sorts like its bytes.
    lines = [f"{path}\0{sha256}\n" for path, sha256 in contents]
    ascii_only = "".join(lines).isascii()
    text = "".join(sorted(lines, key=None if ascii_only else os.fsencode))
    return hashlib.sha256(_HASH_HEADER + os.fsencode(text)).hexdigest()
