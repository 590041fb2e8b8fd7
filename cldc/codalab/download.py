"""Files from the web: a bundle's contents onto this machine's disk, and what an organiser publishes."""

from __future__ import annotations

import contextlib
import os
import urllib.parse
from dataclasses import replace
from pathlib import Path

from requests import Response

from cldc import files
from cldc.codalab import connection, failures
from cldc.codalab.connection import Connection, Limits, Request
from cldc.codalab.failures import Redirected
from cldc.codalab.transport import read_body
from cldc.errors import CodaLabError, StorageError
from cldc.inside import bounded_http, unpacking
from cldc.progress import SILENT, Observer

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
    """Write the answer; only the disk's errors are storage errors, not the network's while reading."""
    done = 0
    with files.storage_errors(path):
        file = path.open("wb")
    try:
        for chunk in answer.iter_content(_CHUNK_BYTES):
            done += len(chunk)
            bounded_http.check_size(done, limit_bytes)
            with files.storage_errors(path):
                file.write(chunk)
    finally:
        with files.storage_errors(path):  # closing writes what is still buffered
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
    file = Request(path="", limit_bytes=limit_bytes, is_large=True)
    with bounded_http.within(limits.budget(file)):  # of all redirects together
        for _ in range(_MAX_REDIRECTS):
            parts = urllib.parse.urlsplit(url)
            server = f"{parts.scheme}://{parts.netloc}"
            path = urllib.parse.urlunsplit(("", "", *parts[2:]))
            with contextlib.closing(
                Connection(server, None, root="", observer=observer, limits=limits)
            ) as line:
                try:
                    content = line.send(
                        replace(file, path=path), lambda answer: read_body(answer, limit_bytes)
                    )
                except Redirected as redirect:
                    url = _join(url, redirect)
                else:
                    return content.decode("utf-8", "replace")
    raise failures.not_codalab(url, "it redirects again and again")


def _join(url: str, redirect: Redirected) -> str:
    if not redirect.target:
        raise redirect
    try:
        return urllib.parse.urljoin(url, redirect.target)
    except ValueError:
        raise redirect from None
