"""Train on other machines: send datasets to workers and store the records that they return.

A worker has cldc installed and its own data folder. It creates the TensorFlow environment once, receives each dataset once,
trains as `cldc preflight` does and returns its record, which is stored like one of a local training.
"""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass
from pathlib import Path

from cldc import __version__
from cldc.competition import Competition
from cldc.environments import ensure_tensorflow
from cldc.errors import EnvironmentFailed, InvalidDataset
from cldc.files import (
    data_folder,
    hash_bytes,
    private_folder,
    replace_atomically,
    storage_errors,
    temporary_folder,
)
from cldc.inside.unpacking import Refused, unpack_zip
from cldc.preflight import records
from cldc.preflight.model import LabelBook, PreflightResult, Script, Training
from cldc.preflight.pipeline import preflight
from cldc.preflight.scripts_and_label_books import builtin_script
from cldc.preflight.workspace import read_unchanged
from cldc.progress import SILENT, Observer
from cldc.trainings.model import Trainer
from cldc.validation import ValidationReport


@dataclass(frozen=True, slots=True)
class SentDataset:
    """A valid dataset, and its images as a zip."""

    report: ValidationReport
    zipped: bytes


@dataclass(frozen=True, slots=True)
class SentLabelBook:
    """A label book, and its images as a zip."""

    label_book: LabelBook
    zipped: bytes


@dataclass(frozen=True, slots=True)
class Work:
    """A training without its images.

    Attributes:
        id: The training's id, for progress reports.
        script: The training script; ``content`` is what is in it.
        builtin: Content of the competition's built-in script.
        force: Whether to train even if the worker has a record of the same training.
        version: The sender's version of cldc.
    """

    id: str
    script: Script
    content: bytes
    builtin: bytes
    competition: Competition
    force: bool
    version: str = __version__


@dataclass(frozen=True, slots=True)
class Trained:
    """A worker's record, and the files beside it by name."""

    result: PreflightResult
    files: dict[str, bytes]


def train_sent(
    work: Work, dataset: SentDataset, label_book: SentLabelBook, observer: Observer = SILENT
) -> Trained:
    """Train on a worker, with the worker's own data folder.

    Raises:
        EnvironmentFailed: It has another version of cldc, or can't install the competition's TensorFlow.
        CldcError: As in `preflight`.
    """
    if work.version != __version__:
        raise EnvironmentFailed(
            f"A worker has cldc {__version__}, and this is cldc {work.version}.",
            action="Install the same version on every worker.",
        )
    home = data_folder()
    environment = ensure_tensorflow(work.competition.training.tensorflow, home, observer)
    with temporary_folder("cldc-received-") as folder:
        training = _unpack(work, dataset, label_book, folder)
        result = preflight(training, environment=environment, home=home, observer=observer, force=work.force)
    return Trained(result, records.files_of(home, result.id))


def _unpack(work: Work, dataset: SentDataset, label_book: SentLabelBook, folder: Path) -> Training:
    """Unpack a training into an empty folder; copying into the workspace later verifies the files' hashes."""
    with storage_errors(folder):
        try:
            unpack_zip(io.BytesIO(dataset.zipped), str(folder / "dataset"))
            unpack_zip(io.BytesIO(label_book.zipped), str(folder / "label_book"))
        except Refused as error:
            raise InvalidDataset(
                f"{dataset.report.dataset.name} can't be unpacked on a worker: {error}.",
                action="Rename that file, or train here: leave --dask out.",
            ) from error
        script = folder / "script.py"
        script.write_bytes(work.content)
        profile = private_folder(folder / "profile")
        builtin = profile / work.competition.training.builtin
        builtin.parent.mkdir(parents=True, exist_ok=True)
        builtin.write_bytes(work.builtin)
    report = dataset.report
    return Training(
        report=dataclasses.replace(
            report, dataset=dataclasses.replace(report.dataset, root=folder / "dataset")
        ),
        script=dataclasses.replace(work.script, path=script),
        label_book=dataclasses.replace(label_book.label_book, root=folder / "label_book"),
        competition=dataclasses.replace(work.competition, folder=profile),
    )


class WorkerTrainer(Trainer):
    """Trains in an executor whose workers don't share this machine's disk."""

    threads = None

    def __init__(
        self,
        executor: Executor,
        home: Path,
        *,
        where: str,
        at_once: int = 1,
        run: Callable[..., Trained] = train_sent,
        share: Callable[[str, object], object] = lambda _, sent: sent,
        lost: tuple[type[BaseException], ...] = (BrokenExecutor,),
    ) -> None:
        """Use an executor.

        Args:
            run: The worker's function: `train_sent`, or a wrapper around it.
            share: Shares data that many trainings need, by hash; returns an argument for the executor.
        """
        self.where = where
        self.at_once = at_once
        self.lost = lost
        self._executor = executor
        self._home = home
        self._run = run
        self._share = share
        self._shared: dict[str, object] = {}
        self._futures: list[Future[Trained]] = []

    def submit(self, training: Training, observer: Observer, *, force: bool) -> Future[Trained]:
        """As `Trainer.submit`."""
        dataset, book = training.report.dataset, training.label_book
        work = Work(
            id=self.id_of(training),
            script=training.script,
            content=training.script.path.read_bytes(),
            builtin=builtin_script(training.competition).path.read_bytes(),
            competition=training.competition,
            force=force,
        )
        shared = self._shared
        if dataset.hash not in shared:
            zipped = _zip((i.path, dataset.locate(i), i.sha256) for i in dataset.images)
            shared[dataset.hash] = self._share(dataset.hash, SentDataset(training.report, zipped))
        if book.hash not in shared:
            zipped = _zip((path, book.root / path, sha256) for path, sha256 in book.images)
            shared[book.hash] = self._share(book.hash, SentLabelBook(book, zipped))
        future: Future[Trained] = self._executor.submit(
            self._run, work, shared[dataset.hash], shared[book.hash]
        )
        self._futures.append(future)
        return future

    @staticmethod
    def id_of(training: Training) -> str:
        """The id that a worker uses for the training in progress reports."""
        return hash_bytes("\0".join(training.key))[:16]

    def result(self, training: Training, future: Future[Trained]) -> PreflightResult:
        """As `Trainer.result`."""
        trained, dataset = future.result(), training.report.dataset
        folder = records.folder(self._home)
        for name, content in trained.files.items():
            path = folder / Path(name)
            private_folder(path.parent)
            replace_atomically(path, content)
        result = dataclasses.replace(
            trained.result,
            dataset_name=dataset.name,
            dataset_root=str(dataset.root),
            log=str(folder / f"{trained.result.id}.log"),
            recorded=False,
            dataset_changed="",
        )
        records.save(self._home, result)
        return result

    def stop(self) -> None:
        """As `Trainer.stop`."""
        for future in self._futures:
            future.cancel()
        self._executor.shutdown(wait=False)


def _zip(files: Iterable[tuple[str, Path, str]]) -> bytes:
    """Zip files, given as name in the zip, path and required SHA-256.

    Raises:
        InvalidDataset: One has changed, or can't be read.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # stored without compression: images are compressed already
        for name, path, sha256 in files:
            archive.writestr(zipfile.ZipInfo(name), read_unchanged(path, sha256))
    return buffer.getvalue()
