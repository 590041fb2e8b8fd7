"""Read files of a folder that may be hostile or change during the read, without raising."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cldc.dataset.model import Image, ImageFile

# Larger files are hashed in pieces and never held in memory.
MAX_HELD_BYTES = 16 * 1024 * 1024
# TensorFlow counts an image's bytes in 32 bits; hashing what it can't read could take hours.
_MAX_READABLE_BYTES = 2**31 - 1
_PIECE = 1024 * 1024


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
        return Read(_image(file, error=file.error))
    try:
        with _open_regular(f"{root}/{file.path}") as descriptor:
            before = os.fstat(descriptor)
            if problem := special_file_error(before.st_mode):
                return Read(_image(file, error=problem))
            if before.st_size > _MAX_READABLE_BYTES:
                return Read(_image(file, error="it is larger than 2 GiB, more than TensorFlow reads"))
            content = _read_content(descriptor, before.st_size) if keep else None
            sha256 = _hash_pieces(descriptor) if content is None else hashlib.sha256(content).hexdigest()
            after = os.fstat(descriptor)
    except OSError as error:
        return Read(_image(file, error=describe_error(error, link=file.link)))
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return Read(_image(file, error="it changed while it was read"))
    return Read(_image(file._replace(size=after.st_size), sha256), content)


def read_start(path: Path, count: int) -> bytes:
    """The first ``count`` bytes of a file; empty if the file does not exist or can't be read. Does not block on a pipe."""
    try:
        with _open_regular(str(path)) as descriptor:
            mode = os.fstat(descriptor).st_mode
            return b"" if special_file_error(mode) else os.read(descriptor, count)
    except OSError:
        return b""


def _image(file: ImageFile, sha256: str = "", error: str = "") -> Image:
    return Image(file.split, file.label, file.path, file.size, sha256, file.link, error)


@contextlib.contextmanager
def _open_regular(path: str) -> Iterator[int]:
    # O_NONBLOCK: a file replaced by a pipe since the scan must not make us wait for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read_content(descriptor: int, size: int) -> bytes | None:
    # Ask for one byte more than the size to notice a file that grew; None if it is too large.
    if size > MAX_HELD_BYTES:
        return None
    pieces = []
    left = MAX_HELD_BYTES + 1
    want = size + 1
    while left > 0 and (piece := os.read(descriptor, min(want, left))):
        pieces.append(piece)
        left -= len(piece)
        want = max(want - len(piece), 1)
    if left <= 0:
        os.lseek(descriptor, 0, os.SEEK_SET)
        return None
    return b"".join(pieces)


def _hash_pieces(descriptor: int) -> str:
    digest = hashlib.sha256()
    while piece := os.read(descriptor, _PIECE):
        digest.update(piece)
    return digest.hexdigest()


def special_file_error(mode: int) -> str:
    """Why something of this mode is not a file to read; empty if it is a regular file."""
    if stat.S_ISREG(mode):
        return ""
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return f"it is {kinds.get(stat.S_IFMT(mode), 'a device')}, not a file"


def describe_error(error: OSError, *, link: bool) -> str:
    """In a few words, why a file can't be read."""
    if error.errno == errno.ELOOP:
        return "it is a link that goes in circles"
    if error.errno == errno.ENOENT:
        return "it is a broken link" if link else "it vanished while it was read"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "permission denied"
    return f"{error.strerror or error}"
