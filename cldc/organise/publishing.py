"""Create a competition on a CodaLab as its organiser: its worksheets and bundles, with their permissions."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from cldc.codalab import Bundle, CodaLab, Rest, Worksheet
from cldc.codalab.failures import NotFound
from cldc.competition import Competition, Reference
from cldc.errors import CodaLabError, StorageError
from cldc.files import (
    hash_file,
    private_folder,
    read_json,
    replace_atomically,
    storage_errors,
    temporary_folder,
)
from cldc.organise.model import PUBLISHED, OrganiserFiles, OrganiserTarget, PublishedCompetition
from cldc.organise.scripts import evaluation_script
from cldc.progress import SILENT, Observer

_DATE = (2021, 6, 1, 0, 0, 0)  # of every file in a zip
_PUBLIC = "utils"  # key of the worksheet that everyone may read, with its bundles; the other is private


@dataclass(frozen=True, slots=True)
class WantedBundle:
    """A bundle of the competition.

    Attributes:
        worksheet: Key of the worksheet that it belongs on.
        path: A file, which is uploaded as it is, or a folder.
        top: The one folder that the bundle holds the folder in; None for a file.
        digest: The digest of its contents; see `contents_digest`.
    """

    key: str
    worksheet: str
    reference: Reference
    path: Path
    top: str | None
    description: str
    digest: str

    @property
    def public(self) -> bool:
        """Whether everyone may read it."""
        return self.worksheet == _PUBLIC


def put_on_server(
    competition: Competition,
    where: OrganiserTarget,
    files: OrganiserFiles,
    *,
    python: Callable[[], Path],
    replace: bool = False,
    observer: Observer = SILENT,
) -> PublishedCompetition:
    """Create the competition on a CodaLab. It keeps what is already correct, so it is safe to run again.

    Works on any CodaLab: a server that does not accept a wanted uuid assigns its own.

    Args:
        competition: Names everything, and gives the wanted uuids.
        where: The server with the organiser's account, and the competition's folder, which keeps the result.
        files: The organiser's files.
        python: Called if a bundle must be removed, which `cl` does; as in `CodaLab`.
        replace: Whether a bundle with other contents is removed and uploaded again; bundles that depend on it lose it.

    Raises:
        ConfigurationError: The profile has no [organiser] table.
        StorageError: The file or folder does not exist.
        CodaLabError: The server refused, holds something else under these names, or gave a bundle the wrong permission.
    """
    wanted = bundles_of(competition, files, where.folder)
    worksheets = {
        _PUBLIC: competition.bundles.worksheet,
        "log": competition.require_organiser().log_worksheet,
    }
    private_folder(where.folder)
    observer.start(f"Putting {competition.name} on CodaLab", len(worksheets) + len(wanted))
    uuids: dict[str, str] = {}
    with CodaLab(where.address, where.credentials, python=python, observer=observer) as codalab:
        organiser = _Organiser(codalab, replace=replace)
        for key, reference in worksheets.items():
            observer.advance(len(uuids), f"worksheet {reference.name}")
            uuids[key] = organiser.ensure_worksheet(key, reference, public=key == _PUBLIC)
        for bundle in wanted:
            observer.advance(len(uuids), bundle.reference.name)
            uuids[bundle.key] = organiser.ensure_bundle(bundle, uuids[bundle.worksheet])
        for key in worksheets:
            codalab.rest.read_items_as_owner(uuids[key])
    published = PublishedCompetition(uuids, tuple(organiser.created))
    replace_atomically(where.folder / PUBLISHED, json.dumps(asdict(published), indent=2))
    _check_readable(where.address, wanted, uuids, observer)
    return published


def _check_readable(
    address: str, bundles: Iterable[WantedBundle], uuids: Mapping[str, str], observer: Observer
) -> None:
    """Check that everyone can read what is public, and that hidden bundles are private."""
    with Rest(address, observer=observer) as everyone:
        for bundle in bundles:
            uuid = uuids[bundle.key]
            if everyone.bundle(uuid).readable != bundle.public:
                state = "can't be read by everyone" if bundle.public else "can be read by everyone"
                raise CodaLabError(
                    f"The bundle {bundle.reference.name} ({uuid}) {state}.",
                    action="Set its permissions on its page, then run the command again.",
                )


def bundles_of(competition: Competition, files: OrganiserFiles, folder: Path) -> tuple[WantedBundle, ...]:
    """List the competition's bundles with the organiser's files; ``folder`` gets the evaluation script if there is none.

    Raises:
        ConfigurationError: The profile has no [organiser] table.
        StorageError: The file or folder does not exist or can't be read.
    """
    side, bundles = competition.require_organiser(), competition.bundles
    book, start = bundles.label_book.name, bundles.starting_dataset
    evaluate = files.evaluate or evaluation_script(competition, folder)
    found = [
        _bundle("script", _PUBLIC, bundles.script, files.script, "Training script"),
        _bundle("label_book", _PUBLIC, bundles.label_book, files.label_book, "Label book", top=book),
    ]
    if files.starting_dataset is not None and start is not None:
        path = files.starting_dataset
        found.append(_bundle("data", _PUBLIC, start, path, "Starting dataset", top=start.name))
    return (
        *found,
        # It replaces the label book when the daemon repeats a run, so its one folder has the same name.
        _bundle("test_set", "log", side.test_set, files.test_set, "Hidden test set", top=book),
        _bundle("evaluate", "log", side.evaluate, evaluate, "Evaluation script"),
    )


def _bundle(
    key: str, worksheet: str, reference: Reference, path: Path, description: str, *, top: str | None = None
) -> WantedBundle:
    found = path.is_dir() if top else path.is_file()
    if not found:
        raise StorageError(
            f"There is no {'folder' if top else 'file'} {path} for the bundle {reference.name}.",
            action="Check the path.",
        )
    return WantedBundle(key, worksheet, reference, path, top, description, contents_digest(path, top))


class _Organiser:
    """Creates what is missing on the server, as the organiser.

    Attributes:
        created: Keys of what it created.
    """

    def __init__(self, codalab: CodaLab, *, replace: bool) -> None:
        self._rest, self._cl, self._replace = codalab.rest, codalab.cl, replace
        self._id = codalab.rest.user().id
        self.created: list[str] = []

    def ensure_worksheet(self, key: str, wanted: Reference, *, public: bool) -> str:
        """Create the worksheet if it is missing; return its uuid."""
        found = None
        for spec in filter(None, (wanted.uuid, wanted.name)):
            with contextlib.suppress(NotFound):
                found = found or self._rest.worksheet(spec)
        if found is not None:
            self._require_own(found, wanted.name)
            uuid = found.uuid
        else:
            uuid = self._rest.create_worksheet(wanted.name, uuid=wanted.uuid)
            self.created.append(key)
        self._rest.share("worksheet", uuid, public=public)
        return uuid

    def ensure_bundle(self, wanted: WantedBundle, worksheet: str) -> str:
        """Upload the bundle if it is missing or has other contents; return its uuid."""
        if wanted.reference.uuid is not None:
            found = self._rest.found(wanted.reference.uuid)
        else:
            on_worksheet = self._rest.worksheet(worksheet, bundles=True).bundles
            own = [b for b in on_worksheet if (b.name, b.owner_id) == (wanted.reference.name, self._id)]
            found = next((bundle for bundle in own if _holds(bundle, wanted)), None)
        if found is not None and self._is_kept(found, wanted):
            uuid = found.uuid
        else:
            if found is not None:
                self._cl.remove(found.uuid, force=True)
            uuid = self._upload(wanted, worksheet)
            self.created.append(wanted.key)
        self._rest.share("bundle", uuid, public=wanted.public)
        return uuid

    def _is_kept(self, found: Bundle, wanted: WantedBundle) -> bool:
        """Check whether a bundle already holds the wanted contents, and so need not be replaced.

        Raises:
            CodaLabError: It is another account's, or has other contents and may not be replaced. An unfinished upload always may.
        """
        self._require_own(found, wanted.reference.name)
        if _holds(found, wanted):
            return True
        if found.state == "ready" and not self._replace:
            raise CodaLabError(
                f"{wanted.reference.name} ({found.uuid}) is on the server with other contents.",
                action="Run the command again with --replace to create a new one.",
            )
        return False

    def _require_own(self, found: Bundle | Worksheet, name: str) -> None:
        if found.owner_id != self._id:
            raise CodaLabError(
                f"{name} ({found.uuid}) belongs to another account on {self._rest.server}.",
                action="Sign in as its owner, or give the profile other names.",
            )

    def _upload(self, wanted: WantedBundle, worksheet: str) -> str:
        reference = wanted.reference
        uuid = self._rest.create_dataset(
            worksheet,
            reference.name,
            description=f"{wanted.description} ({wanted.digest})",
            uuid=reference.uuid,
        )
        if wanted.top is None:
            with storage_errors(wanted.path):
                content = io.BytesIO(wanted.path.read_bytes())
            self._rest.put_contents(uuid, content, filename=reference.name, unpack=False)
        else:
            with (
                temporary_folder("cldc-publish-") as folder,
                (folder / "contents.zip").open("w+b") as zipped,
            ):
                _pack(wanted.path, wanted.top, zipped)
                self._rest.put_contents(uuid, zipped, filename="contents.zip", unpack=True)
        return uuid


def _holds(bundle: Bundle, wanted: WantedBundle) -> bool:
    return bundle.state == "ready" and wanted.digest in bundle.description


def remember_files(record: Path, given: Mapping[str, str | Path | None]) -> dict[str, Path]:
    """Return the organiser's files by name, those given now before earlier ones; forget earlier paths that no longer exist.

    Raises:
        StorageError: A path given now does not exist, or the record can't be written.
    """
    chosen = {name: path for name, path in (read_json(record) or {}).items() if Path(path).exists()}
    for name, path in given.items():
        if path is not None:
            chosen[name] = str(Path(path).absolute())
            if not Path(path).exists():
                raise StorageError(f"{path} does not exist.", action="Check the path.")
    private_folder(record.parent)
    replace_atomically(record, json.dumps(chosen))
    return {name: Path(path) for name, path in chosen.items()}


def contents_digest(path: Path, top: str | None = None) -> str:
    """Return the digest that identifies a bundle with these contents: ``sha256:`` over names and bytes.

    Args:
        path: A file, or a folder with everything in it.
        top: The one folder that the bundle holds it in.

    Raises:
        StorageError: Something can't be read.
    """
    total = hashlib.sha256((top or "").encode())
    for name, file in _files(path) if path.is_dir() else [("", path)]:
        total.update(name.encode() + b"\0" + bytes.fromhex(hash_file(file)))
    return "sha256:" + total.hexdigest()


def _pack(folder: Path, top: str, target: IO[bytes]) -> None:
    """Zip ``folder`` with ``top`` as its one folder, without compression because images are compressed already.

    Raises:
        StorageError: Something can't be read or written.
    """
    with storage_errors(folder), zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, path in _files(folder):
            entry = zipfile.ZipInfo(f"{top}/{name}", date_time=_DATE)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, path.read_bytes())


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """List each file below as (name with slashes, path), folder by folder in alphabetical order."""
    with storage_errors(folder):
        for current, folders, names in os.walk(folder, onerror=_raise):
            folders.sort()
            for name in sorted(names):
                path = Path(current, name)
                yield path.relative_to(folder).as_posix(), path


def _raise(error: OSError) -> None:
    raise error
