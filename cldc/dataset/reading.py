"""Read the files of a folder that may be hostile, or may change meanwhile; nothing here raises for that."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cldc.dataset.model import Entry, Image

# Files above this many bytes are hashed in pieces and never held in memory.
MAX_HELD_BYTES = 16 * 1024 * 1024
# TensorFlow counts an image's bytes in 32 bits; to hash what it can't read could take hours.
_MAX_READABLE_BYTES = 2**31 - 1
_PIECE = 1024 * 1024


class Read(NamedTuple):
    """An image and, where it was to be kept and is small enough to hold, its content."""

    image: Image
    content: bytes | None = None


def read_entry(root: Path | str, entry: Entry, *, keep: bool = True) -> Read:
    """Hash an entry's file, and hand out its content if ``keep`` and it has at most `MAX_HELD_BYTES`.

    Never raises for what is in the folder and never waits on a pipe: what can't be read comes back with
    its `Image.trouble`, and so does a file that changes meanwhile.
    """
    if entry.trouble:
        return Read(_image(entry, "", entry.trouble))
    try:
        with _open_regular(f"{root}/{entry.path}") as descriptor:
            before = os.fstat(descriptor)
            if trouble := special(before.st_mode):
                return Read(_image(entry, "", trouble))
            if before.st_size > _MAX_READABLE_BYTES:
                return Read(_image(entry, "", "it is larger than 2 GiB, more than TensorFlow reads"))
            content = _content(descriptor, before.st_size) if keep else None
            sha256 = _hash_pieces(descriptor) if content is None else hashlib.sha256(content).hexdigest()
            after = os.fstat(descriptor)
    except OSError as error:
        return Read(_image(entry, "", trouble_of(error, link=entry.link)))
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return Read(_image(entry, "", "it changed while it was read"))
    image = Image(entry.split, entry.label, entry.path, after.st_size, sha256, entry.link)
    return Read(image, content)


def read_start(path: Path, count: int) -> bytes:
    """The first ``count`` bytes of a file; empty where it can't be read or is no file. Never waits on a pipe."""
    try:
        with _open_regular(str(path)) as descriptor:
            return b"" if special(os.fstat(descriptor).st_mode) else os.read(descriptor, count)
    except OSError:
        return b""


def _image(entry: Entry, sha256: str, trouble: str = "") -> Image:
    return Image(entry.split, entry.label, entry.path, entry.size, sha256, entry.link, trouble)


@contextlib.contextmanager
def _open_regular(path: str) -> Iterator[int]:
    # O_NONBLOCK: a file swapped for a pipe since the walk must not make us wait for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _content(descriptor: int, size: int) -> bytes | None:
    # One byte more than the size asked, so that a file which grew is seen; None where it is too big.
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


def special(mode: int) -> str:
    """Why a thing of this mode is not a file to read; empty where it is one."""
    if stat.S_ISREG(mode):
        return ""
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return f"it is {kinds.get(stat.S_IFMT(mode), 'a device')}, not a file"


def trouble_of(error: OSError, *, link: bool) -> str:
    """In a few words, why a file can't be read."""
    if error.errno == errno.ELOOP:
        return "it is a link that goes in circles"
    if error.errno == errno.ENOENT:
        return "it is a link to nothing" if link else "it vanished while it was read"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "there is no permission to read it"
    return f"it can't be read: {error.strerror or error}"
