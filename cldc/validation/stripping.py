"""Remove metadata from a dataset's images, and keep each original so that it can be restored."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cldc.errors import StorageError
from cldc.files import hash_file, private_folder, replace_atomically, storage_errors
from cldc.progress import Observer
from cldc.text import plural
from cldc.validation.metadata.removal import cut_metadata, remove_metadata
from cldc.validation.model import InspectedDataset


class Strippable(NamedTuple):
    """Which images can be stripped of metadata, and which can't.

    Attributes:
        images: For each image's path, the SHA-256 of the file without its metadata.
        damaged: Paths of images where removing the metadata might change the picture.
    """

    images: dict[str, str]
    damaged: tuple[str, ...]


def find_strippable(
    inspected: InspectedDataset, wanted: Callable[[str], bool], observer: Observer
) -> Strippable:
    """The images with metadata whose paths are ``wanted``.

    Raises:
        StorageError: One can't be read.
    """
    paths = {image.path: image.sha256 for image, _ in inspected.metadata if wanted(image.path)}
    images: dict[str, str] = {}
    damaged = []
    if paths:
        observer.start(
            f"Examining {plural(len(paths), 'image')} with metadata", total=len(paths), unit="images"
        )
    known: dict[str, str | None] = {}
    for count, (path, sha256) in enumerate(paths.items(), 1):
        if sha256 not in known:
            place = inspected.dataset.root / path
            with storage_errors(place):
                stripped = remove_metadata(place.read_bytes())
            known[sha256] = None if stripped is None else _hash(stripped)
        if (after := known[sha256]) is None:
            damaged.append(path)
        else:
            images[path] = after
        observer.advance(count)
    return Strippable(images, tuple(damaged))


def strip(path: Path, sha256: str, original: Path | None = None) -> None:
    """Keep the file at ``original``, then replace ``path`` with the file without its metadata.

    Raises:
        StorageError: It can't be read or written, or the result does not have the expected SHA-256.
    """
    with storage_errors(path):
        content, mode = path.read_bytes(), stat.S_IMODE(path.stat().st_mode)
    stripped = cut_metadata(content)
    if path.is_symlink() or stripped is None or _hash(stripped) != sha256:
        raise StorageError(
            f"{path} has changed since it was checked.",
            action="Wait until nothing changes it, then run the command again.",
        )
    if original is not None:
        private_folder(original.parent)
        replace_atomically(original, content, mode=mode)
        with storage_errors(original):
            shutil.copystat(path, original)
    replace_atomically(path, stripped, mode=mode)


def restore_original(original: Path, path: Path, sha256: str) -> bool:
    """Undo `strip`; whether there was anything to undo.

    Raises:
        StorageError: ``path`` is gone or has changed since, or can't be written.
    """
    if not os.path.lexists(original):
        return False  # never done, or undone before
    if path.is_symlink() or not path.is_file():
        raise StorageError(f"{path} is not there any more.", action="Look for it where you moved it.")
    now = hash_file(path)
    if now == sha256:
        with storage_errors(original):
            content, mode = original.read_bytes(), stat.S_IMODE(original.stat().st_mode)
        replace_atomically(path, content, mode=mode)
        with storage_errors(path):
            shutil.copystat(original, path)
    elif now != hash_file(original):
        raise StorageError(
            f"{path} has changed since its metadata was removed.",
            action=f"Its original is {original}; copy it back yourself if you want it.",
        )
    with storage_errors(original):
        original.unlink()
    return now == sha256


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
