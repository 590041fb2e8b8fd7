"""A competition's profile as the plan that the organiser's program carries out on a CodaLab."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cldc import process
from cldc.errors import ConfigurationError, SandboxError
from cldc.files import private_folder, replace_atomically, storage_errors, template
from cldc.progress import SILENT, Observer
from cldc.sandbox.places import INSIDE, Account, Seed, read_json

if TYPE_CHECKING:
    from cldc.competition import Competition, Organiser, Reference

TEST_KEY = "test"  # what the evaluation command calls the hidden test set
_SEED_SECONDS = 900


def seed(
    address: str,
    organiser: Account,
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
        replace: Whether a bundle whose contents differ is removed and made anew. Only for a sandbox.

    Returns:
        ``worksheets`` and ``bundles``, each from its key to its uuid; ``created``, the keys of what was not there.

    Raises:
        ConfigurationError: The profile has no organiser's side.
        SandboxError: The server refused, or holds something else under these names.
    """
    plan = make_plan(address, organiser, competition, materials, folder=folder, replace=replace)
    private_folder(folder)
    replace_atomically(folder / "plan.json", json.dumps(plan, indent=2))
    command: list[process.Argument] = [
        python,
        INSIDE / "seed.py",
        address,
        folder / "plan.json",
        folder / "seed.json",
    ]
    credentials = {"CODALAB_USERNAME": organiser.name, "CODALAB_PASSWORD": organiser.password}
    observer.start(f"Putting {competition.name} on CodaLab", len(plan["worksheets"]) + len(plan["bundles"]))
    env = process.clean_environment({**credentials, **_direct(address)})
    with process.stream(command, env=env, timeout_seconds=_SEED_SECONDS) as child:
        for number, line in enumerate(child):
            if line.startswith("{"):
                observer.advance(number, json.loads(line)["step"])
    if child.returncode:
        raise SandboxError(
            f"The competition {competition.name} can't be put on {address}: {child.tail.strip() or 'no reason given'}",
            action="Mend that and run the command again; what is there already is kept.",
        )
    result: dict[str, Any] = read_json(folder / "seed.json")
    replace_atomically(folder / "competition.json", json.dumps(result["daemon"], indent=2))
    return result


def make_plan(
    address: str,
    organiser: Account,
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
    side = competition.organiser
    if side is None:
        raise ConfigurationError(
            f"The profile {competition.name} has no [organiser] table, so that nothing could be scored.",
            action="Add one; the profile data-centric-2021 shows what belongs in it.",
        )
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
        "daemon": _daemon(address, organiser, competition, side),
    }


def _named(reference: Reference) -> Mapping[str, Any]:
    return {"name": reference.name, "uuid": reference.uuid}


def _bundle(
    key: str, worksheet: str, reference: Reference, path: Path, description: str, *, top: str | None = None
) -> dict[str, Any]:
    found = path.is_dir() if top else path.is_file()
    if not found:
        raise SandboxError(
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


def _daemon(address: str, organiser: Account, competition: Competition, side: Organiser) -> dict[str, Any]:
    """Configuration of CodaLab's `cl-competitiond`; "@KEY" stands for a uuid, "{predict}" is the daemon's own.

    Evaluations ask for the image that trains: the order of the predictions is that of its TensorFlow.
    """
    tag, image = competition.submission.tag, competition.run.image
    parents = {
        side.evaluate.name: "@evaluate",
        competition.run.predictions: "{predict}",
        TEST_KEY: "@test_set",
    }
    return {
        "host": address,
        "username": organiser.name,
        "submission_tag": tag,
        "log_worksheet_uuid": "@log",
        "max_submissions_per_period": side.per_window,
        "max_submissions_total": side.total,
        "quota_period_seconds": side.window_seconds,
        "allow_multiple_models": competition.submission.supersedes == "name",
        "make_predictions_public": False,
        "predict": {"tag": f"predict-{tag}", "mimic": [{"old": "@label_book", "new": "@test_set"}]},
        "evaluate": {
            "tag": f"eval-{tag}",
            "command": side.evaluate_command.format(predictions=competition.run.predictions),
            "dependencies": [{"child_path": key, "parent_uuid": parent} for key, parent in parents.items()],
            "metadata": {"request_docker_image": image},
        },
        "score_specs": [{"name": side.score.name, "key": side.score.path}],
        "metadata": {"name": competition.title},
    }


def _evaluate_script(competition: Competition, name: str, folder: Path) -> Path:
    """The script beside the profile, else ours with the profile's classes in place of its own."""
    if competition.folder is not None and (competition.folder / name).is_file():
        return competition.folder / name
    source = template("scripts", "evaluate.py")
    with storage_errors(source):
        lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    classes = f"CLASSES = {json.dumps(competition.dataset.classes)}\n"
    text = "".join(classes if line.startswith("CLASSES = ") else line for line in lines)
    path = private_folder(folder) / "evaluate.py"
    replace_atomically(path, text)
    return path


def _direct(address: str) -> dict[str, str]:
    """No proxy on the way to this machine."""
    return {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"} if "//127.0.0.1" in address else {}
