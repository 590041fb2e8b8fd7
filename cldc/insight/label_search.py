"""Find suspicious labels in a separate environment, and cache the result.

numpy and scipy are too heavy for cldc itself, and too new for the Python that trains.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from cldc import inside
from cldc.dataset import Dataset, Image
from cldc.environments import Environment, ensure_analysis
from cldc.environments.analysis import analyse
from cldc.errors import InvalidDataset
from cldc.files import hash_bytes, private_folder, replace_atomically
from cldc.progress import SILENT, Observer
from cldc.resources import template

_INSIDE = Path(__file__).with_name("inside")
# Fewer images don't show what is usual in a class.
_LEAST_IMAGES = 50
# A share of the median drawing's evidence for any class.
_ILLEGIBLE = 0.45
_LIKELY = 3


class LabelProblem(StrEnum):
    """The reason why an image's label is suspicious."""

    OTHER_CLASS = "other-class"
    """It looks like another class."""
    AMBIGUOUS = "ambiguous"
    """It looks no more like one class than like another."""
    ILLEGIBLE = "illegible"
    """It looks like no class."""
    BLANK = "blank"
    """It has no ink."""


@dataclass(frozen=True, slots=True)
class RankedLabel:
    """An image and how well its label fits, as predicted from other images only.

    Attributes:
        rank: 1 for the most suspicious image of the dataset.
        path: The image, relative to the dataset, with slashes.
        sha256: SHA-256 of its content.
        label: The class it is labelled as.
        suggestion: The most probable class besides the label; empty if the image has no ink.
        probability: Probability of the suggestion, 0 to 1.
        fit: Probability of the label, 0 to 1.
        wrong: Probability that the label is wrong, 0 to 1, given how many labels of the dataset seem to be wrong. An
            image that is hard to read has a low fit, although its label may be right.
        problem: The reason for suspicion; None if there is none.
        likely: Up to three classes, the most probable first.
    """

    rank: int
    path: str
    sha256: str
    label: str
    suggestion: str
    probability: float
    fit: float
    wrong: float
    problem: LabelProblem | None
    likely: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabelReport:
    """All labels of a dataset, the most suspicious first.

    Attributes:
        classes: The competition's classes.
        images: Every image in a class folder that can be read.
        noise: The estimated share of wrong labels, 0 to 1. Drawings that are merely hard to tell apart don't raise it.
        unreadable: Paths of images that can't be read.
    """

    classes: tuple[str, ...]
    images: tuple[RankedLabel, ...]
    noise: float
    unreadable: tuple[str, ...] = ()

    @property
    def suspicious(self) -> tuple[RankedLabel, ...]:
        """The images with a problem."""
        return tuple(image for image in self.images if image.problem)

    def expected_wrong(self, depth: int | None = None) -> float:
        """Return how many wrong labels to expect among the first ``depth`` images, or among all."""
        return sum(image.wrong for image in self.images[:depth])

    def without(self, contents: Container[str]) -> LabelReport:
        """Return the report without the images of these SHA-256, ranked again."""
        left = (image for image in self.images if image.sha256 not in contents)
        return replace(self, images=tuple(replace(image, rank=rank) for rank, image in enumerate(left, 1)))

    def depth(self, share: float) -> int:
        """Return the largest rank up to which at least this share of labels is expected to be wrong."""
        expected, deepest = 0.0, 0
        for count, image in enumerate(self.images, 1):
            expected += image.wrong
            if expected >= share * count:
                deepest = count
        return deepest


def find_suspicious_labels(
    dataset: Dataset, classes: Sequence[str], *, home: Path, observer: Observer = SILENT
) -> LabelReport:
    """Rank the labels of a dataset by how suspicious they are, or read the cached result.

    It takes about 15 seconds for 3,000 images; the first time, creating the environment takes a minute or two.

    Args:
        dataset: The dataset; its files must not have changed since it was read.
        classes: The competition's classes; images in other folders are left out.

    Raises:
        InvalidDataset: There are too few images to learn from.
        EnvironmentFailed: The environment can't be created.
        ProcessFailed: The search failed.
        StorageError: The result can't be stored.
    """
    if (found := known_suspicious_labels(dataset, classes, home=home)) is not None:
        return found
    images = _labelled(dataset, classes)
    if len(images) < _LEAST_IMAGES:
        raise InvalidDataset(
            f"{dataset.root} has fewer than {_LEAST_IMAGES} labelled images, too few to say what is usual in a class.",
            action="Look at them yourself: `cldc validate` checks what can be checked.",
        )
    rows = _search(dataset, images, classes, ensure_analysis(home, observer), observer)
    path = _path(home, images, classes)
    private_folder(path.parent)
    replace_atomically(path, gzip.compress(json.dumps(rows).encode(), mtime=0))
    return _report(images, classes, rows)


def known_suspicious_labels(dataset: Dataset, classes: Sequence[str], *, home: Path) -> LabelReport | None:
    """Return the cached result for the same images and labels, whatever their names and splits; None without one."""
    images = _labelled(dataset, classes)
    try:
        rows = json.loads(gzip.decompress(_path(home, images, classes).read_bytes()))
        return _report(images, classes, rows)
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, IndexError):
        return None


def _labelled(dataset: Dataset, classes: Sequence[str]) -> list[Image]:
    """Return the images in class folders, in an order that depends only on their contents and labels."""
    known = {*classes}
    images = [image for image in dataset.images if image.sha256 and image.label in known]
    return sorted(images, key=lambda image: (image.sha256, image.label, image.path))


def _path(home: Path, images: Sequence[Image], classes: Sequence[str]) -> Path:
    """Return the path of the cached result; each version of the search has its own."""
    programs = [
        *sorted(_INSIDE.glob("*.py")),
        Path(inside.__file__).with_name("ink.py"),
        template("environments", "analysis.txt"),
    ]
    versions = [hash_bytes(path.read_bytes()) for path in programs]
    labels = [[image.sha256, image.label] for image in images]
    identity = hash_bytes(json.dumps([labels, *classes, *versions]))[:16]
    return home / "labels" / f"{identity}.json.gz"


def _search(
    dataset: Dataset,
    images: Sequence[Image],
    classes: Sequence[str],
    environment: Environment,
    observer: Observer,
) -> dict[str, Any]:
    """Run `inside/label_search.py` on the images."""
    index = {label: number for number, label in enumerate(classes)}
    job = {
        "classes": len(classes),
        "images": [[str(dataset.locate(image)), index[image.label], image.sha256] for image in images],
    }
    observer.start("Looking for suspicious labels", len(images), "images")
    what = f"The search for suspicious labels in {dataset.root}"
    return analyse(environment, _INSIDE / "label_search.py", job, what=what, observer=observer)


def _report(images: Sequence[Image], classes: Sequence[str], rows: dict[str, Any]) -> LabelReport:
    pairs = list(zip(images, rows["images"], strict=True))
    readable = [(image, row) for image, row in pairs if row is not None]
    ranked = sorted(readable, key=lambda pair: -pair[1][3])
    return LabelReport(
        classes=tuple(classes),
        images=tuple(_ranked(rank, image, classes, row) for rank, (image, row) in enumerate(ranked, 1)),
        noise=rows["noise"],
        unreadable=tuple(sorted(image.path for image, row in pairs if row is None)),
    )


def _ranked(rank: int, image: Image, classes: Sequence[str], row: Sequence[Any]) -> RankedLabel:
    shares, wrong, evidence, _ = row
    known = dict(zip(classes, shares, strict=False))
    likely = sorted(known, key=lambda label: -known[label])
    suggestion = next((label for label in likely if label != image.label), "")
    fit = known.get(image.label, 0.0)
    problem = None
    if not known:
        problem = LabelProblem.BLANK
    elif evidence < _ILLEGIBLE:
        problem = LabelProblem.ILLEGIBLE
    elif known[suggestion] > 0.5:
        problem = LabelProblem.OTHER_CLASS
    elif fit < 0.5:
        problem = LabelProblem.AMBIGUOUS
    return RankedLabel(
        rank=rank,
        path=image.path,
        sha256=image.sha256,
        label=image.label,
        suggestion=suggestion,
        probability=known.get(suggestion, 0.0),
        fit=fit,
        wrong=wrong,
        problem=problem,
        likely=tuple(likely[:_LIKELY]),
    )
