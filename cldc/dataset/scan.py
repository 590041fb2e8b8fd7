"""Scan a folder as ``image_dataset_from_directory`` does, without opening a file in it.

Observed with TensorFlow 2.4.1 and 2.6.0; a differential test compares this scan with the real one.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cldc.competition import DatasetRules
from cldc.dataset.model import Dataset, IgnoredPath, IgnoreReason, Image, OutwardLink, Split, SplitState
from cldc.dataset.naming import ARCHIVE_EXTENSIONS, default_name
from cldc.errors import InvalidDataset
from cldc.files import storage_error

Found = TypeVar("Found", Image, IgnoredPath, OutwardLink)
# IO_REPARSE_TAG_MOUNT_POINT, which Python's `stat` names on Windows only; `os.path.isjunction` came with 3.12.
_JUNCTION = 0xA0000003


def scan(folder: Path, rules: DatasetRules) -> Dataset:
    """Find the images that the script reads in ``folder``, and read none; errors are those of `cldc.dataset.load`."""
    root = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow links and lose the name
    top = _list_root(root)
    scanner = _Scanner(root, rules.extensions)
    scanner.ignored.extend(
        IgnoredPath(item, IgnoreReason.BESIDE_SPLITS) for item in top if item not in rules.splits
    )
    found = tuple(
        # `in top`, because a file system that ignores case would find `Train` as `train`.
        scanner.scan_split(split) if split in top else Split(split, SplitState.MISSING)
        for split in rules.splits
    )
    return Dataset(
        root=root,
        name=default_name(root.name),
        splits=found,
        images=_sorted_by_path(scanner.images),
        ignored=_sorted_by_path(scanner.ignored),
        outward_links=_sorted_by_path(_outward_links(root, scanner.folders, scanner.images)),
    )


def _list_root(root: Path) -> list[str]:
    try:
        return sorted(os.listdir(root))  # noqa: PTH208 - names are wanted, not paths
    except FileNotFoundError:
        raise InvalidDataset(
            f"There is no folder {root}.", action="Give the path of a dataset's folder."
        ) from None
    except NotADirectoryError:
        if root.suffix.lower() in ARCHIVE_EXTENSIONS:
            action = "Unpack it and give the folder that holds the splits; cldc makes the zip itself."
        else:
            action = "Give the folder that holds the splits."
        raise InvalidDataset(f"{root} is a file; a dataset is a folder.", action=action) from None
    except OSError as error:
        raise storage_error(error, root) from error


@dataclass(frozen=True, slots=True)
class _Scanner:
    """One scan: the images that the script reads, what it ignores, and the splits and folders that it lists."""

    root: Path
    extensions: tuple[str, ...]
    images: list[Image] = field(default_factory=list)
    ignored: list[IgnoredPath] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)

    def scan_split(self, split: str) -> Split:
        """Scan one split's class folders."""
        if not (self.root / split).is_dir():
            self.ignored.append(IgnoredPath(split, IgnoreReason.BESIDE_SPLITS))
            return Split(split, SplitState.FILE)
        self.folders.append(split)
        try:
            items = list(os.scandir(self.root / split))
        except OSError:
            return Split(split, SplitState.UNLISTED)
        labels = sorted(item.name for item in items if _is_folder(item))
        beside = {item.name for item in items}.difference(labels)
        self.ignored.extend(IgnoredPath(f"{split}/{name}", IgnoreReason.BESIDE_CLASSES) for name in beside)
        for label in labels:
            self._scan_class(split, label)
        return Split(split, SplitState.FOLDER, tuple(labels))

    def _scan_class(self, split: str, label: str) -> None:
        waiting = [f"{split}/{label}"]
        while waiting:
            folder = waiting.pop()
            self.folders.append(folder)
            try:
                items = list(os.scandir(self.root / folder))
            except OSError:
                self.ignored.append(IgnoredPath(folder, IgnoreReason.UNLISTED))
                continue
            for item in items:
                path = f"{folder}/{item.name}"
                if _is_folder(item):
                    if item.is_symlink():
                        self.ignored.append(IgnoredPath(path, IgnoreReason.LINKED_FOLDER))
                    else:
                        waiting.append(path)
                elif path.lower().endswith(self.extensions):
                    self.images.append(_image(item, split, label, path))
                else:
                    self.ignored.append(IgnoredPath(path, IgnoreReason.EXTENSION))


def _outward_links(root: Path, folders: Iterable[str], images: Sequence[Image]) -> Iterator[OutwardLink]:
    """Links out of the dataset through which images are read."""
    real_root, real_folder = os.path.realpath(root), functools.cache(os.path.realpath)
    outward_folders: dict[str, str] = {}

    def outward_target(link: str) -> str:
        """The link's target, or nothing if that lies in the dataset or in an outward folder that leads to the link."""
        target = _final_target(f"{root}/{link}", real_folder)
        around = (place for folder, place in outward_folders.items() if link.startswith(f"{folder}/"))
        folders = (os.path.normcase(os.path.join(place, "")) for place in (real_root, *around))  # noqa: PTH118
        return "" if os.path.normcase(f"{target}{os.sep}").startswith(tuple(folders)) else target

    for folder in folders:
        if _is_link(root / folder) and (target := outward_target(folder)):
            outward_folders[folder] = target
            count = sum(not image.error and image.path.startswith(f"{folder}/") for image in images)
            if count:
                yield OutwardLink(folder, target, count, folder=True)
    for image in images:
        if image.link and not image.error and (target := outward_target(image.path)):
            yield OutwardLink(image.path, target, 1, folder=False)


def _final_target(link: str, real_folder: Callable[[str], str]) -> str:
    """Where a link leads; with strings, because ten thousand Path objects take a second."""
    folder, _ = os.path.split(link)
    with contextlib.suppress(OSError):
        inside, name = os.path.split(os.path.join(folder, os.readlink(link)))  # noqa: PTH115, PTH118
        # Most links of a dataset lead into a few folders; the links on the way there are resolved once.
        target = os.path.join(real_folder(inside), name)  # noqa: PTH118
        # Windows has several spellings of one path, of which only the system knows the right one.
        if os.name != "nt" and name not in ("", ".", "..") and not os.path.islink(target):  # noqa: PTH114
            return target
    return os.path.realpath(link)


def _is_link(path: Path) -> bool:
    """Whether a folder is a symbolic link or, on Windows, a junction."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION


def _sorted_by_path(found: Iterable[Found]) -> tuple[Found, ...]:
    return tuple(sorted(found, key=lambda item: os.fsencode(item.path)))


def _is_folder(item: os.DirEntry[str]) -> bool:
    # Like os.walk: anything that can't be determined, such as a circular link, counts as a file.
    try:
        return item.is_dir()
    except OSError:
        return False


def _image(item: os.DirEntry[str], split: str, label: str, path: str) -> Image:
    link = False
    try:
        link = item.is_symlink()
        status = item.stat()
    except OSError as error:
        return Image(split, label, path, link=link, error=describe_error(error, link=link))
    return Image(
        split,
        label,
        path,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        link,
        error=special_file_error(status.st_mode),
    )


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
