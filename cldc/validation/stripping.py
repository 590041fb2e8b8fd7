"""Remove metadata from a dataset's images, and keep each original so that it can be restored."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from cldc.errors import StorageError
from cldc.files import hash_bytes, hash_file, private_folder, replace_atomically, storage_errors
from cldc.validation.metadata.finding import cut_metadata


def strip(path: Path, sha256: str, original: Path | None = None) -> None:
    """Keep the file at ``original``, then replace ``path`` with the file without its metadata.

    Raises:
        StorageError: It can't be read or written, or the result does not have the expected SHA-256.
    """
    with storage_errors(path):
        content, mode = path.read_bytes(), stat.S_IMODE(path.stat().st_mode)
    stripped = cut_metadata(content)
    if path.is_symlink() or stripped is None or hash_bytes(stripped) != sha256:
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
