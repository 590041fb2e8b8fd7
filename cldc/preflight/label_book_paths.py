"""Locate label books and scripts: downloaded ones, of which a pointer names the current one, and given ones."""

from __future__ import annotations

from pathlib import Path

from cldc.competition import Competition
from cldc.errors import InvalidDataset
from cldc.files import replace_atomically


def label_books(home: Path, competition: Competition) -> Path:
    """The folder with the competition's label books, each in a folder named by its hash."""
    return home / "label_books" / competition.name


def current_label_book(home: Path, competition: Competition) -> Path | None:
    """The folder of the most recently downloaded label book, unchecked; None if none was downloaded."""
    kept = label_books(home, competition)
    name = read_pointer(kept)
    return kept / name if name else None


def read_pointer(kept: Path) -> str:
    """Read the hash of the current one; empty if there is none."""
    try:
        return (kept / "current").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def write_pointer(kept: Path, to: str) -> str | None:
    """Make ``to`` the current one and return the one that it replaces; None if there is none."""
    before = read_pointer(kept)
    if before == to:
        return None
    replace_atomically(kept / "current", to + "\n")
    return before or None


def label_book_root(folder: Path, competition: Competition) -> Path:
    """The folder with a label book's class folders: ``folder``, or the one in it with a label book's usual name.

    Raises:
        InvalidDataset: Neither has all of them.
    """
    classes = competition.dataset.classes
    for root in (folder, folder / competition.bundles.label_book.name):
        if all((root / name).is_dir() for name in classes):
            return root.absolute()
    raise InvalidDataset(
        f"{folder} is not a label book: it does not hold the class folders {', '.join(classes)}.",
        action="Give the folder whose folders are the classes.",
    )
