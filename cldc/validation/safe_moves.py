"""Move, copy and strip parts of a dataset; after an interruption everything is whole in at least one place."""

from __future__ import annotations

import contextlib
import errno
import filecmp
import os
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from cldc.errors import StorageError
from cldc.files import hash_bytes, hash_file, private_folder, remove_tree, replace_atomically, storage_errors
from cldc.validation.metadata.detection import cut_metadata

_PART = ".cldc-part"


def move(source: Path, target: Path) -> None:
    """Move a file, link or folder to a path that does not exist yet.

    A move to another file system copies under another name, renames the copy, and only then removes the source: so
    ``target`` is always whole, and `move_back` can restore ``source`` after any interruption.

    Raises:
        StorageError: It can't be moved, or ``target`` exists.
    """
    with storage_errors(source):
        # On a file system that ignores case, `X` exists where `x` does and is the same.
        if os.path.lexists(target) and not (target.exists() and source.exists() and source.samefile(target)):
            raise StorageError(
                f"{target} exists already.", action="Move one of the two away and run the command again."
            )
        try:
            source.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            part = target.with_name(_PART)
            remove_tree(part)  # left by an earlier interruption
            if _is_folder(source):
                shutil.copytree(source, part, symlinks=True)
            else:
                shutil.copy2(source, part, follow_symlinks=False)
            part.rename(target)
            remove_tree(source)


def move_back(kept: Path, place: Path) -> bool:
    """Move back everything of ``kept`` that is missing at ``place``; return whether there was any.

    Raises:
        StorageError: Something else is at ``place``, or its folder is gone.
    """
    if not os.path.lexists(place):
        require_parent(place)
        move(kept, place)
        return True
    if _is_folder(kept) and _is_folder(place):
        with storage_errors(kept):
            inside = sorted(kept.iterdir())
        some, failed = False, None
        for item in inside:
            try:
                some |= move_back(item, place / item.name)
            except StorageError as error:
                failed = failed or error  # raised when the others are back
        if failed:
            raise failed
        return some
    with storage_errors(kept):
        if kept.is_symlink() or place.is_symlink():
            same = kept.is_symlink() and place.is_symlink() and kept.readlink() == place.readlink()
        else:
            same = filecmp.cmp(kept, place, shallow=False)
    if not same:
        raise StorageError(
            f"{place} exists again, with different content.", action="Move it away and run the command again."
        )
    return False


def require_parent(place: Path) -> None:
    """Raise if the folder that ``place`` was in is gone: creating it again would be a guess."""
    if not place.parent.is_dir():
        raise StorageError(
            f"{place.parent} is not there any more.", action="Create that folder and run the command again."
        )


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def copy_following_links(
    root: Path, target: Path, *, follow: frozenset[str], leave_out: frozenset[str]
) -> None:
    """Copy a dataset with files and folders instead of the links that the script follows.

    No link in the copy leads to the original. Broken links are copied, so that a check still finds them. Other links to
    folders are left out, as is anything that is neither a file, a folder nor a link.

    Args:
        root: The dataset.
        target: A folder that does not exist yet.
        follow: Folders, relative to the dataset, that are copied even if they are links.
        leave_out: Paths to leave out, relative to the dataset.

    Raises:
        StorageError: Something can't be read or written.
    """
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        with storage_errors(target / inside):
            (target / inside).mkdir()
        with storage_errors(root / inside):
            items = sorted((root / inside).iterdir())
        for item in items:
            path = item.relative_to(root).as_posix()
            if path in leave_out:
                continue
            if os.path.isdir(item):  # noqa: PTH112 - `Path.is_dir` fails for a link to a name that is too long
                if path in follow or not item.is_symlink():
                    waiting.append(path)
            else:
                _copy_file(item, target / path)


def _copy_file(source: Path, target: Path) -> None:
    try:
        mode = source.stat().st_mode
    except OSError:
        # A broken link; if it is something else, copying it will say what is wrong.
        mode = source.lstat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        return
    if stat.S_ISREG(mode):
        with storage_errors(source), source.open("rb"):
            pass  # so that an error names what can't be read, not what can't be written
    with storage_errors(target):
        shutil.copy2(source, target, follow_symlinks=stat.S_ISREG(mode))


def link_targets(root: Path, links: Iterable[Path]) -> Callable[[str], bool]:
    """Return a function that checks whether a path is behind a link, or renaming it would break one.

    ``links`` are those outside the dataset through which it is reached; its own are found. ``root`` is resolved.
    """
    paths = (Path(folder, name) for folder, folders, files in os.walk(root) for name in (*folders, *files))
    named: set[Path] = set()
    for link in {*links, *(path for path in paths if path.is_symlink())}:
        with contextlib.suppress(OSError, RuntimeError):  # it goes in circles, or is gone
            written = Path(os.path.normpath(link.parent.resolve() / link.readlink()))
            named |= {written, written.parent.resolve() / written.name, link.resolve()}
    pinned = {folder for path in named for folder in (path, *path.parents)}
    return lambda path: (root / path) in pinned or (root / path).parent.resolve() != (root / path).parent


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
    """Undo `strip`; return whether there was anything to undo.

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
