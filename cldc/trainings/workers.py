"""Run a training that another machine has sent to this one, a worker.

A worker has cldc installed and its own data folder. It creates the TensorFlow environment once, receives each dataset once,
trains as `cldc preflight` does and returns its record, which is stored like one of a local training.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from cldc import __version__
from cldc.environments import ensure_tensorflow
from cldc.errors import EnvironmentFailed, InvalidDataset
from cldc.files import data_folder, hash_bytes, private_folder, storage_errors, temporary_folder
from cldc.inside.unpacking import Refused, unpack_zip
from cldc.preflight import result_store
from cldc.preflight.model import PreflightResult, Training
from cldc.preflight.pipeline import preflight
from cldc.preflight.workspace import read_unchanged
from cldc.progress import SILENT, Observer


@dataclass(frozen=True, slots=True)
class SentTraining:
    """A training as sent to a worker, without its images, which are sent separately.

    Attributes:
        training: The training, with the sender's paths.
        script: Content of the training script.
        builtin: Content of the competition's built-in script.
        force: Whether to train even if the worker has a record of the same training.
        version: The sender's version of cldc.
    """

    training: Training
    script: bytes
    builtin: bytes
    force: bool
    version: str = __version__

    @property
    def id(self) -> str:
        """The training's id in progress reports."""
        return hash_bytes("\0".join(self.training.key))[:16]


@dataclass(frozen=True, slots=True)
class Trained:
    """A worker's record, and the files beside it by name."""

    result: PreflightResult
    files: dict[str, bytes]


def train_sent(sent: SentTraining, dataset: bytes, label_book: bytes, observer: Observer = SILENT) -> Trained:
    """Train on a worker, with the worker's own data folder; the images of dataset and label book come as zips.

    Raises:
        EnvironmentFailed: It has another version of cldc, or can't install the competition's TensorFlow.
        CldcError: For the reasons of `preflight`.
    """
    if sent.version != __version__:
        raise EnvironmentFailed(
            f"A worker has cldc {__version__}, and this is cldc {sent.version}.",
            action="Install the same version on every worker.",
        )
    home = data_folder()
    environment = ensure_tensorflow(sent.training.competition.training.tensorflow, home, observer)
    with temporary_folder("cldc-received-") as folder:
        training = _unpack(sent, dataset, label_book, folder)
        result = preflight(training, environment=environment, home=home, observer=observer, force=sent.force)
    return Trained(result, result_store.files_of(home, result.id))


def _unpack(sent: SentTraining, dataset: bytes, label_book: bytes, folder: Path) -> Training:
    """Unpack a training into an empty folder; copying into the workspace later verifies the files' hashes."""
    report, competition = sent.training.report, sent.training.competition
    with storage_errors(folder):
        try:
            unpack_zip(io.BytesIO(dataset), str(folder / "dataset"))
            unpack_zip(io.BytesIO(label_book), str(folder / "label_book"))
        except Refused as error:
            raise InvalidDataset(
                f"{report.dataset.name} can't be unpacked on a worker: {error}.",
                action="Rename that file, or train here: leave --dask out.",
            ) from error
        script = folder / "script.py"
        script.write_bytes(sent.script)
        profile = private_folder(folder / "profile")
        builtin = profile / competition.training.builtin
        builtin.parent.mkdir(parents=True, exist_ok=True)
        builtin.write_bytes(sent.builtin)
    return Training(
        report=replace(report, dataset=replace(report.dataset, root=folder / "dataset")),
        script=replace(sent.training.script, path=script),
        label_book=replace(sent.training.label_book, root=folder / "label_book"),
        competition=replace(competition, folder=profile),
    )


def zip_files(files: Iterable[tuple[str, Path, str]]) -> bytes:
    """Zip files, given as name in the zip, path and required SHA-256.

    Raises:
        InvalidDataset: One has changed, or can't be read.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # stored without compression: images are compressed already
        for name, path, sha256 in files:
            archive.writestr(zipfile.ZipInfo(name), read_unchanged(path, sha256))
    return buffer.getvalue()
