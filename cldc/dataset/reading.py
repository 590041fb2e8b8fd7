"""Read the images of a folder that may be hostile or change during the read, and detect later changes to it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from io import FileIO
from pathlib import Path

from cldc.competition import DatasetRules
from cldc.dataset.model import Dataset, Image
from cldc.dataset.scan import describe_error, scan, special_file_error
from cldc.errors import InvalidDataset
from cldc.progress import SILENT, Observer

# Larger files are hashed in pieces and never held in memory.
MAX_HELD_BYTES = 16 * 1024 * 1024
# TensorFlow counts an image's bytes in 32 bits; hashing what it can't read could take hours.
_MAX_READABLE_BYTES = 2**31 - 1


def load(folder: Path, rules: DatasetRules, observer: Observer = SILENT) -> Dataset:
    """Scan ``folder`` and hash its images.

    Args:
        folder: The folder whose direct children are the splits.
        rules: The splits and extensions that the script reads.
        observer: Receives progress.

    Raises:
        InvalidDataset: ``folder`` does not exist or is not a folder. Missing splits and unreadable files raise nothing.
    """
    dataset = scan(folder, rules)
    observer.start("Reading images", total=len(dataset.images), unit="images")
    images = []
    for number, found in enumerate(dataset.images, 1):
        images.append(read_image(dataset.root, found, keep=False)[0])
        if number % 256 == 0:
            observer.advance(number)
    observer.advance(len(images))
    return replace(dataset, images=tuple(images))


def changes_since(dataset: Dataset, rules: DatasetRules) -> str:
    """Describe in a sentence how the folder has changed since it was read; empty if the script would read the same.

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


def read_image(root: Path, image: Image, *, keep: bool = True) -> tuple[Image, bytes | None]:
    """Read a file that `scan` found: the image with its SHA-256, and its content.

    Never raises for the contents of the folder and never waits for a pipe. A file that can't be read, or changes
    while being read, comes back with an `Image.error`.

    Args:
        root: The dataset's folder.
        image: The file as it was found.
        keep: Whether the content is wanted. It is None otherwise, and for a file of more than `MAX_HELD_BYTES`.
    """
    if image.error:
        return image, None
    image = image._replace(sha256="")
    try:
        with _open(f"{root}/{image.path}") as opened:
            before = os.fstat(opened.fileno())
            problem = special_file_error(before.st_mode)
            if not problem and before.st_size > _MAX_READABLE_BYTES:
                problem = "it is larger than 2 GiB, more than TensorFlow reads"
            if problem:
                return image._replace(error=problem), None
            content = _read_content(opened, before.st_size) if keep else None
            digest = hashlib.file_digest(opened, "sha256") if content is None else hashlib.sha256(content)
            after = os.fstat(opened.fileno())
    except OSError as error:
        return image._replace(error=describe_error(error, link=image.link)), None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return image._replace(error="it changed while it was read"), None
    return image._replace(size=after.st_size, sha256=digest.hexdigest()), content


def read_start(path: Path, count: int) -> bytes:
    """Read the first ``count`` bytes of a file; empty if it does not exist or can't be read. Does not wait for a pipe."""
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
