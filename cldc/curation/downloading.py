"""Download the organisers' starting dataset, label book and script from their bundles."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from cldc.codalab import Rest
from cldc.codalab.failures import NotFound
from cldc.codalab.json_api import Entry
from cldc.competition import Competition, Reference
from cldc.errors import CodaLabError, ConfigurationError, StorageError, UsageError
from cldc.files import hash_bytes, lock, replace_atomically, storage_errors
from cldc.progress import SILENT, Observer

DATASET, LABEL_BOOK, SCRIPT = "dataset", "label-book", "script"
WHAT = (DATASET, LABEL_BOOK, SCRIPT)
_SCRIPT_MODE = 0o644


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A download: which of `WHAT`, its bundle, its path, and whether it was there already."""

    what: str
    reference: Reference
    path: Path
    was_there: bool = False


def reference_of(competition: Competition, what: str) -> Reference:
    """Return the bundle of one of `WHAT`.

    Raises:
        ConfigurationError: The profile does not name it.
    """
    bundles = competition.bundles
    found = {DATASET: bundles.starting_dataset, LABEL_BOOK: bundles.label_book, SCRIPT: bundles.script}[what]
    if found is None or found.uuid is None:
        named = {DATASET: "starting dataset", LABEL_BOOK: "label book", SCRIPT: "training script"}[what]
        instead = {
            DATASET: "`cldc sample` draws a dataset, `cldc import` creates one from your own pictures",
            LABEL_BOOK: "name the folder that they give you with --label-book",
            SCRIPT: "until then cldc trains with its own implementation",
        }[what]
        raise ConfigurationError(
            f"The profile {competition.name} does not say which bundle holds the {named}.",
            action=f"Ask the organisers for it; {instead}.",
        )
    return found


def download(
    rest: Rest, competition: Competition, what: str, target: Path, *, home: Path, observer: Observer = SILENT
) -> Downloaded:
    """Download one of `WHAT` to ``target``, which appears when it is complete.

    Folders are downloaded class by class. Finished classes are kept, so the same call continues after an interruption.

    Args:
        rest: The server.
        competition: Names the bundles, the splits and the classes.
        what: One of `WHAT`.
        target: The new file or folder.
        home: The data folder, which holds the lock.
        observer: Receives progress.

    Raises:
        UsageError: ``target`` exists with other contents.
        ConfigurationError: The profile does not say which bundle it is.
        Unreachable: The server can't be reached or fails.
        CodaLabError: The bundle is missing, or its folders are not those expected.
        StorageError: It can't be written.
    """
    reference = reference_of(competition, what)
    assert reference.uuid is not None  # noqa: S101 - checked above
    try:
        if what == SCRIPT:
            return _script(rest, reference, reference.uuid, target)
        guard = home / "downloads" / f"{hash_bytes(str(target.absolute()))[:32]}.lock"
        with lock(guard, purpose=f"downloading {reference.name}", observer=observer):
            rules = competition.dataset
            names = rules.splits if what == DATASET else rules.classes
            _folder(rest, reference.uuid, names, target, nested=what == DATASET, observer=observer)
    except NotFound as error:
        raise CodaLabError(
            f"{rest.server} has no bundle {reference.name} ({reference.uuid}) that everyone may read.",
            action="Ask the organisers for it. A sandbox has a starting dataset if `cldc sandbox up` is given one.",
        ) from error
    return Downloaded(what, reference, target)


def _script(rest: Rest, reference: Reference, uuid: str, target: Path) -> Downloaded:
    content = rest.file(uuid)
    with storage_errors(target):
        if target.exists():
            if target.is_file() and target.read_bytes() == content:
                return Downloaded(SCRIPT, reference, target, was_there=True)
            raise _is_there(target)
        target.parent.mkdir(parents=True, exist_ok=True)
    replace_atomically(target, content, mode=_SCRIPT_MODE)
    return Downloaded(SCRIPT, reference, target)


def _is_there(target: Path) -> UsageError:
    return UsageError(
        f"{target} exists already.", action="Name another place with --into, or move that one away."
    )


def _folder(
    rest: Rest, uuid: str, names: Collection[str], target: Path, *, nested: bool, observer: Observer
) -> None:
    if target.exists():
        raise _is_there(target)
    parts = list(_parts(rest, uuid, names, nested=nested))
    # Named after the bundle, whose contents never change.
    draft = target.with_name(f".{target.name}-{uuid}.part")
    observer.start(f"Downloading {target.name}", len(parts), "folders")
    for number, (place, path) in enumerate(parts):
        observer.advance(number, place)
        if not (draft / place).exists():
            rest.download(uuid, path, draft / place)
    observer.advance(len(parts))
    with storage_errors(target):
        if not draft.is_dir():
            raise StorageError(f"{draft} is gone.", action="Run the command again.")
        draft.rename(target)


def _parts(rest: Rest, uuid: str, names: Collection[str], *, nested: bool) -> Iterator[tuple[str, str]]:
    """List the folders to download: each with its place in the target and its path in the bundle."""
    top = rest.info(uuid, depth=3)
    found = _root(top, names, "")
    if found is None:
        raise CodaLabError(
            f"The bundle {top.name or uuid} holds no folder with {', '.join(names)}.",
            action="Tell the organisers; until then download it from its page by hand.",
        )
    root, entry = found
    for folder in entry.contents:
        if folder.name in names and not nested:
            yield folder.name, f"{root}{folder.name}"
        elif folder.name in names:
            inner = folder.contents or rest.info(uuid, f"{root}{folder.name}", depth=1).contents
            for label in inner:
                if label.type == "directory":
                    place = f"{folder.name}/{label.name}"
                    yield place, f"{root}{place}"


def _root(entry: Entry, names: Collection[str], path: str) -> tuple[str, Entry] | None:
    """Find the folder that holds ``names``, at the top of the bundle or deeper, and its path with a slash."""
    held = {each.name for each in entry.contents if each.type == "directory"}
    if held.issuperset(names):
        return path, entry
    inner = (_root(each, names, f"{path}{each.name}/") for each in entry.contents if each.type == "directory")
    return next((found for found in inner if found), None)
