"""Scan a folder as ``image_dataset_from_directory`` does, without opening a file in it.

Observed with TensorFlow 2.4.1 and 2.6.0; a differential test compares this scan with the real one.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cldc.competition import DatasetRules
from cldc.dataset.model import Dataset, IgnoredPath, IgnoreReason, Image, OutwardLink, Split, SplitState
from cldc.dataset.naming import ARCHIVE_EXTENSIONS, default_name
from cldc.errors import CldcError, InvalidDataset
from cldc.files import storage_error


def scan(root: Path, rules: DatasetRules) -> Dataset:
    """Find the images that the script reads in ``root``, and read none; errors are those of `cldc.dataset.load`."""
    root = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow links and lose the name
    try:
        names = os.listdir(root)  # noqa: PTH208 - names are wanted, not paths
    except OSError as error:
        raise _cannot_list(root, error) from error
    scanner = _Scanner(root, rules.extensions)
    scanner.ignored.extend(
        IgnoredPath(name, IgnoreReason.BESIDE_SPLITS) for name in names if name not in rules.splits
    )
    splits = tuple(
        # `in names`, because a file system that ignores case would find `Train` as `train`.
        scanner.scan_split(split) if split in names else Split(split, SplitState.MISSING)
        for split in rules.splits
    )
    return Dataset(
        root=root,
        name=default_name(root.name),
        splits=splits,
        images=tuple(sorted(scanner.images, key=_path_bytes)),
        ignored=tuple(sorted(scanner.ignored, key=_path_bytes)),
        outward_links=tuple(sorted(scanner.outward_links(), key=_path_bytes)),
    )


def _cannot_list(root: Path, error: OSError) -> CldcError:
    if isinstance(error, FileNotFoundError):
        return InvalidDataset(f"There is no folder {root}.", action="Give the path of a dataset's folder.")
    if not isinstance(error, NotADirectoryError):
        return storage_error(error, root)
    action = "Give the folder that holds the splits."
    if root.suffix.lower() in ARCHIVE_EXTENSIONS:
        action = "Unpack it and give the folder that holds the splits; cldc creates the zip itself."
    return InvalidDataset(f"{root} is a file; a dataset is a folder.", action=action)


@dataclass(frozen=True, slots=True)
class _Scanner:
    """One scan: the images that the script reads, what it ignores, and the splits and folders that it lists."""

    root: Path
    extensions: tuple[str, ...]
    images: list[Image] = field(default_factory=list)
    ignored: list[IgnoredPath] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)

    def scan_split(self, split: str) -> Split:
        """Scan one split and its class folders."""
        if not (self.root / split).is_dir():
            self.ignored.append(IgnoredPath(split, IgnoreReason.BESIDE_SPLITS))
            return Split(split, SplitState.FILE)
        self.folders.append(split)
        try:
            labels, others = next(os.walk(self.root / split))[1:]
        except StopIteration:
            return Split(split, SplitState.UNLISTED)
        self.ignored.extend(IgnoredPath(f"{split}/{name}", IgnoreReason.BESIDE_CLASSES) for name in others)
        for label in labels:
            # Keras treats anything that can't be determined, such as a circular link, as a file.
            for place, subfolders, files in os.walk(self.root / split / label, onerror=self._ignore_unlisted):
                folder = Path(place).relative_to(self.root).as_posix()
                self.folders.append(folder)
                for name in subfolders:
                    if os.path.islink(f"{place}/{name}"):  # noqa: PTH114
                        self.ignored.append(IgnoredPath(f"{folder}/{name}", IgnoreReason.LINKED_FOLDER))
                for name in files:
                    if name.lower().endswith(self.extensions):
                        self.images.append(_image(self.root, split, label, f"{folder}/{name}"))
                    else:
                        self.ignored.append(IgnoredPath(f"{folder}/{name}", IgnoreReason.EXTENSION))
        return Split(split, SplitState.FOLDER, tuple(sorted(labels)))

    def _ignore_unlisted(self, error: OSError) -> None:
        folder = Path(error.filename).relative_to(self.root).as_posix()
        self.ignored.append(IgnoredPath(folder, IgnoreReason.UNLISTED))

    def outward_links(self) -> Iterator[OutwardLink]:
        """Find links out of the dataset through which images are read; on Windows, junctions too."""
        real_folder = functools.cache(os.path.realpath)
        folders = {folder: os.path.realpath(self.root / folder) for folder in self.folders}
        links = {
            image.path: _final_target(f"{self.root}/{image.path}", real_folder)
            for image in self.images
            if image.link and not image.error
        }
        # Where the dataset is, and where each linked folder outside is.
        places = {"": os.path.realpath(self.root)}
        for path, target in (folders | links).items():
            around = (place for start, place in places.items() if path.startswith(start))
            inside = tuple(os.path.normcase(os.path.join(place, "")) for place in around)  # noqa: PTH118
            if os.path.normcase(f"{target}{os.sep}").startswith(inside):
                continue  # in the dataset, or in a folder outside that the path leads through
            is_folder, count = path in folders, 1
            if is_folder:
                places[f"{path}/"] = target
                count = sum(not image.error and image.path.startswith(f"{path}/") for image in self.images)
            if count:
                yield OutwardLink(path, target, count, is_folder)


def _final_target(link: str, real_folder: Callable[[str], str]) -> str:
    """Resolve a link; with strings, because ten thousand Path objects take a second."""
    folder, _ = os.path.split(link)
    with contextlib.suppress(OSError):
        inside, name = os.path.split(os.path.join(folder, os.readlink(link)))  # noqa: PTH115, PTH118
        # Most links of a dataset lead into a few folders; the links on the way there are resolved once.
        target = os.path.join(real_folder(inside), name)  # noqa: PTH118
        # Windows has several spellings of one path, of which only the system knows the right one.
        if os.name != "nt" and name not in ("", ".", "..") and not os.path.islink(target):  # noqa: PTH114
            return target
    return os.path.realpath(link)


def _path_bytes(found: Image | IgnoredPath | OutwardLink) -> bytes:
    return os.fsencode(found.path)


def _image(root: Path, split: str, label: str, path: str) -> Image:
    link = False
    try:
        status = os.lstat(f"{root}/{path}")
        link = stat.S_ISLNK(status.st_mode)
        if link:
            status = os.stat(f"{root}/{path}")  # noqa: PTH116 - ten thousand Path objects take a second
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
    """Explain why something of this mode is not a file to read; empty if it is a regular file."""
    if stat.S_ISREG(mode):
        return ""
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return f"it is {kinds.get(stat.S_IFMT(mode), 'a device')}, not a file"


def describe_error(error: OSError, *, link: bool) -> str:
    """Explain in a few words why a file can't be read."""
    if error.errno == errno.ELOOP:
        return "it is a link that goes in circles"
    if error.errno == errno.ENOENT:
        return "it is a broken link" if link else "it vanished while it was read"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "permission denied"
    return f"{error.strerror or error}"
