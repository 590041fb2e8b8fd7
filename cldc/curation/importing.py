"""Import photos, scans and documents into a dataset as PNGs like the competition's, named by content; never overwrite a file."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cldc.competition import DatasetRules
from cldc.curation.ink_on_white import NothingDrawn, Toned, tone
from cldc.curation.photos import NotReadable, open_pictures
from cldc.dataset import load, meant_class
from cldc.errors import StorageError, UsageError
from cldc.files import hash_bytes, hash_file, replace_atomically, storage_errors
from cldc.progress import SILENT, Observer
from cldc.validation.sniffing import looks_like_picture

_MODE = 0o644


class Source(NamedTuple):
    """A file to import, and the split and class that it goes to."""

    path: Path
    split: str
    label: str


class SourcePage(NamedTuple):
    """A page of a source file, from 1; 0 for the whole file."""

    source: Path
    number: int = 0


class Added(NamedTuple):
    """An imported picture, its path in the dataset, whether it was inverted, and whether it is the first one of an animation."""

    path: str
    page: SourcePage
    inverted: bool
    animated: bool


class Copy(NamedTuple):
    """A picture that was not imported because the dataset already has it at ``path``."""

    path: str
    page: SourcePage


class RefusedPicture(NamedTuple):
    """A picture that was not imported, and why; ``blank`` means that it is readable but empty."""

    page: SourcePage
    reason: str
    blank: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    """The outcome for all sources."""

    root: Path
    added: tuple[Added, ...]
    copies: tuple[Copy, ...]
    refused: tuple[RefusedPicture, ...]


def find_sources(
    paths: Iterable[Path], rules: DatasetRules, *, label: str | None, split: str | None
) -> tuple[Source, ...]:
    """Find the files to import: given files, and the pictures in given folders.

    Args:
        paths: Files and folders. A folder may hold folders of the classes, or of the splits with those in them.
        rules: The competition's splits and classes.
        label: The class of all files; by default that of the folder around each file.
        split: The split of all files; by default that of the folder, or the first.

    Raises:
        UsageError: The file does not exist, or its class is unknown.
        StorageError: A folder can't be listed.
    """
    found: list[Source] = []
    for path in paths:
        if path.is_dir():
            found += _pictures_in(path, rules, split or "", "")
        elif path.exists():
            around = meant_class(path.parent.resolve().name, rules.classes)
            found.append(Source(path, split or rules.splits[0], around))
        else:
            raise UsageError(
                f"There is no {path}.", action="Give the path of a picture, or of a folder of pictures."
            )
    if label:
        found = [source._replace(label=label) for source in found]
    if unlabelled := next((source for source in found if not source.label), None):
        raise UsageError(
            f"Nothing says which class {unlabelled.path} is.",
            action=f"Add --class, or put the pictures into folders called {', '.join(rules.classes)}.",
        )
    return tuple(dict.fromkeys(found))


def _pictures_in(folder: Path, rules: DatasetRules, split: str, label: str) -> Iterator[Source]:
    """List the pictures of a folder and those below; ``split`` and ``label`` are the folders around it, or empty."""
    label = meant_class(folder.resolve().name, rules.classes) or label
    with storage_errors(folder):
        items = sorted(item for item in folder.iterdir() if not item.name.startswith("."))
    for item in items:
        if not os.path.isdir(item):  # noqa: PTH112 - `Path.is_dir` fails for a link to a name that is too long
            if looks_like_picture(item.name, (*rules.extensions, ".pdf")):
                yield Source(item, split or rules.splits[0], label)
        elif not item.is_symlink():
            inner = "" if label else meant_class(item.name, rules.splits)
            yield from _pictures_in(item, rules, split or inner, label)


def import_pictures(
    sources: Iterable[Source], root: Path, rules: DatasetRules, *, trim: bool, observer: Observer = SILENT
) -> Imported:
    """Add each picture of the sources to the dataset, unless the dataset already has it.

    Files are added atomically, so after an interruption the same call resumes.

    Args:
        sources: The files to import.
        root: The dataset; missing folders are created.
        rules: The competition's splits and classes.
        trim: Whether to cut each picture to the drawing.
        observer: Receives progress.

    Raises:
        StorageError: The dataset can't be read or written.
    """
    sources = tuple(sources)
    target = _Target(root, rules)
    observer.start("Importing pictures", len(sources), "files")
    outcomes: list[Added | Copy | RefusedPicture] = []
    for number, source in enumerate(sources):
        observer.advance(number, source.path.name)
        for found in _pictures_of(source.path, target, trim=trim):
            outcomes.append(target.add(found, source) if isinstance(found, _Ready) else found)
    observer.advance(len(sources))
    return Imported(
        root,
        added=tuple(each for each in outcomes if isinstance(each, Added)),
        copies=tuple(each for each in outcomes if isinstance(each, Copy)),
        refused=tuple(each for each in outcomes if isinstance(each, RefusedPicture)),
    )


class _Ready(NamedTuple):
    """A picture ready to add."""

    page: SourcePage
    toned: Toned
    animated: bool


def _pictures_of(path: Path, target: _Target, *, trim: bool) -> Iterator[_Ready | Copy | RefusedPicture]:
    """Iterate over the readable pictures of a file."""
    try:
        if same := target.by_content.get(hash_file(path)):
            yield Copy(same, SourcePage(path))
            return
        for picture in open_pictures(path):
            page = SourcePage(path, picture.page)
            try:
                yield _Ready(page, tone(picture.grey, trim=trim), picture.animated)
            except NothingDrawn:
                yield RefusedPicture(page, "nothing is drawn on it", blank=True)
    except NotReadable as error:
        yield RefusedPicture(SourcePage(path), str(error))
    except StorageError as error:
        yield RefusedPicture(SourcePage(path), error.message.rstrip("."))
    except OSError as error:
        yield RefusedPicture(SourcePage(path), error.strerror or str(error))


class _Target:
    """The dataset, and the paths of its images by content and by name."""

    def __init__(self, root: Path, rules: DatasetRules) -> None:
        self._root = root
        self.by_content: dict[str, str] = {}
        self._by_name: dict[str, str] = {}
        self._folders: dict[tuple[str, str], str] = {}
        if not root.exists():
            return
        dataset = load(root, rules)
        for image in dataset.images:
            self.by_content.setdefault(image.sha256, image.path)
            self._by_name.setdefault(image.name, image.path)
        for split in dataset.splits:
            for folder in split.folders:
                self._folders.setdefault((split.name, meant_class(folder, rules.classes)), folder)

    def add(self, picture: _Ready, source: Source) -> Added | Copy:
        """Write a picture, unless the dataset has it."""
        # The pixels name it, whatever format the source has.
        image = picture.toned.image
        header = f"{image.width} {image.height}\n".encode()
        name = f"{hash_bytes(header + image.tobytes())[:32]}.png"
        out = io.BytesIO()
        image.save(out, "PNG", optimize=True)
        content = out.getvalue()
        known = self._by_name.get(name) or self.by_content.get(hash_bytes(content))
        if known:
            return Copy(known, picture.page)
        folder = self._folders.setdefault((source.split, source.label), source.label)
        path = f"{source.split}/{folder}/{name}"
        place = self._root / path
        if os.path.lexists(place):  # something that is not an image, such as a folder
            raise StorageError(
                f"{place} exists and is not an image.", action="Move it away, and run the command again."
            )
        with storage_errors(place.parent):
            place.parent.mkdir(parents=True, exist_ok=True)
        replace_atomically(place, content, mode=_MODE)
        self._by_name[name] = self.by_content[hash_bytes(content)] = path
        return Added(path, picture.page, picture.toned.inverted, picture.animated)
