"""Fill the training script's working folder with the layout it expects and a snapshot of the dataset.

Files are copied, not linked: the script trains on the hashed content even if the dataset changes meanwhile, and a script
that writes into its dataset does not touch the user's files.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cldc.competition import Competition
from cldc.errors import InvalidDataset
from cldc.files import hash_bytes, storage_errors
from cldc.preflight.model import Training
from cldc.process import clean_environment
from cldc.progress import Observer

_READ_ONLY_FILE = 0o444
_READ_ONLY_FOLDER = 0o555


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder with images, and the Python that works in it.

    Attributes:
        root: The working directory.
        aside: A folder for files that programs write elsewhere: temporary files, Keras' settings.
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


def fill(root: Path, training: Training, python: Path, observer: Observer) -> Workspace:
    """Copy the script, and the files of dataset and label book that it reads, into the empty folder ``root``.

    Raises:
        InvalidDataset: An image has changed since validation, or the run already uses the dataset's name.
        StorageError: No room.
    """
    dataset, label_book = training.report.dataset, training.label_book
    bundles = training.competition.bundles
    book = bundles.label_book.name
    require_own_name(dataset.name, training.competition)
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


def require_own_name(name: str, competition: Competition) -> None:
    """Require a dataset name that differs from label book and script, which are in one folder here and on CodaLab.

    Raises:
        InvalidDataset: One of the others has the name of the dataset.
    """
    taken = (competition.bundles.label_book.name, competition.bundles.script.name)
    if name.casefold() in {other.casefold() for other in taken}:
        raise InvalidDataset(
            f"The dataset can't be called {name}: the run has its own {name}.",
            action="Give its folder another name.",
        )


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
