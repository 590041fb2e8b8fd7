"""Read the images of a folder that may be hostile or change during the read, and detect later changes to it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from cldc.competition import DatasetRules
from cldc.dataset.model import Dataset, Image, ImageFile, Listing
from cldc.dataset.scan import describe_error, scan, special_file_error
from cldc.errors import InvalidDataset
from cldc.progress import SILENT, Observer

# Larger files are hashed in pieces and never held in memory.
MAX_HELD_BYTES = 16 * 1024 * 1024
# TensorFlow counts an image's bytes in 32 bits; hashing what it can't read could take hours.
_MAX_READABLE_BYTES = 2**31 - 1
_HASH_HEADER = b"cldc dataset 1\n"


def load(folder: Path, rules: DatasetRules, observer: Observer = SILENT) -> Dataset:
    """Scan ``folder`` and hash its images.

    Args:
        folder: The folder whose direct children are the splits.
        rules: Which splits and extensions the script reads.
        observer: Receives progress.

    Raises:
        InvalidDataset: ``folder`` does not exist or is not a folder. Missing splits and unreadable files raise nothing.
    """
    listing = scan(folder, rules)
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
    # No path contains a NUL, so the lines sort like their paths.
    lines = sorted(os.fsencode(f"{path}\0{sha256}\n") for path, sha256 in contents)
    return hashlib.sha256(_HASH_HEADER + b"".join(lines)).hexdigest()


def changes_since(dataset: Dataset, rules: DatasetRules) -> str:
    """How the folder has changed since it was read, as a sentence; empty if the script would read the same now.

    People keep working on a dataset during a long training.
    """
    try:
        now = load(dataset.root, rules)
    except InvalidDataset:
        return f"{dataset.root} no longer exists."
    if now.hash == dataset.hash:
        return ""
    before, after = ({image.path: image.sha256 for image in known.images} for known in (dataset, now))
    counts = {
        "changed": sum(before[path] != after[path] for path in before.keys() & after.keys()),
        "added": len(after.keys() - before.keys()),
        "removed": len(before.keys() - after.keys()),
    }
    listed = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return f"{dataset.root} has changed since its images were read: {listed}."


class Read(NamedTuple):
    """An image and, if the caller asked for it and it is small enough, its content."""

    image: Image
    content: bytes | None = None


def read_image(root: Path | str, file: ImageFile, *, keep: bool = True) -> Read:
    """Hash a file, and return its content if ``keep`` and it has at most `MAX_HELD_BYTES`.

    A file that can't be read, or changes meanwhile, comes back with an `Image.error`. Never raises for the contents of the
    folder and never waits for a pipe.
    """
    if file.error:
        return Read(file.as_image(error=file.error))
    try:
        with _open(f"{root}/{file.path}") as opened:
            before = os.fstat(opened.fileno())
            if problem := special_file_error(before.st_mode):
                return Read(file.as_image(error=problem))
            if before.st_size > _MAX_READABLE_BYTES:
                return Read(file.as_image(error="it is larger than 2 GiB, more than TensorFlow reads"))
            content = _read_content(opened, before.st_size) if keep else None
            digest = hashlib.file_digest(opened, "sha256") if content is None else hashlib.sha256(content)
            after = os.fstat(opened.fileno())
    except OSError as error:
        return Read(file.as_image(error=describe_error(error, link=file.link)))
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return Read(file.as_image(error="it changed while it was read"))
    return Read(file._replace(size=after.st_size).as_image(digest.hexdigest()), content)


def read_start(path: Path, count: int) -> bytes:
    """The first ``count`` bytes of a file; empty if the file does not exist or can't be read. Does not block on a pipe."""
    try:
        with _open(str(path)) as opened:
            mode = os.fstat(opened.fileno()).st_mode
            return b"" if special_file_error(mode) else opened.read(count)
    except OSError:
        return b""


def _open(path: str) -> FileIO:
    # O_NONBLOCK: a file replaced by a pipe since the scan must not make us wait for a writer.
    more = getattr(os, "O_NONBLOCK", 0)
    return open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | more))


def _read_content(opened: FileIO, size: int) -> bytes | None:
    # Ask for one byte more than the size to notice a file that grew; None, from the start again, if it is too large.
    if size > MAX_HELD_BYTES:
        return None
    pieces = []
    left = MAX_HELD_BYTES + 1
    want = size + 1
    while left > 0 and (piece := opened.read(min(want, left))):
        pieces.append(piece)
        left -= len(piece)
        want = max(want - len(piece), 1)
    if left <= 0:
        opened.seek(0)
        return None
    return b"".join(pieces)
