"""Fill the training script's working folder with the layout it expects and a snapshot of the dataset, and check its images.

Files are copied, not linked: the script trains on the hashed content even if the dataset changes in between, and a script
that writes into its dataset does not touch the user's files.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cldc.errors import InvalidDataset, PreflightFailed
from cldc.files import hash_bytes, storage_errors
from cldc.preflight.model import Probe, Training
from cldc.process import Argument, CommandFailed, clean_environment, run
from cldc.progress import Observer

_INSIDE = Path(__file__).with_name("inside")
_READ_ONLY_FILE = 0o444
_READ_ONLY_FOLDER = 0o555
# Ten thousand images take half a minute; the limit leaves room for a heavily loaded machine.
_TIMEOUT_SECONDS = 1800
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder with images, and the Python that works in it.

    Attributes:
        root: The working directory.
        aside: A folder for what programs would write elsewhere: temporary files, Keras' settings.
        python: The interpreter, in an environment with TensorFlow.
        images: Every image, relative to ``root``, with slashes.
    """

    root: Path
    aside: Path
    python: Path
    images: tuple[str, ...]

    @property
    def env(self) -> dict[str, str]:
        """Environment variables for its programs, without any that change a training's numbers.

        `clean_environment` drops the variables that do; a ``keras.json`` in the user's home could change the order of an
        image's axes or the type of floats, so Keras gets another home.
        """
        path = os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)])
        folders = dict.fromkeys(("KERAS_HOME", "TMPDIR", "TEMP", "TMP"), str(self.aside))
        return clean_environment({"PATH": path, **folders})

    @property
    def log(self) -> Path:
        """The file with the script's whole output."""
        return self.aside / "output.log"

    def ask(self, program: str, *arguments: Argument) -> list[dict[str, Any]]:
        """Run a program of the folder ``inside`` on every image, and return the JSON objects that it prints, one a line.

        Raises:
            CommandFailed: It ended with an error.
            ProcessTimeout: It took longer than half an hour.
        """
        done = run(
            [self.python, _INSIDE / program, *arguments],
            text="\0".join(self.images),
            env={**self.env, "TF_CPP_MIN_LOG_LEVEL": "2"},
            timeout_seconds=_TIMEOUT_SECONDS,
        )
        found = []
        for line in done.stdout.splitlines():
            with contextlib.suppress(ValueError):  # a library's own print
                found.append(json.loads(line))
        return [each for each in found if isinstance(each, dict)]


def fill(root: Path, training: Training, python: Path, observer: Observer) -> Workspace:
    """Copy the script, and the files of dataset and label book that it reads, into the empty folder ``root``.

    Raises:
        InvalidDataset: An image has changed since validation, or the run already uses the dataset's name.
        StorageError: The disk is full.
    """
    dataset, label_book = training.report.dataset, training.label_book
    bundles = training.competition.bundles
    book = bundles.label_book.name
    taken = (book, bundles.script.name)  # beside the dataset, here and on CodaLab
    if dataset.name.casefold() in {name.casefold() for name in taken}:
        raise InvalidDataset(
            f"The dataset can't be called {dataset.name}: the run has its own {dataset.name}.",
            action="Give its folder another name.",
        )
    folders = [
        f"{dataset.name}/{dataset.name}/{s.name}/{label}" for s in dataset.splits for label in s.folders
    ]
    folders += [f"{book}/{book}/{label}" for label in label_book.folders]
    # Of each file its target in the workspace, its source and its SHA-256.
    contents = [
        (f"{dataset.name}/{dataset.name}/{image.path}", dataset.locate(image), image.sha256)
        for image in dataset.images
    ]
    contents += [
        (f"{book}/{book}/{path}", label_book.root / path, sha256) for path, sha256 in label_book.images
    ]
    workspace = Workspace(root, root / ".aside", python, tuple(target for target, _, _ in contents))
    with storage_errors(root):
        workspace.aside.mkdir()
        shutil.copyfile(training.script.path, root / bundles.script.name)
        for folder in folders:
            (root / folder).mkdir(parents=True, exist_ok=True)
        _copy(root, contents, observer)
        for top in {dataset.name, book}:
            for path, _, _ in os.walk(root / top, topdown=False):
                Path(path).chmod(_READ_ONLY_FOLDER)
    return workspace


def _copy(root: Path, contents: list[tuple[str, Path, str]], observer: Observer) -> None:
    observer.start("Copying images", len(contents), "images")
    made: set[str] = set()
    for done, (target, source, sha256) in enumerate(contents, 1):
        folder = target.rpartition("/")[0]
        if folder not in made:  # nested folders count as their class
            made.add(folder)
            (root / folder).mkdir(parents=True, exist_ok=True)
        data = read_unchanged(source, sha256)
        with open(f"{root}/{target}", "xb", opener=partial(os.open, mode=_READ_ONLY_FILE)) as file:
            file.write(data)
        if done % 256 == 0:
            observer.advance(done)


def read_unchanged(path: Path, sha256: str) -> bytes:
    """Read a file that must still have the content with that SHA-256.

    Raises:
        InvalidDataset: It has changed, or can't be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidDataset(
            f"{path} can't be read any more: {error.strerror or error}.",
            action="Make it readable and run the command again.",
        ) from error
    if hash_bytes(content) != sha256:
        raise InvalidDataset(
            f"{path} was changed after it was validated.",
            action="Wait until nothing writes to it, then run the command again.",
        )
    return content


def check_images(workspace: Workspace, observer: Observer) -> Probe:
    """Have TensorFlow read every image once: the script would fail late on a bad one, without naming it.

    Raises:
        PreflightFailed: It can't read one, or can't be loaded.
        ProcessTimeout: It takes longer than half an hour.
    """
    observer.start("Reading every image with TensorFlow", None, "images")
    began = time.monotonic()
    try:
        lines = workspace.ask("check_images.py", workspace.root)
    except CommandFailed as error:
        raise PreflightFailed(
            f"TensorFlow failed before it read the images:\n{error.message}",
            action="Run `cldc doctor`; `cldc env remove tensorflow` removes its environment, so that the next preflight creates it again.",
        ) from error
    # The workspace nests a folder in another of the same name; the user has only one.
    broken = [f"\n  {line['path'].partition('/')[2]}: {line['error']}" for line in lines if "error" in line]
    if broken:
        noun = "an image" if len(broken) == 1 else f"{len(broken)} images"
        more = f"\n  and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
        raise PreflightFailed(
            f"TensorFlow can't read {noun}; the training would stop there without naming it:{''.join(broken[:_SHOWN])}{more}",
            action="Replace or remove what is named above, then run the preflight again.",
        )
    answers = {key: value for line in lines for key, value in line.items()}
    if answers.get("read") != len(workspace.images):
        raise PreflightFailed(
            f"TensorFlow read {answers.get('read', 'none')} of {len(workspace.images)} images and ended.",
            action="Run the preflight again; `cldc doctor` checks its environment.",
        )
    return Probe(
        build=str(answers.get("build", "")),
        devices=tuple(answers.get("devices", ())),
        seconds=time.monotonic() - began,
    )
