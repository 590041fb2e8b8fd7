"""What is known of a dataset's folder, before and after its files are read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple


class Reason(StrEnum):
    """Why the script passes over what is in the folder."""

    ENDING = "the script takes only files with its own endings"
    BESIDE_CLASSES = "it lies beside the class folders, not in one"
    BESIDE_SPLITS = "it lies beside the splits"
    LINKED_FOLDER = "the script does not follow a linked folder inside a class"
    UNLISTED = "the folder can't be listed, and the script passes over it without a word"


class SplitState(StrEnum):
    """What stands where a split's folder is wanted."""

    FOLDER = "a folder"
    MISSING = "missing"
    FILE = "not a folder"
    UNLISTED = "a folder that can't be listed"


class Other(NamedTuple):
    """Something in the folder that the script passes over, and why; ``path`` is relative, with slashes."""

    path: str
    reason: Reason


class Split(NamedTuple):
    """A split as it stands on the disk; ``folders`` are its direct subfolders, sorted, links among them."""

    name: str
    state: SplitState
    folders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutwardLink:
    """A link that leads out of the dataset's folder, through which the script, and an upload, would take images.

    A hard link can't be told from a file, and is none.

    Attributes:
        path: The link, a split, a class folder or a file, relative to the dataset, with slashes.
        target: Where it leads in the end, absolute.
        images: How many files that can be read are taken through it.
        folder: Whether it is a linked folder; otherwise it is a linked file.
    """

    path: str
    target: str
    images: int
    folder: bool


# Named tuples, since there are ten thousand of them and frozen dataclasses take six times as long to make.


class Entry(NamedTuple):
    """A file that the script takes, found but not yet read.

    Attributes:
        split: The split's name.
        label: The class folder directly below the split that it lies in, at whatever depth.
        path: Relative to the dataset's root, with slashes; bytes that are no UTF-8 as surrogates.
        size: Bytes, of what a link points to; 0 where unknown.
        mtime_ns: Time of last change, in nanoseconds.
        ctime_ns: Time of last change of content or attributes, in nanoseconds.
        inode: The file's number on its disk.
        link: Whether it is a link to a file.
        trouble: Why it can't be read, in a few words; empty where it can.
    """

    split: str
    label: str
    path: str
    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    inode: int = 0
    link: bool = False
    trouble: str = ""


class Image(NamedTuple):
    """A file that the script takes, with its content's SHA-256 in lower-case hexadecimal.

    ``sha256`` is empty where ``trouble`` says that it can't be read. The other fields are those of `Entry`.
    """

    split: str
    label: str
    path: str
    size: int
    sha256: str
    link: bool = False
    trouble: str = ""

    @property
    def nested(self) -> bool:
        """Whether it lies in a folder inside its class folder."""
        return self.path.count("/") > 2

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Listing:
    """A folder walked but not read; ``entries`` are sorted by the bytes of their paths."""

    root: Path
    name: str
    splits: tuple[Split, ...]
    entries: tuple[Entry, ...]
    others: tuple[Other, ...]
    outward_links: tuple[OutwardLink, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset: what the script reads of a folder.

    Attributes:
        root: The folder, absolute.
        name: Default name of what is made from it; a name that CodaLab takes as it is.
        splits: The splits that were wanted, in the profile's order, as they stand.
        images: Every file that the script takes, sorted by the bytes of its path.
        others: What it passes over.
        hash: The dataset's identity: SHA-256, in lower-case hexadecimal, over the bytes
            ``b"cldc dataset 1\\n"`` and then for each image, in the order of `images`, its relative path
            (UTF-8, slashes), a NUL byte, its content's SHA-256 in lower-case hexadecimal (nothing where it
            can't be read) and a line feed. It does not depend on the root folder's name, on times or
            attributes, nor on what the script passes over.
        outward_links: Links through which images outside the folder are taken, sorted by their paths.
    """

    root: Path
    name: str
    splits: tuple[Split, ...]
    images: tuple[Image, ...]
    others: tuple[Other, ...]
    hash: str
    outward_links: tuple[OutwardLink, ...] = ()

    def locate(self, image: Image) -> Path:
        """Where the image's file is."""
        return self.root / image.path

    def tally(self) -> Counter[tuple[str, str]]:
        """How many files the script takes in each split and class; none where it takes none."""
        return Counter(map(itemgetter(0, 1), self.images))

    def count(self, split: str, label: str | None = None) -> int:
        """Files that the script takes in ``split``, or in that split's class ``label``."""
        return sum(i.split == split and label in (None, i.label) for i in self.images)
