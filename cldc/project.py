"""The files of a project, as `cldc init` writes them: ``cldc.toml`` and ``.gitignore``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import tomli_w

from cldc.files import replace_atomically, storage_errors

_HEADER = "# What cldc works with in this project; a setting left out comes from the competition's profile.\n"
_COMMENTS = {
    "competition": "a profile that comes with cldc, or the path of one",
    "server": "address of a CodaLab, or sandbox",
    "account": "user name there",
    "dataset": "the folder with the splits",
    "name": "of every submission on the board; a tag submission-NAME or --name says another",
    "institution": "what the board shows in parentheses",
    "link": "what the board links to",
}
# Files that never belong in a dataset repository: packed uploads, and what systems and notebooks leave in folders.
_IGNORED = ("*.zip", ".DS_Store", "Thumbs.db", ".ipynb_checkpoints/", "__MACOSX/", "__pycache__/")


@dataclass(frozen=True, slots=True)
class Answers:
    """The settings of a new project file; empty ones are left out."""

    competition: str
    dataset: str
    name: str
    institution: str
    link: str
    server: str = ""
    account: str = ""

    def to_toml(self) -> str:
        """Format the project file, with a comment on each setting."""
        given = {name: value for name, value in asdict(self).items() if value}
        lines = [(tomli_w.dumps({name: value}).strip(), _COMMENTS[name]) for name, value in given.items()]
        width = max(len(line) for line, _ in lines)
        return _HEADER + "\n" + "".join(f"{line.ljust(width)}  # {why}\n" for line, why in lines)


def find_dataset(folder: Path, splits: Iterable[str]) -> str | None:
    """Find the first folder in ``folder`` that has one of a competition's splits."""
    for name in sorted(path.name for path in folder.iterdir()):
        # `Path.is_dir` fails for a link to a name that is too long.
        if not name.startswith(".") and any(os.path.isdir(folder / name / split) for split in splits):  # noqa: PTH112
            return name
    return None


def write_file(path: Path, text: str) -> str:
    """Write a file that everyone may read, and say "written".

    Raises:
        StorageError: It can't be written.
    """
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    replace_atomically(path, text, mode=0o644)
    return "written"


def write_ignored(path: Path) -> str:
    """Add to a .gitignore what it lacks, and say what was done: "kept", "added to" or "written".

    Raises:
        StorageError: It can't be read or written.
    """
    with storage_errors(path):
        before = path.read_text(encoding="utf-8") if path.exists() else ""
    lacking = [line for line in _IGNORED if line not in before.splitlines()]
    if not lacking:
        return "kept"
    gap = "\n" if before and not before.endswith("\n") else ""
    write_file(path, before + gap + "".join(f"{line}\n" for line in lacking))
    return "added to" if before else "written"
