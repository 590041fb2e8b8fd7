"""Find the training script and the label book, and remember downloads.

The organisers can change theirs at any time, so downloads are remembered by hash and a change is reported.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
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
from cldc.preflight.label_book_paths import (
    current_label_book,
    label_book_root,
    label_books,
    read_pointer,
    write_pointer,
)
from cldc.preflight.model import LabelBook, Script
from cldc.resources import template


def given_script(path: Path) -> Script:
    """Read the script that the user named.

    Raises:
        ConfigurationError: It is not a readable file.
    """
    return Script(path.absolute(), hash_bytes(_read(path, "Check the path given with --script.")), "file")


def builtin_script(competition: Competition) -> Script:
    """Read cldc's implementation of the fixed training, or the one beside the profile.

    Raises:
        ConfigurationError: The profile names a file that does not exist or is outside its folder.
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


def remember_script(home: Path, competition: Competition, content: bytes) -> tuple[Script, str | None]:
    """Store the competition's freshly downloaded script under ``scripts/``.

    Returns:
        The script, and the SHA-256 of the earlier one if the organisers have changed it since it was last seen.

    Raises:
        StorageError: It can't be written.
    """
    kept = private_folder(home / "scripts" / competition.name)
    sha256 = hash_bytes(content)
    path = kept / f"{sha256}.py"
    replace_atomically(path, content)  # even if it exists: someone may have changed it
    replaced = write_pointer(kept, sha256)
    return Script(path, sha256, "competition"), replaced


def remembered_script(home: Path, competition: Competition) -> Script | None:
    """The last download of the competition's script; None if there is none."""
    kept = home / "scripts" / competition.name
    sha256 = read_pointer(kept)
    path = kept / f"{sha256}.py"
    try:
        unchanged = sha256 and hash_bytes(path.read_bytes()) == sha256
    except OSError:
        return None
    return Script(path, sha256, "competition") if unchanged else None


def remember_label_book(home: Path, competition: Competition, fetched: Path) -> tuple[LabelBook, str | None]:
    """Store the competition's label book, freshly downloaded into the folder ``fetched``, under ``label_books/``.

    Returns:
        The label book, and the hash of the earlier one if the organisers have changed it since it was last seen.

    Raises:
        InvalidDataset: ``fetched`` is not a label book.
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
        replaced = write_pointer(kept, book.hash)
    return read_label_book(place, competition), replaced


def remembered_label_book(home: Path, competition: Competition) -> LabelBook | None:
    """The last download of the competition's label book; None if there is none."""
    place = current_label_book(home, competition)
    # Trusted only as long as it is what was downloaded.
    return read_label_book(place, competition) if place and _is(place, place.name, competition) else None


def _is(place: Path, expected: str, competition: Competition) -> bool:
    try:
        return read_label_book(place, competition).hash == expected
    except InvalidDataset:
        return False


def read_label_book(folder: Path, competition: Competition) -> LabelBook:
    """Read a label book's images; ``folder`` is as for `label_book_root`.

    Raises:
        InvalidDataset: It is not a label book, a class is missing, or a file can't be read.
    """
    root = label_book_root(folder, competition)
    # The script reads a label book like a split.
    dataset = load(root.parent, replace(competition.dataset, splits=(root.name,)))
    if broken := next((image for image in dataset.images if image.error), None):
        raise InvalidDataset(
            f"{root.parent / broken.path} of the label book can't be used: {broken.error}.",
            action="Download the label book again.",
        )
    images = tuple((image.path.partition("/")[2], image.sha256) for image in dataset.images)
    return LabelBook(root, images, dataset.splits[0].folders, identity(images))
