"""The contents of an answer, into memory or onto this machine's disk: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cldc import files
from cldc.errors import CodaLabError, StorageError
from cldc.inside import bounded_http, unpacking

if TYPE_CHECKING:
    import requests

CHUNK_BYTES = 64 * 1024


def read(answer: requests.Response, limit_bytes: int) -> bytes:
    """Read an answer's decoded body.

    Raises:
        TooMuch: It is larger than ``limit_bytes``.
    """
    content = bytearray()
    for chunk in answer.iter_content(CHUNK_BYTES):
        content += chunk
        bounded_http.check_size(len(content), limit_bytes)
    return bytes(content)


def save(answer: requests.Response, target: Path, *, limit_bytes: int) -> Path:
    """Save a ``contents/blob`` answer as ``target``: a file, or an unpacked folder.

    Raises:
        TooMuch: It is too large.
        CodaLabError: It is a damaged archive, or one that holds anything but files and folders.
        StorageError: It can't be written, or ``target`` exists.
    """
    if os.path.lexists(target):
        raise StorageError(f"{target} already exists.", action="Remove it, or choose another path.")
    with files.storage_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    is_folder = answer.headers.get("Target-Type") == "directory"
    with files.temporary_folder(".cldc-", target.parent) as work:
        blob = work / "blob"
        _write(answer, blob, limit_bytes)
        ready = _unpack(blob, work / "folder", limit_bytes) if is_folder else blob
        with files.storage_errors(target):
            ready.replace(target)
    return target


def _write(answer: requests.Response, path: Path, limit_bytes: int) -> None:
    done = 0
    with _opened(path) as file:
        for chunk in answer.iter_content(CHUNK_BYTES):
            done += len(chunk)
            bounded_http.check_size(done, limit_bytes)
            with files.storage_errors(path):
                file.write(chunk)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tempfile._TemporaryFileWrapper[bytes]]:
    # Only the disk's own errors are storage errors; the network's, raised in the block, are not.
    with files.storage_errors(path):
        file = path.open("wb")
    try:
        yield file  # type: ignore[misc]
    finally:
        with files.storage_errors(path):
            file.close()


def _unpack(archive: Path, folder: Path, limit_bytes: int) -> Path:
    try:
        unpacking.unpack_tar(str(archive), str(folder), limit_bytes=limit_bytes)
    except unpacking.Refused as refused:
        raise CodaLabError(
            f"The folder that CodaLab sent was not unpacked: {refused}.",
            action="Try again; if that does not help, ask the bundle's owner to upload it again.",
        ) from refused
    except OSError as error:
        raise files.storage_error(error, folder) from error
    return folder
