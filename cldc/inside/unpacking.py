"""Unpack untrusted archives: completely or not at all, and only into a new folder.

The filters of `tarfile` are not used, since each can be bypassed in some Python (CVE-2025-4517). Only regular
files and folders are unpacked, and their names are checked here. Links are never created, so that no path leads through
one; a file is only ever created, so that nothing is overwritten. Modes, owners and times in an archive mean nothing.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from typing import IO, Any, Iterator, NamedTuple

LIMIT_BYTES = 2 * 2**30
LIMIT_MEMBERS = 100_000
LIMIT_DEPTH = 32
LIMIT_NAME_BYTES = 1024
_LIMIT_PART_BYTES = 255
_CHUNK_BYTES = 64 * 1024
# The most that an archive reader loads into memory at once besides contents: a tar's extended header, a zip's directory.
_LIMIT_HEADER_BYTES = 64 * 1024
_LIMIT_DIRECTORY_BYTES = 32 * 2**20
# The most padding after a tar's end; by default it is up to 10 KiB.
_LIMIT_PADDING_BYTES = 2**20
# Windows interprets these as a drive, a stream of a file, a device or another name.
_NOT_ON_WINDOWS = re.compile(
    r'[<>:"|?*\x00-\x1f]|[. ]$|^(con|prn|aux|nul|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3]|conin\$|conout\$) *(\.|$)',
    re.IGNORECASE,
)
# Exceptions of the readers for archives that are damaged or maliciously crafted.
_DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile, ValueError, OverflowError,
    RecursionError, RuntimeError, NotImplementedError, LookupError,
)  # fmt: skip


class Refused(Exception):
    """The archive was refused; the text says why."""


class _Member(NamedTuple):
    """A member of an archive; ``size`` is None for a folder."""

    name: str
    size: int | None
    content: IO[bytes] | None


def unpack_tar(path: str, folder: str, *, limit_bytes: int = LIMIT_BYTES) -> None:
    """Unpack a .tar.gz into ``folder``, which must not exist yet.

    Raises:
        Refused: It is damaged, too large, or holds something else than regular files and folders, or a path that leads out of it.
        OSError: ``folder`` exists already, or something can't be read or written.
    """
    with gzip.open(path) as plain:
        _unpack(_tar_members(plain), folder, limit_bytes)


def unpack_zip(file: IO[bytes], folder: str, *, limit_bytes: int = LIMIT_BYTES) -> None:
    """Unpack a .zip into ``folder``; requirements and errors as for `unpack_tar`."""
    _unpack(_zip_members(file), folder, limit_bytes)


def checked_parts(name: str, *, windows: bool = os.name == "nt") -> list[str]:
    """Return the folders and the last name of a path in an archive; empty for the archive's top folder.

    Raises:
        Refused: The path is not relative and normalised, or too long or deep. Such names are not corrected: they are malicious,
            or mean something else than the corrected form.
    """
    if name in (".", "./"):
        return []
    parts = (name[2:] if name.startswith("./") else name).split("/")
    if parts[-1] == "" and len(parts) > 1:  # a folder
        del parts[-1]
    bad = (
        any(part in ("", ".", "..") for part in parts)
        or re.search(r"[\\\0]", name)
        or re.match("[A-Za-z]:", parts[0])
        or (windows and any(_NOT_ON_WINDOWS.search(part) for part in parts))
    )
    if bad:
        raise Refused(f"it names a file {_shown(name)}")
    if len(parts) > LIMIT_DEPTH:
        raise Refused(f"its folders are more than {LIMIT_DEPTH} deep")
    try:
        lengths = [len(os.fsencode(part)) for part in parts]
    except UnicodeEncodeError:
        raise Refused(f"it names a file {_shown(name)}") from None
    if max(lengths) > _LIMIT_PART_BYTES or sum(lengths) + len(lengths) > LIMIT_NAME_BYTES:
        raise Refused(f"it has a name that is too long, {_shown(name)}")
    return parts


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 80 else name[:80] + "...")


def _unpack(members: Iterator[_Member], folder: str, limit_bytes: int) -> None:
    os.mkdir(folder)
    try:
        _fill(members, folder, limit_bytes)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _fill(members: Iterator[_Member], folder: str, limit_bytes: int) -> None:
    made = {""}
    left = limit_bytes
    count = 0
    while True:
        with _damage():
            member = next(members, None)
        if member is None:
            return
        count += 1
        left -= member.size or 0
        if left < 0 or (member.size or 0) < 0:
            raise Refused(f"it holds more than {limit_bytes / 2**20:,.0f} MiB")
        if count > LIMIT_MEMBERS:
            raise Refused(f"it holds more than {LIMIT_MEMBERS:,} files and folders")
        parts = checked_parts(member.name)
        if member.size is None or member.content is None:
            _make_folders(folder, parts, made)
        elif not parts:
            raise Refused("it names a file as its own top folder")
        else:
            _make_folders(folder, parts[:-1], made)
            _write(member.content, os.path.join(folder, *parts), member.size, member.name)


def _make_folders(top: str, parts: list[str], made: set[str]) -> None:
    """Create the missing folders; ``made`` collects the created ones."""
    for end in range(1, len(parts) + 1):
        path = "/".join(parts[:end])
        if path in made:
            continue
        try:
            os.mkdir(os.path.join(top, *parts[:end]))
        except FileExistsError:
            # A folder of ours in a spelling that the disk treats as equal, or a file.
            if not stat.S_ISDIR(os.lstat(os.path.join(top, *parts[:end])).st_mode):
                raise Refused(f"it names {_shown(path)} twice, as a file and as a folder") from None
        made.add(path)


def _write(content: IO[bytes], path: str, size: int, name: str) -> None:
    try:
        file = open(path, "xb")  # noqa: SIM115 - closed below
    except (FileExistsError, IsADirectoryError):
        raise Refused(f"it names {_shown(name)} twice") from None
    left = size
    with file:
        while True:
            with _damage():
                chunk = content.read(_CHUNK_BYTES)
            if not chunk:
                break
            left -= len(chunk)
            if left < 0:
                break
            file.write(chunk)
    if left:
        raise Refused(f"{_shown(name)} in it is not as long as it says")


@contextlib.contextmanager
def _damage() -> Iterator[None]:
    """Raise errors of reading an archive as `Refused`."""
    try:
        yield
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Refused(f"it is damaged ({reason[:200]})") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise Refused("it is damaged (it names a place before its beginning)") from error


class _Bounded:
    """A file that reads no more at once than needed, and remembers the last read."""

    def __init__(self, file: Any, limit_bytes: int) -> None:
        self._file, self._limit = file, limit_bytes
        self.seek, self.tell = file.seek, file.tell
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        self.last = self._file.read(min(size, self._limit) if size >= 0 else self._limit)
        if size > self._limit or (size < 0 and len(self.last) == self._limit):
            raise Refused("it has a header that is too large")
        return self.last

    def seekable(self) -> bool:
        return True


def _tar_members(plain: gzip.GzipFile) -> Iterator[_Member]:
    bounded = _Bounded(plain, _LIMIT_HEADER_BYTES)
    with tarfile.open(fileobj=bounded, mode="r:") as tar:  # type: ignore[call-overload]
        for member in tar:
            if member.type == tarfile.DIRTYPE:
                yield _Member(member.name, None, None)
            elif member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and member.sparse is None:
                yield _Member(member.name, member.size, tar.extractfile(member))
            else:
                raise Refused(f"{_shown(member.name)} in it is no regular file or folder")
    # tarfile treats a header that it can't read as the end.
    if bounded.last.strip(b"\0") or len(bounded.last) not in (0, tarfile.BLOCKSIZE):
        raise Refused("it is damaged (a header can't be read)")
    # Only at its end gzip compares its checksum.
    padding = 0
    while chunk := plain.read(_CHUNK_BYTES):
        padding += len(chunk)
        if padding > _LIMIT_PADDING_BYTES:
            raise Refused("it goes on after its end")


def _zip_members(file: IO[bytes]) -> Iterator[_Member]:
    bounded = _Bounded(file, _LIMIT_DIRECTORY_BYTES)
    with zipfile.ZipFile(bounded) as archive:
        if not archive.infolist():
            raise Refused("it is empty")
        for member in archive.infolist():
            # `filename` is zipfile's version of it: cut at a NUL and with other separators.
            name, kind = member.orig_filename, stat.S_IFMT(member.external_attr >> 16)
            if member.flag_bits & 1:
                raise Refused(f"{_shown(name)} in it is encrypted")
            if name.endswith("/") and kind in (0, stat.S_IFDIR) and not member.file_size:
                yield _Member(name, None, None)
            elif not name.endswith("/") and kind in (0, stat.S_IFREG):
                with archive.open(member) as content:
                    yield _Member(name, member.file_size, content)
            else:
                raise Refused(f"{_shown(name)} in it is no regular file or folder")
