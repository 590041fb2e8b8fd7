"""A competition's profile as the plan that the organiser's program carries out on a CodaLab."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cldc import process
from cldc.competition import file_beside
from cldc.errors import CodaLabError, StorageError
from cldc.files import private_folder, replace_atomically, storage_errors
from cldc.organise.daemon import configuration, environment, organiser_of
from cldc.organise.model import INSIDE, Seed, daemon_file, read_json
from cldc.progress import SILENT, Observer
from cldc.resources import template

if TYPE_CHECKING:
    from cldc.competition import Competition, Reference
    from cldc.credentials import Credentials

_SEED_SECONDS = 3600
# The server's uuids, which `inside/seed.py` knows once everything is there.
_FILLED_IN = {key: f"@{key}" for key in ("log", "label_book", "test_set", "evaluate")}


def seed(
    address: str,
    organiser: Credentials,
    competition: Competition,
    materials: Seed,
    *,
    folder: Path,
    python: Path,
    replace: bool = False,
    observer: Observer = SILENT,
) -> dict[str, Any]:
    """Put the competition on the CodaLab at ``address`` as ``organiser``; what is there and right is kept.

    Args:
        folder: Keeps the plan, what came of it (``seed.json``) and the daemon's configuration (``competition.json``).
        python: Any Python from 3.8 on; it needs no library.
        replace: Whether a bundle whose contents differ is removed and made anew, and with it what was made from it.

    Returns:
        ``worksheets`` and ``bundles``, each from its key to its uuid; ``created``, the keys of what was not there.

    Raises:
        ConfigurationError: The profile has no organiser's side.
        StorageError: There is no such file or folder.
        CodaLabError: The server refused, or holds something else under these names.
    """
    plan = make_plan(address, organiser.username, competition, materials, folder=folder, replace=replace)
    private_folder(folder)
    replace_atomically(folder / "plan.json", json.dumps(plan, indent=2))
    observer.start(f"Putting {competition.name} on CodaLab", len(plan["worksheets"]) + len(plan["bundles"]))
    if failed := _carried_out(address, organiser, folder, python, observer):
        raise CodaLabError(
            f"The competition {competition.name} can't be put on {address}: {failed}",
            action="Mend that and run the command again; what is there already is kept.",
        )
    result: dict[str, Any] = read_json(folder / "seed.json")
    replace_atomically(daemon_file(folder), json.dumps(result["daemon"], indent=2))
    return result


def _carried_out(
    address: str, organiser: Credentials, folder: Path, python: Path, observer: Observer
) -> str | None:
    """Run the organiser's program on the plan in ``folder``; why it failed, or None."""
    command: list[process.Argument] = [
        python,
        INSIDE / "seed.py",
        address,
        folder / "plan.json",
        folder / "seed.json",
    ]
    env = environment(address, organiser)
    with process.stream(command, env=env, timeout_seconds=_SEED_SECONDS) as child:
        for number, line in enumerate(child):
            if line.startswith("{"):
                observer.advance(number, json.loads(line)["step"])
    if not child.returncode:
        return None
    said = child.tail.strip().splitlines()
    return said[-1] if said else "no reason given"


def make_plan(
    address: str,
    username: str,
    competition: Competition,
    materials: Seed,
    *,
    folder: Path,
    replace: bool,
) -> dict[str, Any]:
    """What `inside/seed.py` takes, as plain data.

    Raises:
        ConfigurationError: The profile has no organiser's side.
    """
    side = organiser_of(competition)
    book = competition.bundles.label_book.name
    evaluate = materials.evaluate or _evaluate_script(competition, side.evaluate.name, folder)
    bundles = [
        _bundle("script", "utils", competition.bundles.script, materials.script, "Training script"),
        _bundle(
            "label_book",
            "utils",
            competition.bundles.label_book,
            materials.label_book,
            "Label book",
            top=book,
        ),
        # It takes the label book's place in the mimicked runs, so that its one folder has the same name.
        _bundle("test_set", "log", side.test_set, materials.test_set, "Hidden test set", top=book),
        _bundle("evaluate", "log", side.evaluate, evaluate, "Evaluation script"),
    ]
    start = competition.bundles.starting_dataset
    if materials.starting_dataset is not None and start is not None:
        bundles.insert(
            2, _bundle("data", "utils", start, materials.starting_dataset, "Starting dataset", top=start.name)
        )
    return {
        "replace": replace,
        "worksheets": [
            {"key": "utils", **_named(competition.bundles.worksheet), "public": True},
            {"key": "log", **_named(side.log_worksheet), "public": False},
        ],
        "bundles": bundles,
        "daemon": configuration(address, username, competition, _FILLED_IN),
    }


def _named(reference: Reference) -> Mapping[str, Any]:
    return {"name": reference.name, "uuid": reference.uuid}


def _bundle(
    key: str, worksheet: str, reference: Reference, path: Path, description: str, *, top: str | None = None
) -> dict[str, Any]:
    found = path.is_dir() if top else path.is_file()
    if not found:
        raise StorageError(
            f"There is no {'folder' if top else 'file'} {path} for the bundle {reference.name}.",
            action="Check the path.",
        )
    return {
        "key": key,
        "worksheet": worksheet,
        **_named(reference),
        "path": str(path.resolve()),
        "top": top,
        "public": worksheet == "utils",
        "description": description,
    }


def _evaluate_script(competition: Competition, name: str, folder: Path) -> Path:
    """The script beside the profile, else ours with the profile's classes in place of its own."""
    if (beside := file_beside(competition, name)) is not None:
        return beside
    source = template("scripts", "evaluate.py")
    with storage_errors(source):
        lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    classes = f"CLASSES = {json.dumps(competition.dataset.classes)}\n"
    text = "".join(classes if line.startswith("CLASSES = ") else line for line in lines)
    path = private_folder(folder) / "evaluate.py"
    replace_atomically(path, text)
    return path
