"""Folders, atomic writes, locks and content hashes; every failure names the path and what to do.

No file is overwritten in place: a reader, or the next run after a crash, sees the old file or the new one, never a half.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from cldc.errors import StorageError
from cldc.progress import SILENT, Observer

if TYPE_CHECKING:
    import filelock

HOME_VARIABLE = "CLDC_HOME"
PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
_FOR_OTHERS = 0o077
# A file in each temporary folder that stays locked while its process lives.
_IN_USE = ".cldc-in-use"

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_PERMISSION = {errno.EACCES, errno.EPERM, errno.EROFS}
# Long enough to stay silent when the other process only writes a record.
_SILENT_WAIT_SECONDS = 1.0


class DiskFull(StorageError):
    """The disk, or the user's quota on it, is full."""


class LockTimeout(StorageError):
    """Another process held a lock for longer than the timeout."""


def storage_error(error: OSError, path: Path | None = None) -> StorageError:
    """Turn an `OSError` about ``path`` into an explanation and a next action."""
    name = path or error.filename or "a file"
    hint = _relocation_hint(name)
    if str(name) == ".":
        name = "the working folder"
    if error.errno in NO_SPACE:
        return DiskFull(
            f"No space is left on the disk for {name}.",
            action=f"Free some space{hint}, then run the command again.",
        )
    if error.errno in _NO_PERMISSION:
        return StorageError(
            f"No permission to use {name}: {error.strerror}.",
            action=f"Make it yours and writable{hint}, then run the command again.",
        )
    if error.errno == errno.ENAMETOOLONG:
        return StorageError(f"Can't use {name}: {error.strerror}.", action="Use a shorter name.")
    return StorageError(
        f"Can't use {name}: {error.strerror or error}.",
        action="Check that the path exists and that its disk works, then run the command again.",
    )


def _relocation_hint(name: Path | str) -> str:
    """Hint at the variable that would move ``name`` to another disk, if there is one."""
    places = ((HOME_VARIABLE, _chosen_data_folder), ("TMPDIR", system_temporary_folder))
    with contextlib.suppress(StorageError, OSError):
        for variable, place in places:
            if Path(name).is_relative_to(place()):
                return f", or point {variable} to another folder"
    return ""


@contextlib.contextmanager
def storage_errors(path: Path | None = None) -> Iterator[None]:
    """Turn any `OSError` of the block into a `StorageError` about ``path``."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from error


def data_folder(observer: Observer = SILENT) -> Path:
    """Return cldc's data folder, created if missing and readable by its owner only.

    The observer is notified if other users can read it and cldc can't change that.

    Raises:
        StorageError: It can't be created.
    """
    folder = _chosen_data_folder()
    try:
        private_folder(folder)
    except DiskFull:
        raise
    except StorageError as error:
        raise StorageError(
            error.message, action=f"Point {HOME_VARIABLE} to a folder of yours that can be written to."
        ) from error
    if others_can_read(folder) and not _shared_on_purpose(folder):
        _close_to_others(folder, observer)
    return folder


def _chosen_data_folder() -> Path:
    if chosen := os.environ.get(HOME_VARIABLE):
        folder = Path(os.path.expanduser(chosen))  # noqa: PTH111 - Path's own fails for who has no home
        return folder if folder.is_absolute() else working_folder() / folder
    try:
        folder = platformdirs.user_data_path("cldc", appauthor=False)
    except RuntimeError:
        folder = Path("~")
    if not folder.is_absolute():  # a container's user, who is in no list
        raise StorageError(
            "This account has no home folder to keep cldc's data in.",
            action=f"Set {HOME_VARIABLE}, or HOME, to a folder of yours.",
        )
    return folder


def working_folder() -> Path:
    """Return the folder that the command was started in.

    Raises:
        StorageError: It was removed since, or can't be entered.
    """
    try:
        return Path.cwd()
    except OSError as error:
        raise StorageError(
            f"The working folder can't be used: {error.strerror}.",
            action="Change to a folder that is there, then run the command again.",
        ) from error


def others_can_read(folder: Path) -> bool:
    """Check whether its mode lets other users read it; on Windows its location keeps them out."""
    return os.name != "nt" and bool(folder.stat().st_mode & _FOR_OTHERS)


def _shared_on_purpose(folder: Path) -> bool:
    """Check whether the data folder also serves another purpose, so that we must not change its mode."""
    if folder.stat().st_mode & (stat.S_ISGID | stat.S_ISVTX):
        return True
    around = []
    for place in (Path.home, Path.cwd):
        with contextlib.suppress(OSError, RuntimeError):  # no known home folder, or a removed working folder
            around.append(place())
    return any(place.resolve().is_relative_to(folder.resolve()) for place in around)


def _close_to_others(folder: Path, observer: Observer) -> None:
    """Remove other users' permissions on the folder and its contents; links and their targets are left alone.

    Others then can't reach anything deeper.
    """
    try:
        if folder.stat().st_uid != _user():
            raise PermissionError(errno.EPERM, "it belongs to another user")
        # The folder first, so that no other user can exchange its contents during the change.
        _take_rights(folder, folder.stat())
        for path in folder.iterdir():
            if not path.is_symlink() and (status := path.stat()).st_uid == _user():
                _take_rights(path, status)
    except OSError as error:
        observer.note(
            f"Others can read the data folder {folder}, and that can't be changed: {error.strerror or error}. "
            f"Point {HOME_VARIABLE} to a folder of yours."
        )


def _take_rights(path: Path, status: os.stat_result) -> None:
    if status.st_mode & _FOR_OTHERS:
        path.chmod(stat.S_IMODE(status.st_mode) & ~_FOR_OTHERS)


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0  # as Windows reports of every file


def private_folder(path: Path) -> Path:
    """Create the folder ``path``, readable by its owner only, and its parents if they are missing, and return it."""
    with storage_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise StorageError(
                f"Can't create the folder {path}: there is a file in its place, or in that of a folder above it.",
                action="Move that file away, then run the command again.",
            ) from error
    return path


def private_file(path: Path) -> None:
    """Create ``path`` if it is missing, and let only its owner read it.

    Raises:
        OSError: It can't be created, or belongs to another user.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE))
    _take_rights(path, path.stat())


def replace_atomically(path: Path, content: bytes | str, *, mode: int = PRIVATE_FILE) -> None:
    """Write ``content`` (text as UTF-8) to ``path`` atomically, safe against a power cut.

    Follows a link and replaces its target.

    Raises:
        StorageError: It can't be written, or is not a file; the old content is unchanged.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise StorageError(f"{path} exists and is not a file.", action="Give another path to write to.")
    data = content.encode() if isinstance(content, str) else content
    temporary: str | None = None
    with storage_errors(path):
        try:
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(mode)
            Path(temporary).replace(path)
            temporary = None
            _sync_folder(path.parent)
        finally:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    Path(temporary).unlink()


def _sync_folder(folder: Path) -> None:
    # Without it a power cut can undo the rename. Windows can't open a folder, and keeps renames by itself.
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> Any:
    """Read the JSON in ``path``; None if the file is missing or damaged.

    Raises:
        StorageError: It can't be read.
    """
    with storage_errors(path):
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in lower-case hexadecimal.

    Raises:
        StorageError: It can't be read.
    """
    with storage_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_bytes(content: bytes | str) -> str:
    """Return the SHA-256 of bytes (or of a text's UTF-8), in lower-case hexadecimal."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


@contextlib.contextmanager
def lock(
    path: Path, *, purpose: str, observer: Observer = SILENT, timeout_seconds: float = 600
) -> Iterator[None]:
    """Hold ``path`` as a lock between processes; the operating system releases it when the process dies.

    Args:
        path: A file beside what it guards; created if missing, and kept.
        purpose: What the other process may be doing, as in "creating the environment".
        observer: Notified when the wait takes longer than a moment.
        timeout_seconds: How long to wait for the lock.

    Raises:
        LockTimeout: Another process held the lock for the whole time.
        StorageError: The file can't be created.
    """
    private_folder(path.parent)
    guard, waited = _file_lock(path), 0.0
    while True:
        try:
            guard.acquire(timeout=max(0.0, min(_SILENT_WAIT_SECONDS, timeout_seconds - waited)))
            break
        except TimeoutError:
            waited += _SILENT_WAIT_SECONDS
        except OSError as error:
            raise storage_error(error, path) from error
        if waited > timeout_seconds:
            raise LockTimeout(
                f"Another cldc has been {purpose} for {timeout_seconds:.0f} s (lock {path}).",
                action="Wait until it is done, or stop that process, then run the command again.",
            )
        if waited == _SILENT_WAIT_SECONDS:
            observer.note(f"Another cldc is {purpose}; waiting for it.")
        else:
            observer.advance(0, f"waiting for {waited:.0f} s")  # notices here that the process must stop
    try:
        yield
    finally:
        guard.release()


@contextlib.contextmanager
def temporary_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """Create a private temporary folder with a resolved path, removed when the block ends.

    It is created in ``parent``, or in the system's temporary folder. `sweep` with the same ``parent`` and ``prefix`` removes what
    a killed process left.

    Raises:
        StorageError: It can't be created.
    """
    place = parent or system_temporary_folder()
    sweep(place, prefix)
    with storage_errors(place):
        folder, guard = _claim(prefix, place)
    try:
        with storage_errors(folder):
            inner = folder / "files"
            inner.mkdir(mode=PRIVATE_FOLDER)
        yield inner
    finally:
        guard.release()
        with contextlib.suppress(StorageError):
            remove_tree(folder)


def _claim(prefix: str, parent: Path) -> tuple[Path, filelock.BaseFileLock]:
    """Create a folder, and the lock that shows that its process is alive."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent)).resolve()
        mark = folder / _IN_USE
        try:
            guard = _guard(folder)
            guard.acquire()
        except TimeoutError:
            continue  # another process has just found it without a lock, and removes it
        except OSError:
            if folder.is_dir():  # a file system without locks: without its mark it never counts as a leftover
                with contextlib.suppress(OSError):
                    mark.unlink()
                return folder, guard
        except BaseException:  # a signal to stop, before the caller knows of the folder
            remove_tree(folder)
            raise
        else:
            if mark.exists():
                return folder, guard
            guard.release()


def _guard(folder: Path) -> filelock.BaseFileLock:
    # Shared between threads: one may create a folder and another remove it.
    return _file_lock(folder / _IN_USE, timeout=0, thread_local=False)


def _file_lock(path: Path, **options: Any) -> filelock.BaseFileLock:
    # Importing it takes half as long as a second check of a dataset, which locks nothing.
    import filelock  # noqa: PLC0415

    return filelock.FileLock(path, mode=PRIVATE_FILE, **options)


def system_temporary_folder() -> Path:
    """Return the system's folder for temporary files.

    Raises:
        StorageError: No such folder can be written to.
    """
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise StorageError(
            "No folder for temporary files can be written to, or their disk is full.",
            action="Free some space, or point TMPDIR to a folder of yours, then run it again.",
        ) from error


def sweep(parent: Path, prefix: str) -> None:
    """Remove temporary folders of that prefix whose process was killed, which released their locks.

    Leaves folders of other users, and those that `temporary_folder` did not create.
    """
    try:
        found = [Path(entry.path) for entry in os.scandir(parent) if entry.name.startswith(prefix)]
    except OSError:
        return
    for folder in found:
        if _ours(folder, stat.S_IFDIR) and _ours(folder / _IN_USE, stat.S_IFREG):
            with contextlib.suppress(OSError, StorageError):
                with _guard(folder), contextlib.suppress(StorageError):
                    remove_tree(folder)
                remove_tree(folder)  # Windows removes nothing that is open


def _ours(path: Path, kind: int) -> bool:
    """Check whether ``path`` exists, is of that kind, belongs to this user and is not a link."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_IFMT(status.st_mode) == kind and status.st_uid == _user()


def remove_tree(path: Path) -> None:
    """Remove a file or a whole folder, read-only parts too; succeeds if it does not exist.

    Raises:
        StorageError: Something can't be removed.
    """
    with storage_errors(path):
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            try:
                shutil.rmtree(path)
            except PermissionError:
                _make_writable(path)
                shutil.rmtree(path)


def _make_writable(top: Path) -> None:
    # A read-only folder forbids removing what is in it; on Windows a read-only file forbids its own removal.
    top.chmod(top.stat().st_mode | stat.S_IRWXU)
    for folder, folders, names in os.walk(top):
        for name in folders + (names if os.name == "nt" else []):
            entry = Path(folder, name)
            if not entry.is_symlink():
                entry.chmod(entry.stat().st_mode | stat.S_IRWXU)
