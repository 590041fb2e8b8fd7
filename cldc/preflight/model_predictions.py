"""The images of a preflight and the class probabilities that its model predicts, stored beside the record."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cldc.files import replace_atomically

# Incremented when the format changes so that older files can't be read.
_FORMAT = 1


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
        """The images of one split."""
        return tuple(image for image in self.images if image.split == split)

    def with_probabilities(self, rows: Sequence[Sequence[float]]) -> ModelPredictions:
        """A copy with a row of probabilities for each image, in order."""
        pairs = zip(self.images, rows, strict=True)
        images = tuple(replace(image, probabilities=tuple(row)) for image, row in pairs)
        return replace(self, images=images, why_not="")


def predictions_path(home: Path, identity: str) -> Path:
    """The file of a preflight's predictions."""
    return home / "preflights" / f"{identity}.learned.json.gz"


def save(home: Path, identity: str, predictions: ModelPredictions) -> None:
    """Store predictions, replacing earlier ones of the same id.

    Raises:
        StorageError: It can't be written.
    """
    table = {
        "format": _FORMAT,
        "classes": predictions.classes,
        "why_not": predictions.why_not,
        "images": [[i.split, i.path, i.sha256, i.label, i.probabilities] for i in predictions.images],
    }
    # Without a timestamp, so that the same content gives the same bytes.
    replace_atomically(
        predictions_path(home, identity),
        gzip.compress(json.dumps(table, separators=(",", ":")).encode(), mtime=0),
    )


def read(home: Path, identity: str) -> ModelPredictions | None:
    """Read the predictions of the preflight with that id; None if this version can read none."""
    try:
        table: dict[str, Any] = json.loads(gzip.decompress(predictions_path(home, identity).read_bytes()))
        if table["format"] != _FORMAT:
            return None
        images = tuple(
            ImagePrediction(split, path, sha256, label, tuple(probabilities))
            for split, path, sha256, label, probabilities in table["images"]
        )
        return ModelPredictions(tuple(table["classes"]), images, table["why_not"])
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError):
        return None
