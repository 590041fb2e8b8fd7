"""Training script and label book: where they come from, and what was downloaded before.

The organisers can change theirs at any time, so downloads are remembered by hash and a change is reported.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from cldc.competition import Competition, file_beside
from cldc.dataset import identity, load
from cldc.errors import ConfigurationError, InvalidDataset
from cldc.files import (
    hash_bytes,
    lock,
    private_folder,
    remove_tree,
    replace_atomically,
    storage_errors,
    temporary_folder,
)
from cldc.preflight.downloads import (
    current_label_book,
    label_book_root,
    label_books,
    read_pointer,
    write_pointer,
)
from cldc.preflight.model import LabelBook, Script
from cldc.resources import template


@dataclass(frozen=True, slots=True)
class RememberedScript:
    """The competition's script as it was just downloaded; ``previous`` is the SHA-256 it had before, if any."""

    script: Script
    previous: str | None

    @property
    def changed(self) -> bool:
        """Whether the organisers have changed it since it was last seen."""
        return self.previous not in (None, self.script.sha256)


@dataclass(frozen=True, slots=True)
class RememberedLabelBook:
    """The competition's label book as it was just downloaded; ``previous`` is the hash it had before, if any."""

    label_book: LabelBook
    previous: str | None

    @property
    def changed(self) -> bool:
        """Whether the organisers have changed it since it was last seen."""
        return self.previous not in (None, self.label_book.hash)


def given_script(path: Path) -> Script:
    """The script that the user named.

    Raises:
        ConfigurationError: It is no file that can be read.
    """
    return Script(path.absolute(), hash_bytes(_read(path, "Check the path given with --script.")), "file")


def builtin_script(competition: Competition) -> Script:
    """Our own implementation of the fixed training, or the one beside the profile.

    Raises:
        ConfigurationError: The profile names a file that is not there, or that lies outside its folder.
    """
    builtin = competition.training.builtin
    path = file_beside(competition, builtin) or template("scripts", builtin)
    content = _read(path, f"Correct training.builtin in the profile {competition.name}.")
    return Script(path, hash_bytes(content), "built-in")


def _read(path: Path, action: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"The training script {path} can't be read: {error.strerror or error}.", action=action
        ) from error


def remember_script(home: Path, competition: Competition, content: bytes) -> RememberedScript:
    """Keep the competition's script, just downloaded from its bundle, under ``scripts/``.

    Raises:
        StorageError: It can't be written.
    """
    kept = private_folder(home / "scripts" / competition.name)
    sha256 = hash_bytes(content)
    path = kept / f"{sha256}.py"
    replace_atomically(path, content)  # again even if it is there: someone may have touched it
    previous = write_pointer(kept, sha256)
    return RememberedScript(Script(path, sha256, "competition"), previous)


def remembered_script(home: Path, competition: Competition) -> Script | None:
    """The competition's script as it was last downloaded; None where it never was."""
    kept = home / "scripts" / competition.name
    sha256 = read_pointer(kept)
    path = kept / f"{sha256}.py"
    try:
        # Trusted only as long as it is what was downloaded.
        return (
            Script(path, sha256, "competition")
            if sha256 and hash_bytes(path.read_bytes()) == sha256
            else None
        )
    except OSError:
        return None


def remember_label_book(home: Path, competition: Competition, fetched: Path) -> RememberedLabelBook:
    """Keep the competition's label book, just downloaded into the folder ``fetched``, under ``label_books/``.

    Raises:
        InvalidDataset: ``fetched`` is no label book.
        StorageError: It can't be written.
    """
    book = read_label_book(fetched, competition)
    kept = private_folder(label_books(home, competition))
    place = kept / book.hash
    with lock(kept / ".lock", purpose="keeping the label book"):
        if not _is(place, book.hash, competition):
            remove_tree(place)
            with temporary_folder(".new-", kept) as folder, storage_errors(kept):
                draft = folder / book.hash
                for label in book.folders:
                    (draft / label).mkdir(parents=True)
                for path, _ in book.images:
                    (draft / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(book.root / path, draft / path)
                draft.rename(place)
        previous = write_pointer(kept, book.hash)
    return RememberedLabelBook(read_label_book(place, competition), previous)


def remembered_label_book(home: Path, competition: Competition) -> LabelBook | None:
    """The competition's label book as it was last downloaded; None where it never was."""
    place = current_label_book(home, competition)
    # Trusted only as long as it is what was downloaded.
    return read_label_book(place, competition) if place and _is(place, place.name, competition) else None


def _is(place: Path, expected: str, competition: Competition) -> bool:
    try:
        return read_label_book(place, competition).hash == expected
    except InvalidDataset:
        return False


def read_label_book(folder: Path, competition: Competition) -> LabelBook:
    """A label book's images; ``folder`` is as for `label_book_root`.

    Raises:
        InvalidDataset: It is no such folder, a class is missing, or a file can't be read.
    """
    root = label_book_root(folder, competition)
    # A label book is read by the script as a split is.
    dataset = load(root.parent, splits=(root.name,), extensions=competition.dataset.extensions)
    if broken := next((image for image in dataset.images if image.error), None):
        raise InvalidDataset(
            f"{root.parent / broken.path} of the label book can't be used: {broken.error}.",
            action="Download the label book again.",
        )
    images = tuple((image.path.partition("/")[2], image.sha256) for image in dataset.images)
    return LabelBook(root, images, dataset.splits[0].folders, identity(images))
