"""Find the dataset in each student's hand-in, or say in one line why there is none.

Hand-ins come from other people and systems, perhaps with bad intent: zips go through the one unpacker, and no link may lead
out of a hand-in.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from cldc.dataset import ARCHIVE_EXTENSIONS, suggest_roots
from cldc.errors import CldcError, InvalidDataset
from cldc.files import storage_errors
from cldc.grading.model import HandedIn
from cldc.inside import unpacking
from cldc.settings import PROJECT_FILE, read_project

# Files that macOS and Windows put beside the one folder of a zip.
_LEFTOVERS = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")
_MOST_NAMED = 5


def list_handed_in(folder: Path) -> tuple[HandedIn, ...]:
    """List each student's hand-ins in ``folder``: zips, folders, and archives of other kinds.

    Raises:
        StorageError: The folder can't be listed.
    """
    by_student: dict[str, list[Path]] = defaultdict(list)
    with storage_errors(folder):
        for path in sorted(folder.iterdir()):
            is_archive = path.suffix.lower() in ARCHIVE_EXTENSIONS  # another file belongs to no student
            if not path.name.startswith(".") and (path.is_dir() or is_archive):
                by_student[path.name if path.is_dir() else path.stem].append(path)
    entries = []
    for student, paths in by_student.items():
        names = ", ".join(path.name for path in paths)
        problem = f"it was handed in {len(paths)} times: {names}" if len(paths) > 1 else ""
        entries.append(HandedIn(student, paths[0], problem))
    return tuple(entries)


def find_dataset(entry: HandedIn, work: Path, splits: Sequence[str]) -> Path:
    """Find the folder of the student's dataset; a zip is unpacked below ``work``.

    A zip holds one folder with the splits, as `cldc package` writes it. A folder is the dataset, or holds one zip, or
    names the dataset in its cldc.toml, or holds one folder with the splits at any depth.

    Raises:
        InvalidDataset: It does not hold exactly one dataset; the message gives the reason in one line.
        StorageError: The disk is full or not writable.
    """
    if entry.problem:
        raise _refused(entry.problem)
    if not entry.path.is_dir():
        return _in_zip(entry.path, work / "unpacked", splits)
    _forbid_links_out(entry.path)
    if _has(entry.path, splits):
        return entry.path
    with storage_errors(entry.path):
        zips = [path for path in entry.path.iterdir() if path.suffix.lower() == ".zip"]
    if len(zips) == 1:
        return _in_zip(zips[0], work / "unpacked", splits)
    return _named(entry.path, splits) or _only_one(entry.path, splits)


def _in_zip(path: Path, folder: Path, splits: Sequence[str]) -> Path:
    """Unpack a zip into ``folder``, and find its dataset."""
    if path.suffix.lower() != ".zip":
        raise _refused(f"{path.name} is not a zip")
    with storage_errors(path):
        try:
            with path.open("rb") as file:
                unpacking.unpack_zip(file, str(folder))
        except unpacking.Refused as error:
            raise _refused(f"{path.name} can't be unpacked: {error}") from error
    top = [child for child in sorted(folder.iterdir()) if child.name not in _LEFTOVERS]
    if len(top) == 1 and _has(top[0], splits):
        return top[0]
    raise _refused(_why_not(path.name, folder, top, splits))


def _why_not(zip_name: str, folder: Path, top: Sequence[Path], splits: Sequence[str]) -> str:
    """Explain why an unpacked zip is not a dataset, and where its splits are; ``top`` lists its top-level folders and files."""
    wanted = " and ".join(splits)
    if _has(folder, splits):
        return f"{wanted} lie at the top of {zip_name}, not in one folder as they must"
    if found := next((child for child in top if _has(child, splits)), None):
        beside = ", ".join(child.name for child in top if child != found)
        return f"{zip_name} must hold one folder; beside {found.name} it holds {beside}"
    deeper = suggest_roots(folder, splits)
    if deeper and all(root.is_relative_to(folder) for root in deeper):
        places = ", ".join(str(root.relative_to(folder)) for root in deeper[:_MOST_NAMED])
        return f"{wanted} lie at the wrong level of {zip_name}: in {places}"
    names = ", ".join(child.name for child in top[:_MOST_NAMED]) or "nothing"
    return f"{zip_name} has no folder with {wanted}; at its top is {names}"


def _named(folder: Path, splits: Sequence[str]) -> Path | None:
    """Find the dataset that the project file in ``folder`` names, which must be inside; None if it names none."""
    if not (folder / PROJECT_FILE).is_file():
        return None
    try:
        dataset = read_project(folder / PROJECT_FILE).options.dataset
    except CldcError as error:
        raise _refused(error.message) from error
    if dataset is None:
        return None
    path = Path(os.path.realpath(dataset))
    if not path.is_relative_to(os.path.realpath(folder)):
        raise _refused(f"its {PROJECT_FILE} names a dataset outside of it, {dataset}")
    if not _has(path, splits):
        raise _refused(
            f"its {PROJECT_FILE} names the dataset {path.name}, which has no {' and '.join(splits)}"
        )
    return path


def _only_one(folder: Path, splits: Sequence[str]) -> Path:
    roots = [root for root in suggest_roots(folder, splits) if root.is_relative_to(folder.absolute())]
    if len(roots) == 1:
        return roots[0]
    wanted = " and ".join(splits)
    if not roots:
        raise _refused(f"it has no folder with {wanted}")
    places = ", ".join(str(root.relative_to(folder.absolute())) for root in roots[:_MOST_NAMED])
    raise _refused(f"several of its folders have {wanted}: {places}")


def _has(folder: Path, splits: Sequence[str]) -> bool:
    return all((folder / split).is_dir() for split in splits)


def _forbid_links_out(folder: Path) -> None:
    """Refuse links out of ``folder``, which could lead to the hidden test set or another student's images."""
    own = os.path.realpath(folder)
    with storage_errors(folder):
        for parent, folders, files in os.walk(folder):
            for name in (*folders, *files):
                path = Path(parent, name)
                if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(own):
                    raise _refused(f"{path.relative_to(folder)} is a link that leads out of it")


def _refused(why: str) -> InvalidDataset:
    return InvalidDataset(f"{why}.", action="Ask for a new file.")
