"""The report about suspicious labels: each image's label, how probable it is, and what it looks like instead."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from enum import StrEnum


class LabelProblem(StrEnum):
    """What is suspicious about an image under its label."""

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
    """An image with how well its label fits; predictions come from other images only.

    Attributes:
        rank: 1 for the most suspicious image of the dataset.
        path: The image, relative to the dataset, with slashes.
        sha256: Of its content.
        label: The class it is labelled as.
        suggestion: The most probable class besides the label; empty where it has no ink.
        probability: How probable the suggestion is, 0 to 1.
        fit: How probable the label is, 0 to 1.
        wrong: How probable it is that the label is wrong, 0 to 1, given how many labels of the dataset seem to be. An image that
            is hard to read has a low fit, and still no wrong label.
        problem: What is suspicious; None where nothing is.
        likely: The most probable classes, up to three, the most probable first.
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
        noise: The share of wrong labels that is estimated, 0 to 1. It is 0 where drawings are only hard to tell apart.
        unreadable: Paths of images that can't be read.
    """

    classes: tuple[str, ...]
    images: tuple[RankedLabel, ...]
    noise: float
    unreadable: tuple[str, ...] = ()

    @property
    def suspicious(self) -> tuple[RankedLabel, ...]:
        """Those with a problem."""
        return tuple(image for image in self.images if image.problem)

    def expected_wrong(self, depth: int | None = None) -> float:
        """How many wrong labels to expect among the first ``depth`` images, or among all."""
        return sum(image.wrong for image in self.images[:depth])

    def without(self, contents: Container[str]) -> LabelReport:
        """The same without images of these SHA-256, ranked again."""
        left = (image for image in self.images if image.sha256 not in contents)
        return replace(self, images=tuple(replace(image, rank=rank) for rank, image in enumerate(left, 1)))

    def depth(self, share: float) -> int:
        """How far down the list at least this share of the labels seen so far is expected to be wrong."""
        expected, deepest = 0.0, 0
        for count, image in enumerate(self.images, 1):
            expected += image.wrong
            if expected >= share * count:
                deepest = count
        return deepest
