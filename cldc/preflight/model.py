"""Trainings, their results, and the predictions of trained models."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from cldc.competition import Competition
from cldc.errors import CldcError
from cldc.files import hash_bytes
from cldc.validation import ValidationReport

Origin = Literal["competition", "built-in", "file"]


@dataclass(frozen=True, slots=True)
class Script:
    """A training script: its path, SHA-256 and source."""

    path: Path
    sha256: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class LabelBook:
    """A label book: class folders with images.

    Attributes:
        root: The folder that holds the class folders.
        images: Each image's path relative to ``root``, with slashes, and its SHA-256; sorted.
        folders: The class folders, those without images too.
        hash: Computed like a dataset's, over these paths and hashes.
    """

    root: Path
    images: tuple[tuple[str, str], ...]
    folders: tuple[str, ...]
    hash: str


@dataclass(frozen=True, slots=True)
class Training:
    """A training to run.

    Attributes:
        report: The dataset's validation, without errors.
        script: The training script.
        label_book: The images that the trained model predicts at the end.
        competition: The profile, with rules, command, seed and names.
    """

    report: ValidationReport
    script: Script
    label_book: LabelBook
    competition: Competition

    @property
    def key(self) -> tuple[str, ...]:
        """The part of the fingerprint that does not depend on the machine."""
        return (
            self.report.dataset.hash,
            self.label_book.hash,
            self.script.sha256,
            self.competition.run.command,
            self.competition.name,
            str(self.competition.training.epochs),
        )


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Everything that determines a preflight's numbers; the same fingerprint is not trained twice.

    Attributes:
        dataset: The dataset's identity.
        label_book: The label book's identity, computed in the same way.
        script: The script's SHA-256.
        command: The command that ran it, with the names of dataset and label book left open.
        competition: The profile's name.
        epochs: Number of epochs that the profile expects.
        tensorflow: TensorFlow's version; empty if only the run itself reports it.
        environment: The environment's identity: its packages' versions and hashes, or the image's name.
        python: The Python that ran it; empty in the same case.
        platform: Operating system and processor architecture; empty in the same case.
        device: ``cpu``, or ``gpu`` if one is visible.
        threads: Processors that the process may use; TensorFlow starts as many threads, and they change the numbers.
            0 in the same case.
        seed: The seed that the script sets, if it can be read from its source.
        server: Address of the CodaLab whose worker ran it; empty if this machine did.
    """

    dataset: str
    label_book: str
    script: str
    command: str
    competition: str
    epochs: int
    tensorflow: str
    environment: str
    python: str
    platform: str
    device: Literal["cpu", "gpu", "unknown"]
    threads: int
    seed: int | None = None
    server: str = ""

    @property
    def id(self) -> str:
        """The first 16 hexadecimal digits of its hash."""
        fields = dataclasses.asdict(self)
        if not self.server:
            del fields["server"]  # keeps ids from before remote runs existed
        return hash_bytes(json.dumps(fields, sort_keys=True))[:16]

    @property
    def key(self) -> tuple[str, ...]:
        """The part of the fingerprint that does not depend on the machine, equal to `Training.key`."""
        return (
            self.dataset,
            self.label_book,
            self.script,
            self.command,
            self.competition,
            str(self.epochs),
        )


@dataclass(frozen=True, slots=True)
class Score:
    """Loss, and accuracy from 0 to 1, of the model on a set of images."""

    loss: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """One finished epoch: losses, accuracies from 0 to 1, and how long it took (0 if not measured)."""

    number: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Probe:
    """What TensorFlow reported about the machine before training.

    Attributes:
        build: Its git version and compiler.
        devices: Every device it found, as ``CPU`` or ``GPU: NVIDIA A100``.
        seconds: How long loading TensorFlow and reading every image once took.
    """

    build: str
    devices: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class PreflightResult:
    """A finished preflight.

    Attributes:
        fingerprint: Dataset, script and environment of the training.
        dataset_name: Name of the training folder, or of the folder with the same images in the latest request.
        dataset_root: Path of that folder.
        other_names: Other names of folders with the same images, oldest first.
        images: Number of images of each split, and of the label book under its own name.
        classes: The class names that indices in ``predictions`` refer to.
        origin: Source of the script.
        faithful: Whether the environment trains what the competition trained.
        quick: Whether it was stopped after the first epoch; then it can't be submitted.
        started: The start time, in UTC, as ISO 8601.
        seconds: How long the script ran.
        peak_memory: Peak memory of the script's processes in bytes; 0 if it could not be measured.
        validation: On the validation split, with the best epoch's weights.
        label_book: On the label book, with the same weights; None where ``quick``.
        untrained: On the validation split before training, if the script prints it.
        predictions: A class index for each image of the label book, as written by the script.
        history: The epochs.
        best_epoch: The epoch whose weights were kept, from 1; 0 if the script prints none.
        probe: TensorFlow's report about the machine.
        warnings: Reasons to doubt the result, as sentences.
        log: The script's whole output.
        recorded: Whether this is an earlier result rather than a new training.
        run: Uuid of the run on the fingerprint's server, possibly removed since; empty for a run on this machine.
        dataset_changed: How the folder differs from the trained dataset, as a sentence; empty if it does not, and in
            records.
    """

    fingerprint: Fingerprint
    dataset_name: str
    dataset_root: str
    images: Mapping[str, int]
    classes: tuple[str, ...]
    origin: Origin
    faithful: bool
    quick: bool
    started: str
    seconds: float
    peak_memory: int
    validation: Score
    label_book: Score | None
    untrained: Score | None
    predictions: tuple[int, ...]
    history: tuple[Epoch, ...]
    best_epoch: int
    probe: Probe
    warnings: tuple[str, ...]
    log: str
    recorded: bool = False
    run: str = ""
    dataset_changed: str = ""
    other_names: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Number of images in all splits, without the label book, which comes last in ``images``."""
        return sum([*self.images.values()][:-1])

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that folders with these images had."""
        return (*self.other_names, self.dataset_name)

    @property
    def id(self) -> str:
        """The fingerprint's id, with a suffix for a quick preflight."""
        return self.fingerprint.id + ("-quick" if self.quick else "")

    @property
    def trained_with(self) -> str:
        """TensorFlow, Python and machine, in a line."""
        used = self.fingerprint
        if used.server:
            return f"{self.probe.build} on {used.server}"
        return f"TensorFlow {used.tensorflow} on Python {used.python}, {used.device}, {used.threads} threads"

    @property
    def complete(self) -> bool:
        """Whether it trained for as many epochs as the profile requires, so that `submit` may rely on it."""
        # A script that prints no epochs is trusted.
        return not self.quick and (not self.history or self.history[-1].number >= self.fingerprint.epochs)


Outcome = PreflightResult | CldcError
"""The outcome of a training: its result, or the reason why there is none."""


def require_results(outcomes: Iterable[Outcome]) -> list[PreflightResult]:
    """Return the results, if every training has one.

    Raises:
        CldcError: The reason of the first training without a result.
    """
    results = []
    for outcome in outcomes:
        if isinstance(outcome, CldcError):
            raise outcome
        results.append(outcome)
    return results


@dataclass(frozen=True, slots=True)
class ImagePrediction:
    """An image of a preflight and the model's prediction for it.

    Attributes:
        split: Its split, or the label book's name.
        path: Relative to the dataset, or to the label book, with slashes.
        sha256: SHA-256 of its content.
        label: Index of its labelled class.
        probabilities: The model's probability for each class; empty if unknown.
    """

    split: str
    path: str
    sha256: str
    label: int
    probabilities: tuple[float, ...] = ()

    @property
    def predicted(self) -> int:
        """Index of the most probable class, the first of several.

        Raises:
            ValueError: It is not known.
        """
        return self.probabilities.index(max(self.probabilities))

    @property
    def misclassified(self) -> bool:
        """Whether the model predicts a class other than the label."""
        return bool(self.probabilities) and self.predicted != self.label


@dataclass(frozen=True, slots=True)
class ModelPredictions:
    """The images of a preflight, split by split, and the model's predictions for them.

    Attributes:
        classes: The class names that indices refer to.
        images: Every image of the dataset and of the label book.
        why_not: Why no probabilities are known; empty if they are.
    """

    classes: tuple[str, ...]
    images: tuple[ImagePrediction, ...]
    why_not: str = ""

    @property
    def known(self) -> bool:
        """Whether probabilities are known."""
        return not self.why_not

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits in order, the label book last."""
        return tuple(dict.fromkeys(image.split for image in self.images))

    def of(self, split: str) -> tuple[ImagePrediction, ...]:
        """Return the images of one split."""
        return tuple(image for image in self.images if image.split == split)

    def with_probabilities(self, rows: Sequence[Sequence[float]]) -> ModelPredictions:
        """Return a copy with a row of probabilities for each image, in order."""
        pairs = zip(self.images, rows, strict=True)
        images = tuple(replace(image, probabilities=tuple(row)) for image, row in pairs)
        return replace(self, images=images, why_not="")
