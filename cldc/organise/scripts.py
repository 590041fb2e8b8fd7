"""A competition's scripts: the options of the built-in training, and the class's own scripts beside its profile."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

from cldc.competition import Competition, file_beside, load
from cldc.errors import ConfigurationError
from cldc.files import hash_file, private_folder, replace_atomically, storage_errors
from cldc.resources import template

_BUILTIN_SCRIPT = "train.py"
# Options of the built-in script in the run's command, where a profile's dataset is not the one of 2021.
_RULE_OPTIONS = re.compile(r" --(?:classes|image-size|splits|batch|most-images)=(?:'[^']*'|[^\s'])+")
_EPOCHS_OPTION = re.compile(r" --epochs[ =]([0-9]+)")
# A folder name that means itself in a command, with a shell (on CodaLab) and without one (here).
_ARGUMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+ -]*")
_COPIED = "script.sha256"  # keeps the hash of the training script that was copied beside the profile
_SMALLEST_SIDE = 32  # what the built-in script's convolutions need


def is_builtin(script: Path) -> bool:
    """Check whether a script is the one that comes with cldc.

    Raises:
        StorageError: It can't be read.
    """
    with storage_errors(script):
        return hash_file(script) == hash_file(template("scripts", _BUILTIN_SCRIPT))


def with_builtin_options(competition: Competition, *, epochs: int | None = None) -> Competition:
    """Add to the run's command the built-in script's options: classes, splits, image size, batch, limit, epochs.

    Args:
        epochs: Epochs to train; None takes those that the command gives, else the profile's.

    Raises:
        ConfigurationError: A class or a split has a name that can't stand in a command, or the images are too small.
    """
    rules, known = competition.dataset, load()
    for name in (*rules.classes, *rules.splits):
        if not _ARGUMENT.fullmatch(name):
            raise ConfigurationError(
                f"The built-in script can't be given the folder name {name!r}: it is an option in the run's command.",
                action="Rename it in letters, digits and _ . + -, or bring a script of your own with --script.",
            )
    if min(rules.image_size) < _SMALLEST_SIDE:
        raise ConfigurationError(
            f"The built-in script can't train on images of {rules.image_size[0]} x {rules.image_size[1]} pixels.",
            action=f"Take {_SMALLEST_SIDE} or more with --image-size, or bring a script of your own with --script.",
        )
    command = _RULE_OPTIONS.sub("", competition.run.command)
    given = _EPOCHS_OPTION.search(command)
    epochs = epochs or (int(given[1]) if given else competition.training.epochs)
    command = _EPOCHS_OPTION.sub("", command)
    options = {
        "classes": (rules.classes, known.dataset.classes),
        "splits": (rules.splits, known.dataset.splits),
        "image-size": (rules.image_size, known.dataset.image_size),
        "batch": ((rules.batch,), (known.dataset.batch,)),
        "most-images": ((rules.max_padded,), (known.dataset.max_padded,)),
    }
    for option, (values, default) in options.items():
        if values != default:
            command += f" --{option}={shlex.quote(','.join(map(str, values)))}"
    if epochs != known.training.epochs:
        command += f" --epochs {epochs}"
    training = replace(competition.training, epochs=epochs)
    if training.builtin != _BUILTIN_SCRIPT:  # the class had a script of its own before
        usual = known.training
        training = replace(
            training, builtin=usual.builtin, checkpoint=usual.checkpoint, seed_option=usual.seed_option
        )
    return replace(competition, run=replace(competition.run, command=command), training=training)


def without_builtin_options(command: str) -> str:
    """Return a run's command without the options that only the built-in script has."""
    return _EPOCHS_OPTION.sub("", _RULE_OPTIONS.sub("", command))


def require_replaceable_copy(script: Path, path: Path, folder: Path) -> None:
    """Refuse to replace a file beside the profile at ``path`` by ``script``, unless it is our unchanged copy of a script.

    Args:
        folder: The competition's folder, which keeps the copy's hash.

    Raises:
        ConfigurationError: The file was edited, or is not our copy.
        StorageError: A file can't be read.
    """
    beside, record = _beside(script, path), folder / _COPIED
    with storage_errors(beside):
        if not beside.is_file() or hash_file(beside) == hash_file(script):
            return
        if record.is_file() and record.read_text(encoding="utf-8") == hash_file(beside):
            return
    raise ConfigurationError(
        f"{beside} differs from {script}, and is not the copy that this command put there.",
        action=f"Use it with --script {beside}, or move it away to use {script}.",
    )


def _beside(script: Path, path: Path) -> Path:
    """Return the script's path beside the profile at ``path``; one from elsewhere gets the profile's name."""
    return script if script.absolute().parent == path.absolute().parent else path.with_suffix(script.suffix)


def with_own_script(
    competition: Competition, script: Path, path: Path, folder: Path, *, new: bool
) -> Competition:
    """Return the profile at ``path`` with the class's own script, and copy that beside the profile if it is elsewhere.

    The built-in script's checkpoint and seed option are dropped; those that an organiser has added since for this script stay.

    Args:
        folder: The competition's folder, which keeps the copy's hash.
        new: Whether the profile is written for the first time.

    Raises:
        StorageError: The script can't be read, or its copy written.
    """
    beside = _beside(script, path)
    if beside != script:
        with storage_errors(beside):
            beside.parent.mkdir(parents=True, exist_ok=True)
            replace_atomically(beside, script.read_bytes(), mode=0o644)
            replace_atomically(folder / _COPIED, hash_file(beside))
    training = competition.training
    if new or training.builtin != beside.name:
        training = replace(training, builtin=beside.name, checkpoint=None, seed_option=None)
    return replace(competition, training=training)


def keep_evaluation(competition: Competition, script: Path, path: Path, *, overwrite: bool) -> None:
    """Put the class's evaluation script beside the profile at ``path``, where every command looks for it.

    Args:
        overwrite: Whether it may replace another script of that name.

    Raises:
        ConfigurationError: Another script of that name is there.
        StorageError: The script can't be read, or its copy written.
    """
    beside = path.absolute().parent / competition.require_organiser().evaluate.name
    with storage_errors(script):
        content = script.read_bytes()
    with storage_errors(beside):
        before = beside.read_bytes() if beside.is_file() else None
        beside.parent.mkdir(parents=True, exist_ok=True)
    if before not in (None, content) and not overwrite:
        raise ConfigurationError(
            f"{beside} is there already and differs from {script}.",
            action="Give the profile a folder of its own, or use the new script with --replace.",
        )
    if before != content:
        replace_atomically(beside, content, mode=0o644)


def evaluation_script(competition: Competition, folder: Path) -> Path:
    """Find the evaluation script beside the profile, or write ours with the profile's classes to ``folder``.

    Raises:
        ConfigurationError: The profile has no [organiser] table.
        StorageError: The script can't be written.
    """
    if (beside := file_beside(competition, competition.require_organiser().evaluate.name)) is not None:
        return beside
    source = template("scripts", "evaluate.py")
    with storage_errors(source):
        lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    classes = f"CLASSES = {json.dumps(competition.dataset.classes)}\n"
    text = "".join(classes if line.startswith("CLASSES = ") else line for line in lines)
    path = private_folder(folder) / "evaluate.py"
    replace_atomically(path, text)
    return path
