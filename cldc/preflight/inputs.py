"""Get the script and the label book of a training: given ones, the organisers', the last downloads, or the built-in script.

The organisers can change theirs at any time, so downloads are stored by hash, a file ``current`` names the newest, and
a change is reported.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cldc.competition import Competition, file_beside
from cldc.dataset import identity, load
from cldc.errors import CldcError, ConfigurationError, InvalidDataset, SandboxError, Unreachable
from cldc.files import (
    hash_bytes,
    lock,
    private_folder,
    remove_tree,
    replace_atomically,
    storage_errors,
    temporary_folder,
)
from cldc.preflight.model import LabelBook, Script
from cldc.progress import SILENT, Observer
from cldc.resources import template

# Importing the client would nearly double the time of a check that finds nothing changed.
if TYPE_CHECKING:
    from cldc.codalab import Rest


def fetch_inputs(
    competition: Competition,
    connect: Callable[[], Rest],
    *,
    home: Path,
    script: Path | None = None,
    label_book: Path | None = None,
    observer: Observer = SILENT,
) -> tuple[Script, LabelBook]:
    """Get script and label book: those given, the organisers', the last ones downloaded or the built-in script.

    Args:
        competition: Its profile names the organisers' bundles.
        connect: Returns an anonymous client; called once something has to be fetched. Raises `SandboxError` or
            `Unreachable` if the server can't be reached.
        home: The data folder, which keeps downloads.
        script: A script instead of the organisers'.
        label_book: A label book's folder instead of the organisers'.
        observer: Told what is used instead, and what the organisers have changed.

    Raises:
        ConfigurationError: No label book is available, or the given script can't be read.
        InvalidDataset: The folder is not a label book.
    """
    unreachable: CldcError | None = None
    if script is not None:
        used = given_script(script)
    else:
        used, unreachable = _fetch_script(competition, connect, home, observer)
    if label_book is not None:
        return used, read_label_book(label_book, competition)
    return used, _fetch_label_book(competition, connect, home, unreachable, observer)


def _fetch_script(
    competition: Competition, connect: Callable[[], Rest], home: Path, observer: Observer
) -> tuple[Script, CldcError | None]:
    """Get the organisers' script or its replacement, and the error if the server can't be reached."""
    reference, unreachable = competition.bundles.script, None
    if reference.uuid is not None:
        try:
            return store_script(home, competition, connect().file(reference.uuid), observer), None
        except (Unreachable, SandboxError) as error:
            unreachable = error
            observer.note(f"The organisers' script is not available: {error.message}")
    if downloaded := downloaded_script(home, competition):
        observer.note(f"Using {reference.name} as it was last downloaded.")
        return downloaded, unreachable
    observer.note("Using the built-in training script.")
    return builtin_script(competition), unreachable


def _fetch_label_book(
    competition: Competition,
    connect: Callable[[], Rest],
    home: Path,
    unreachable: CldcError | None,
    observer: Observer,
) -> LabelBook:
    """Get the organisers' label book, or its last download; ``unreachable`` says why the server was not reached."""
    uuid = competition.bundles.label_book.uuid
    if uuid is not None and unreachable is None:
        try:
            with temporary_folder("cldc-label-book-") as folder:
                fetched = connect().download(uuid, "", folder / "bundle")
                return store_label_book(home, competition, fetched, observer)
        except (Unreachable, SandboxError) as error:
            unreachable = error
            observer.note(f"The organisers' label book is not available: {error.message}")
    if downloaded := downloaded_label_book(home, competition):
        observer.note("Using the label book as it was last downloaded.")
        return downloaded
    reason = unreachable.message if unreachable else "the profile gives no uuid for it"
    raise ConfigurationError(
        f"No label book is available: {reason}",
        action=f"{f'{unreachable.action} Or give' if unreachable else 'Give'} its folder with --label-book.",
    )


# Scripts ----------------------------------------------------------------------------------------------------


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
    if path.is_char_device() or path.is_fifo():
        raise ConfigurationError(f"The training script {path} is not a file.", action=action)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"The training script {path} can't be read: {error.strerror or error}.", action=action
        ) from error


def store_script(home: Path, competition: Competition, content: bytes, observer: Observer = SILENT) -> Script:
    """Store the competition's freshly downloaded script under ``scripts/``, and report a change.

    Raises:
        StorageError: It can't be written.
    """
    folder = private_folder(home / "scripts" / competition.name)
    sha256 = hash_bytes(content)
    path = folder / f"{sha256}.py"
    replace_atomically(path, content)  # even if it exists: someone may have changed it
    if before := _replace_current(folder, sha256):
        observer.note(
            f"The organisers changed {competition.bundles.script.name}: it was {before[:12]} before."
        )
    return Script(path, sha256, "competition")


def downloaded_script(home: Path, competition: Competition) -> Script | None:
    """Return the last download of the competition's script; None without one, or if it was changed since."""
    folder = home / "scripts" / competition.name
    sha256 = _read_current(folder)
    path = folder / f"{sha256}.py"
    try:
        unchanged = sha256 and hash_bytes(path.read_bytes()) == sha256
    except OSError:
        return None
    return Script(path, sha256, "competition") if unchanged else None


# Label books ------------------------------------------------------------------------------------------------


def label_books(home: Path, competition: Competition) -> Path:
    """Return the folder with the competition's label books, each in a folder named by its hash."""
    return home / "label_books" / competition.name


def current_label_book(home: Path, competition: Competition) -> Path | None:
    """Return the folder of the most recently downloaded label book, unchecked; None if none was downloaded."""
    folder = label_books(home, competition)
    name = _read_current(folder)
    return folder / name if name else None


def store_label_book(
    home: Path, competition: Competition, fetched: Path, observer: Observer = SILENT
) -> LabelBook:
    """Store the competition's label book, freshly downloaded into the folder ``fetched``, and report a change.

    Raises:
        InvalidDataset: ``fetched`` is not a label book.
        StorageError: It can't be written.
    """
    book = read_label_book(fetched, competition)
    folder = private_folder(label_books(home, competition))
    stored = folder / book.hash
    with lock(folder / ".lock", purpose="keeping the label book"):
        if not _is_unchanged(stored, competition):
            remove_tree(stored)
            with temporary_folder(".new-", folder) as work, storage_errors(folder):
                draft = work / book.hash
                for label in book.folders:
                    (draft / label).mkdir(parents=True)
                for path, _ in book.images:
                    (draft / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(book.root / path, draft / path)
                draft.rename(stored)
        if _replace_current(folder, book.hash):
            observer.note("The organisers changed the label book.")
    return read_label_book(stored, competition)


def downloaded_label_book(home: Path, competition: Competition) -> LabelBook | None:
    """Return the last download of the competition's label book; None without one, or if it was changed since."""
    stored = current_label_book(home, competition)
    if stored is None or not _is_unchanged(stored, competition):
        return None
    return read_label_book(stored, competition)


def _is_unchanged(stored: Path, competition: Competition) -> bool:
    """Check that a stored label book has the hash that its folder is named by."""
    try:
        return read_label_book(stored, competition).hash == stored.name
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


def label_book_root(folder: Path, competition: Competition) -> Path:
    """Return the folder with a label book's class folders: ``folder``, or the one in it with a label book's usual name.

    Raises:
        InvalidDataset: Neither has all of them.
        StorageError: The folder can't be read.
    """
    classes = competition.dataset.classes
    for root in (folder, folder / competition.bundles.label_book.name):
        with storage_errors(root):
            complete = all((root / name).is_dir() for name in classes)
        if complete:
            return root.absolute()
    raise InvalidDataset(
        f"{folder} is not a label book: it does not hold the class folders {', '.join(classes)}.",
        action="Give the folder whose folders are the classes.",
    )


# The file ``current`` ---------------------------------------------------------------------------------------


def _read_current(folder: Path) -> str:
    """Read the hash of the newest download; empty if there is none."""
    try:
        return (folder / "current").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _replace_current(folder: Path, sha256: str) -> str:
    """Record ``sha256`` as the newest download; return the previous hash, or an empty text if it is the same."""
    before = _read_current(folder)
    if before == sha256:
        return ""
    replace_atomically(folder / "current", f"{sha256}\n")
    return before
