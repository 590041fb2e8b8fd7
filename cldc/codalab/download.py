"""Files from the web: a bundle's contents onto this machine's disk, and what an organiser publishes."""

from __future__ import annotations

import contextlib
import os
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cldc import address, files
from cldc.codalab import connection, failures
from cldc.codalab.connection import Limits, Request, open_transport
from cldc.codalab.failures import Unauthorized
from cldc.codalab.retry import retry
from cldc.errors import CodaLabError, StorageError
from cldc.inside import bounded_http, unpacking
from cldc.progress import SILENT, Observer

if TYPE_CHECKING:
    from requests import Response

_BOARD_BYTES = 32 * 2**20
_CHUNK_BYTES = 64 * 1024
_MAX_REDIRECTS = 10


def save(answer: Response, target: Path, *, limit_bytes: int) -> Path:
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


def _write(answer: Response, path: Path, limit_bytes: int) -> None:
    done = 0
    with _opened(path) as file:
        for chunk in answer.iter_content(_CHUNK_BYTES):
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


def fetch_text(
    url: str, *, observer: Observer = SILENT, limit_bytes: int = _BOARD_BYTES, limits: Limits | None = None
) -> str:
    """Read a file that anyone may read; redirects are followed if `address.check` accepts them.

    Raises:
        ConfigurationError: The address is invalid, or has no TLS though it is not on this machine.
        Unreachable: The server can't be reached, or the address is not a file.
        CodaLabError: It was refused, or is larger than ``limit_bytes``.
    """
    limits = limits or connection.DEFAULT_LIMITS
    with bounded_http.within(limits.budget(limit_bytes, is_large=True)):
        for _ in range(_MAX_REDIRECTS):
            text, target = _fetch(url, limits, observer, limit_bytes)
            if not target:
                return text
            url = target
    raise failures.not_codalab(url, "it redirects again and again")


def _fetch(url: str, limits: Limits, observer: Observer, limit_bytes: int) -> tuple[str, str]:
    """A file's text, or the address that it is redirected to."""
    parts = urllib.parse.urlsplit(url)
    server = address.check(f"{parts.scheme}://{parts.netloc}")
    sender = open_transport(server, limits)

    def attempt() -> tuple[str, str]:
        path = urllib.parse.urlunsplit(("", "", *parts[2:]))
        with sender.send(Request(path=path)) as answer:
            if answer.is_redirect and (target := answer.headers.get("Location", "")):
                return "", _join(url, target)
            sender.check(answer, "the file")
            return sender.read(answer, limit_bytes).decode("utf-8", "replace"), ""

    try:
        return retry(attempt, pauses_seconds=limits.pauses_seconds, observer=observer)
    except Unauthorized:
        raise failures.refusal("the file", "it wants a sign-in", status=401, server=server) from None
    finally:
        sender.close()


def _join(url: str, target: str) -> str:
    try:
        return urllib.parse.urljoin(url, target)
    except ValueError:
        raise failures.not_codalab(url, f"it redirects to {target[:200]}") from None
