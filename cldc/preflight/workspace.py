"""Fill the training script's working folder with the layout it expects and a snapshot of the dataset.

Files are copied, not linked: the script trains on the hashed content even if the dataset changes meanwhile, and a script
that writes into its dataset does not touch the user's files.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from cldc.competition import Competition
from cldc.dataset import Dataset
from cldc.errors import InvalidDataset
from cldc.files import hash_bytes, storage_errors
from cldc.preflight.model import LabelBook, Script
from cldc.progress import Observer

_READ_ONLY_FILE = 0o444
_READ_ONLY_FOLDER = 0o555


@dataclass(frozen=True, slots=True)
class _Content:
    """A file to copy: its target relative to the workspace, its source and its SHA-256."""

    target: str
    source: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Workspace:
    """A filled folder.

    Attributes:
        root: The working directory for the script.
        dataset: Name of the dataset's folder in it, which holds the dataset in a folder of the same name.
        label_book: The same for the label book.
        script: The script's file name.
        images: Every image, relative to ``root``, with slashes.
    """

    root: Path
    dataset: str
    label_book: str
    script: str
    images: tuple[str, ...]

    @property
    def aside(self) -> Path:
        """A folder for files that programs write outside the workspace: temporary files, Keras' settings."""
        return self.root / ".aside"


def fill(
    root: Path,
    *,
    dataset: Dataset,
    label_book: LabelBook,
    script: Script,
    competition: Competition,
    observer: Observer,
) -> Workspace:
    """Copy the script, and the files of dataset and label book that it reads, into the empty folder ``root``.

    Raises:
        InvalidDataset: An image has changed since validation, or the run already uses the dataset's name.
        StorageError: No room.
    """
    book = competition.bundles.label_book.name
    require_own_name(dataset.name, competition)
    folders = [
        f"{dataset.name}/{dataset.name}/{s.name}/{label}" for s in dataset.splits for label in s.folders
    ]
    folders += [f"{book}/{book}/{label}" for label in label_book.folders]
    contents = [
        _Content(f"{dataset.name}/{dataset.name}/{image.path}", dataset.locate(image), image.sha256)
        for image in dataset.images
    ]
    contents += [
        _Content(f"{book}/{book}/{path}", label_book.root / path, sha256)
        for path, sha256 in label_book.images
    ]
    workspace = Workspace(
        root,
        dataset.name,
        book,
        competition.bundles.script.name,
        tuple(content.target for content in contents),
    )
    with storage_errors(root):
        workspace.aside.mkdir()
        shutil.copyfile(script.path, root / workspace.script)
        for folder in folders:
            (root / folder).mkdir(parents=True, exist_ok=True)
        _copy(root, contents, observer)
        for name in {dataset.name, book}:
            _forbid_writing(root / name)
    return workspace


def require_own_name(name: str, competition: Competition) -> None:
    """Require a dataset name that differs from label book and script, which are in one folder here and on CodaLab.

    Raises:
        InvalidDataset: One of the others has the name of the dataset.
    """
    taken = (competition.bundles.label_book.name, competition.bundles.script.name)
    if name.casefold() in {other.casefold() for other in taken}:
        raise InvalidDataset(
            f"The dataset can't be called {name}: the run has another {name} beside it.",
            action="Give its folder another name.",
        )


def _copy(root: Path, contents: list[_Content], observer: Observer) -> None:
    observer.start("Copying images", len(contents), "images")
    made: set[str] = set()
    for done, content in enumerate(contents, 1):
        folder = content.target.rpartition("/")[0]
        if folder not in made:  # nested folders count as their class
            made.add(folder)
            (root / folder).mkdir(parents=True, exist_ok=True)
        data = _unchanged(content.source, content.sha256)
        with open(f"{root}/{content.target}", "xb", opener=_read_only) as file:
            file.write(data)
        if done % 256 == 0:
            observer.advance(done)


def _read_only(path: str, flags: int) -> int:
    return os.open(path, flags, _READ_ONLY_FILE)


def _forbid_writing(top: Path) -> None:
    for folder, _, _ in os.walk(top, topdown=False):
        Path(folder).chmod(_READ_ONLY_FOLDER)


def _unchanged(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidDataset(
            f"{path} can't be read any more: {error.strerror or error}.",
            action="Mend it and run the command again.",
        ) from error
    if hash_bytes(content) != sha256:
        raise InvalidDataset(
            f"{path} was changed after it was validated.",
            action="Let its writer finish, then run the command again.",
        )
    return content
