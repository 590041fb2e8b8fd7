"""What a file or folder holds: its digest, and its zip."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cldc.files import hash_file, storage_errors

_DATE = (2021, 6, 1, 0, 0, 0)


def contents_digest(path: Path, top: str | None = None) -> str:
    """What tells whether a bundle holds these contents: ``sha256:`` over names and bytes.

    Args:
        path: A file, or a folder with everything in it.
        top: The one folder that the bundle holds it in.

    Raises:
        StorageError: Something can't be read.
    """
    total = hashlib.sha256((top or "").encode())
    for name, file in _files(path) if path.is_dir() else [("", path)]:
        total.update(name.encode() + b"\0" + bytes.fromhex(hash_file(file)))
    return "sha256:" + total.hexdigest()


def pack(folder: Path, top: str, target: IO[bytes]) -> None:
    """Zip ``folder`` with ``top`` as its one folder. Stored: images are compressed already.

    Raises:
        StorageError: Something can't be read or written.
    """
    with storage_errors(folder), zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, path in _files(folder):
            entry = zipfile.ZipInfo(f"{top}/{name}", date_time=_DATE)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, path.read_bytes())


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Each file below as (name with slashes, path), folder by folder in alphabetical order."""
    with storage_errors(folder):
        for current, folders, names in os.walk(folder, onerror=_raise):
            folders.sort()
            for name in sorted(names):
                path = Path(current, name)
                yield path.relative_to(folder).as_posix(), path


def _raise(error: OSError) -> None:
    raise error
