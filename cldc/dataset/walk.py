"""Walk a folder as ``image_dataset_from_directory`` does, without opening a file in it.

Observed with TensorFlow 2.4.1 and 2.6.0; a differential test holds this walk against the real one.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

from cldc.dataset.model import Entry, Listing, Other, OutwardLink, Reason, Split, SplitState
from cldc.dataset.naming import ARCHIVES, default_name
from cldc.dataset.reading import special, trouble_of
from cldc.errors import InvalidDataset
from cldc.files import storage_error

Walked = TypeVar("Walked", Entry, Other, OutwardLink)
# IO_REPARSE_TAG_MOUNT_POINT, which Python's `stat` names on Windows only; `os.path.isjunction` came with 3.12.
_JUNCTION = 0xA0000003


def survey(
    folder: Path, *, splits: Sequence[str], extensions: Sequence[str], name: str | None = None
) -> Listing:
    """Walk ``folder``; arguments and errors are those of `cldc.dataset.load`."""
    root = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow links and lose the name
    top = _list_top(root)
    walk = _Walk(root, tuple(extensions))
    walk.others += [Other(item, Reason.BESIDE_SPLITS) for item in top if item not in splits]
    # `in top`, because a file system that ignores case would find `Train` as `train`.
    states = tuple(
        walk.split(split) if split in top else Split(split, SplitState.MISSING) for split in splits
    )
    return Listing(
        root=root,
        name=name or default_name(root.name),
        splits=states,
        entries=_in_order(walk.entries),
        others=_in_order(walk.others),
        outward_links=walk.outward_links(),
    )


def _list_top(root: Path) -> list[str]:
    try:
        return sorted(os.listdir(root))  # noqa: PTH208 - names are wanted, not paths
    except FileNotFoundError:
        raise InvalidDataset(
            f"There is no folder {root}.", action="Give the path of a dataset's folder."
        ) from None
    except NotADirectoryError:
        if root.suffix.lower() in ARCHIVES:
            action = "Unpack it and give the folder that holds the splits; cldc makes the zip itself."
        else:
            action = "Give the folder that holds the splits."
        raise InvalidDataset(f"{root} is a file; a dataset is a folder.", action=action) from None
    except OSError as error:
        raise storage_error(error, root) from error


class _Walk:
    """One walk's findings so far."""

    def __init__(self, root: Path, extensions: tuple[str, ...]) -> None:
        self._root = root
        self._extensions = extensions
        self._real_folder = functools.cache(os.path.realpath)
        self._real_root = os.path.realpath(root)
        # For each linked folder that leads out of the dataset, where to.
        self._outside: dict[str, str] = {}
        self.entries: list[Entry] = []
        self.others: list[Other] = []

    def split(self, split: str) -> Split:
        """Walk one split's class folders."""
        if not (self._root / split).is_dir():
            self.others.append(Other(split, Reason.BESIDE_SPLITS))
            return Split(split, SplitState.FILE)
        self._enter(split)
        folders = []
        try:
            with os.scandir(self._root / split) as found:
                for item in found:
                    if _is_folder(item):
                        folders.append(item.name)
                    else:
                        self.others.append(Other(f"{split}/{item.name}", Reason.BESIDE_CLASSES))
        except OSError:
            return Split(split, SplitState.UNLISTED)
        for label in sorted(folders):
            self._label(split, label)
        return Split(split, SplitState.FOLDER, tuple(sorted(folders)))

    def _label(self, split: str, label: str) -> None:
        waiting = [f"{split}/{label}"]
        while waiting:
            inside = waiting.pop()
            self._enter(inside)
            try:
                with _scan(self._root / inside) as found:
                    for item in found:
                        path = f"{inside}/{item.name}"
                        # Nearly all are plain files with a usual ending.
                        plain = _is_plain(item)
                        if plain and path.endswith(self._extensions):
                            self.entries.append(_entry(item, split, label, path, plain))
                        elif _is_folder(item):
                            if item.is_symlink():
                                self.others.append(Other(path, Reason.LINKED_FOLDER))
                            else:
                                waiting.append(path)
                        elif path.lower().endswith(self._extensions):
                            self.entries.append(_entry(item, split, label, path, plain))
                        else:
                            self.others.append(Other(path, Reason.ENDING))
            except OSError:
                self.others.append(Other(inside, Reason.UNLISTED))

    def _enter(self, folder: str) -> None:
        """Note where a folder leads that is a link."""
        if _is_link(self._root / folder) and (target := self._leads_to(folder)):
            self._outside[folder] = target

    def _leads_to(self, link: str) -> str:
        """Where a link leads; empty where that is in the dataset, or behind an outward link that it is reached through."""
        target = self._end_of(f"{self._root}/{link}")
        known = (place for folder, place in self._outside.items() if link.startswith(f"{folder}/"))
        return "" if any(_is_within(target, place) for place in (self._real_root, *known)) else target

    # With strings: there may be ten thousand links, for which paths as objects take a second.
    def _end_of(self, link: str) -> str:
        folder, _ = os.path.split(link)
        with contextlib.suppress(OSError):
            inside, name = os.path.split(os.path.join(folder, os.readlink(link)))  # noqa: PTH115, PTH118
            # Most links of a dataset lead into few folders, whose own links are followed once.
            end = os.path.join(self._real_folder(inside), name)  # noqa: PTH118
            # Windows has several forms of one path, of which only the system knows the right one.
            if os.name != "nt" and name not in ("", ".", "..") and not os.path.islink(end):  # noqa: PTH114
                return end
        return os.path.realpath(link)

    def outward_links(self) -> tuple[OutwardLink, ...]:
        """The links out of the dataset through which there are images."""
        found = []
        for folder, target in self._outside.items():
            images = sum(not e.trouble and e.path.startswith(f"{folder}/") for e in self.entries)
            if images:
                found.append(OutwardLink(folder, target, images, folder=True))
        for entry in self.entries:
            if entry.link and not entry.trouble and (end := self._leads_to(entry.path)):
                found.append(OutwardLink(entry.path, end, 1, folder=False))
        return _in_order(found)


def _is_within(path: str, folder: str) -> bool:
    return os.path.normcase(f"{path}{os.sep}").startswith(os.path.normcase(os.path.join(folder, "")))  # noqa: PTH118


def _is_link(path: Path) -> bool:
    """Whether a folder is a symbolic link or, on Windows, a junction."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION


@contextlib.contextmanager
def _scan(folder: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
    """The things in a folder; where the system allows, each is then asked for by its name alone, not by its path."""
    if os.scandir not in os.supports_fd:
        with os.scandir(folder) as found:
            yield found
        return
    # O_DIRECTORY: a folder swapped for a pipe meanwhile must not make us wait for a writer.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os.scandir(descriptor) as found:
            yield found
    finally:
        os.close(descriptor)


def _in_order(found: Iterable[Walked]) -> tuple[Walked, ...]:
    """Sorted by the bytes of their paths; of ASCII that is the order of its characters."""
    every = list(found)
    plain = all(map(str.isascii, [item.path for item in every]))
    return tuple(sorted(every, key=attrgetter("path") if plain else lambda item: os.fsencode(item.path)))


def _is_plain(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_file(follow_symlinks=False)
    except OSError:
        return False


def _is_folder(item: os.DirEntry[str]) -> bool:
    # As os.walk does: what can't be told is taken for a file, a link that goes in circles too.
    try:
        return item.is_dir()
    except OSError:
        return False


def _entry(item: os.DirEntry[str], split: str, label: str, path: str, plain: bool) -> Entry:
    link = False
    try:
        link = not plain and item.is_symlink()
        status = item.stat()
    except OSError as error:
        return Entry(split, label, path, link=link, trouble=trouble_of(error, link=link))
    return Entry(
        split,
        label,
        path,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        link,
        special(status.st_mode),
    )
