"""Stand-ins for the two programs that CodaLab's server calls and that many machines lack: rsync and unzip."""
# mypy: disable-error-code="import-not-found,import-untyped,no-any-return"

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from typing import IO

from codalab.common import UsageError
from codalab.lib import path_util, zip_util
from codalab.worker import file_util

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "inside"))
import unpacking

logger = logging.getLogger("cldc.sandbox")
_LIMIT_BYTES = 16 * 2**30


def prepare() -> None:
    """Replace the programs that are missing. Call this before CodaLab's server starts."""
    if shutil.which("rsync") is None:
        path_util.copy = _copy
    if shutil.which("unzip") is None:
        file_util.unzip_directory = zip_util.unzip_directory = _unzip


def _copy(source_path: str, dest_path: str, follow_symlinks: bool | None = False) -> None:
    """Copy as `rsync -prl` (or `-prL`) does for codalab.lib.path_util.copy, keeping links and modes."""
    if os.path.exists(dest_path):
        raise path_util.path_error("already exists", dest_path)
    if not follow_symlinks and os.path.islink(source_path):
        raise path_util.path_error("not following symlinks", source_path)
    if not os.path.exists(source_path):
        raise path_util.path_error("does not exist", source_path)
    try:
        if os.path.isdir(source_path):
            shutil.copytree(source_path, dest_path, symlinks=not follow_symlinks, copy_function=shutil.copy)
        else:
            shutil.copy(source_path, dest_path)
    except (OSError, shutil.Error) as error:
        raise path_util.path_error(f"Unable to copy {source_path} to", dest_path) from error


def _unzip(fileobj: IO[bytes], directory_path: str, force: bool = False) -> None:
    """Unpack as `unzip -q` does when it can't prompt, but refuse links."""
    directory_path = os.path.realpath(directory_path)
    if force:
        file_util.remove_path(directory_path)
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(fileobj, file)
        try:
            unpacking.unpack_zip(file, directory_path, limit_bytes=_LIMIT_BYTES)
        except unpacking.Refused as refused:
            logger.exception("Invalid archive upload")
            raise UsageError("Invalid archive upload: failed to unzip .zip file.") from refused
