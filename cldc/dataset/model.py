"""A dataset: the files of a folder that the training script reads."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

_HASH_HEADER = b"cldc dataset 1\n"


class IgnoreReason(StrEnum):
    """Why the script ignores something in the folder; the value completes "2 paths ignored: ..."."""

    EXTENSION = "the script reads only files with certain extensions"
    BESIDE_CLASSES = "not in a class folder"
    BESIDE_SPLITS = "not in a split"
    LINKED_FOLDER = "the script does not follow a linked folder inside a class"
    UNLISTED = "the folder can't be listed, and the script silently skips it"


class SplitState(StrEnum):
    """What a dataset has at the path of a split."""

    FOLDER = "a folder"
    MISSING = "missing"
    FILE = "not a folder"
    UNLISTED = "a folder that can't be listed"


class IgnoredPath(NamedTuple):
    """Something in the folder that the script ignores, and why; ``path`` is relative, with slashes."""

    path: str
    reason: IgnoreReason


class Split(NamedTuple):
    """A split as it is on the disk; ``folders`` are its direct subfolders, sorted, linked ones included."""

    name: str
    state: SplitState
    folders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutwardLink:
    """A link out of the dataset folder through which the script would read, and an upload would publish, images.

    Hard links look like files and are not found.

    Attributes:
        path: The link (a split, a class folder or a file), relative to the dataset, with slashes.
        target: The absolute path that it finally leads to.
        images: Number of readable files that are reached through it.
        folder: Whether it is a linked folder; otherwise it is a linked file.
    """

    path: str
    target: str
    images: int
    folder: bool


class Image(NamedTuple):
    """A file that the script reads. `scan` finds it, `read_image` adds the hash of its content, or why there is none.

    Not a frozen dataclass: there are ten thousand of them, and one takes six times as long to create.

    Attributes:
        split: The split's name.
        label: The class folder, directly below the split, that holds the file at any depth.
        path: Relative to the dataset's root, with slashes; bytes that are not UTF-8 as surrogates.
        size: Size in bytes, of a link's target; 0 if unknown.
        mtime_ns: Time of the last change, in nanoseconds.
        ctime_ns: Time of the last change of content or attributes, in nanoseconds.
        inode: The file's number on its disk.
        link: Whether it is a link to a file.
        sha256: SHA-256 of its content, in lower-case hexadecimal; empty before the file is read, and if it can't be read.
        error: Why it can't be read, in a few words; empty if it can.
    """

    split: str
    label: str
    path: str
    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    inode: int = 0
    link: bool = False
    sha256: str = ""
    error: str = ""

    @property
    def state(self) -> tuple[str, int, int, int, int, bool]:
        """Path, size, both times, inode and whether it is a link: unchanged while the file is."""
        return self[2:8]

    @property
    def nested(self) -> bool:
        """Whether it is in a folder inside its class folder."""
        return self.path.count("/") > 2

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Dataset:
    """A dataset: the files of a folder that the training script reads.

    Attributes:
        root: The folder, absolute.
        name: Default name of its zip and bundle; CodaLab keeps it unchanged.
        splits: The competition's splits, in the profile's order.
        images: Every file that the script reads, sorted by the bytes of its path.
        ignored: The paths that the script ignores, sorted.
        outward_links: Links through which images outside the folder are read, sorted by path.
    """

    root: Path
    name: str
    splits: tuple[Split, ...]
    images: tuple[Image, ...]
    ignored: tuple[IgnoredPath, ...] = ()
    outward_links: tuple[OutwardLink, ...] = ()

    @cached_property
    def hash(self) -> str:
        """The dataset's identity once its images are read: SHA-256, in lower-case hexadecimal.

        It covers the bytes ``b"cldc dataset 1\\n"`` and then for each image, in the order of `images`, its relative path
        (UTF-8, slashes), a NUL byte, its content's SHA-256 in lower-case hexadecimal (nothing if it can't be read) and a
        line feed. It does not depend on the root folder's name, on times or attributes, or on what the script ignores.

        Raises:
            ValueError: An image has not been read.
        """
        if not all(image.sha256 or image.error for image in self.images):
            raise ValueError(f"{self.root} was scanned, but its images have not been read")
        return identity((image.path, image.sha256) for image in self.images)

    def locate(self, image: Image) -> Path:
        """Return the path of the image's file."""
        return self.root / image.path

    def tally(self) -> Counter[tuple[str, str]]:
        """Count the images of each split and class that has any."""
        return Counter(map(itemgetter(0, 1), self.images))

    def count(self, split: str, label: str | None = None) -> int:
        """Count the images in ``split``, or in that split's class ``label``."""
        return sum(i.split == split and label in (None, i.label) for i in self.images)


def identity(contents: Iterable[tuple[str, str]]) -> str:
    """Compute `Dataset.hash` from relative paths and SHA-256s."""
    # No path contains a NUL, so the lines sort like their paths.
    lines = sorted(os.fsencode(f"{path}\0{sha256}\n") for path, sha256 in contents)
    return hashlib.sha256(_HASH_HEADER + b"".join(lines)).hexdigest()
