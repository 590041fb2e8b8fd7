"""A backup of what the organiser's machine keeps of a competition: one zip, for its owner only, without any password."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cldc.competition import Competition, scripts_beside
from cldc.errors import ConfigurationError
from cldc.files import PRIVATE_FILE, private_folder, read_json, replace_atomically, storage_errors
from cldc.identifiers import is_name
from cldc.inside import unpacking

PROFILE = "profile"
_PUBLIC_FILE = 0o644
_ABOUT = "backup.json"
_FORMAT = 1
_LIMIT_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What restoring a backup would do.

    Attributes:
        competition: The competition's name.
        made: When the backup was created.
        profile: The folder of the profile.
        new: Files that are not there, with their contents.
        changed: Files that are there with other contents, with those of the backup.
        same: Number of files that are there with the backup's contents.
    """

    competition: str
    made: str
    profile: Path
    new: Mapping[Path, bytes]
    changed: Mapping[Path, bytes]
    same: int


def kept_files(folder: Path) -> list[Path]:
    """List the files in a competition's folder, except locks and the daemon's folder, which holds its session."""
    if not folder.is_dir():
        return []
    with storage_errors(folder):
        return sorted(
            path
            for path in folder.iterdir()
            if path.is_file() and path.suffix != ".lock" and not path.name.startswith(".")
        )


def pack_backup(competition: Competition, folders: Mapping[str, Path]) -> tuple[bytes, tuple[str, ...]]:
    """Zip the files that ``folders`` keep, and the profile with all that it extends and the scripts beside it.

    Args:
        folders: The competition's folders, by the name that each gets in the zip.

    Returns:
        The zip, and the names of its files.

    Raises:
        ConfigurationError: The folders keep nothing.
        StorageError: A file can't be read.
    """
    files = {f"{area}/{path.name}": path for area, folder in folders.items() for path in kept_files(folder)}
    if not files:
        raise ConfigurationError(
            f"This machine keeps nothing of {competition.name} yet.",
            action="Name the competition that you set up with --competition.",
        )
    beside = (*competition.files, *scripts_beside(competition).values())
    files |= {f"{PROFILE}/{path.name}": path for path in beside}
    made = datetime.now(UTC).isoformat(timespec="seconds")
    about = {"format": _FORMAT, "competition": competition.name, "made": made}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_ABOUT, json.dumps(about))
        for name, path in files.items():
            with storage_errors(path):
                archive.writestr(name, path.read_bytes())
    return content.getvalue(), tuple(files)


def unpack_backup(file: Path, scratch: Path) -> tuple[str, str]:
    """Unpack a backup into the new folder ``scratch``; return the competition's name and when the backup was created.

    Raises:
        ConfigurationError: The file is not a backup, or is damaged.
        StorageError: It can't be read, or ``scratch`` can't be written.
    """
    try:
        with storage_errors(file), file.open("rb") as content:
            unpacking.unpack_zip(content, str(scratch), limit_bytes=_LIMIT_BYTES)
    except unpacking.Refused as refused:
        raise _no_backup(file, str(refused)) from refused
    about = read_json(scratch / _ABOUT) if (scratch / _ABOUT).is_file() else None
    if not isinstance(about, dict) or not is_name(str(about.get("competition"))):
        raise _no_backup(file, f"it has no {_ABOUT} that names a competition")
    if about.get("format") != _FORMAT:
        raise _no_backup(file, "another version of cldc created it")
    return str(about["competition"]), str(about.get("made"))


def _no_backup(file: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{file} can't be restored: {why}.", action="Give a file that `cldc organise backup` wrote."
    )


def plan_restore(scratch: Path, competition: str, made: str, folders: Mapping[str, Path]) -> RestorePlan:
    """Compare an unpacked backup with ``folders``, by the name that each has in the backup; anything else in it is ignored.

    Raises:
        StorageError: A file can't be read.
    """
    new, changed, same = {}, {}, 0
    for area, folder in folders.items():
        for path in kept_files(scratch / area):
            with storage_errors(path):
                content = path.read_bytes()
            target = folder / path.name
            with storage_errors(target):
                before = target.read_bytes() if target.exists() else None
            if before is None:
                new[target] = content
            elif before != content:
                changed[target] = content
            else:
                same += 1
    return RestorePlan(competition, made, folders[PROFILE], new, changed, same)


def restore(plan: RestorePlan) -> None:
    """Write the files of a backup, each atomically; to complete an interrupted restore, restore again.

    Raises:
        StorageError: A file can't be written.
    """
    for path, content in {**plan.new, **plan.changed}.items():
        if not path.parent.is_dir():
            with storage_errors(path.parent):
                private_folder(path.parent)
        # Contestants get the profile and its scripts; the rest is for the organiser only.
        replace_atomically(path, content, mode=_PUBLIC_FILE if path.parent == plan.profile else PRIVATE_FILE)
