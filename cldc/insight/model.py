"""What a finished preflight reports besides its numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from cldc.preflight.model import PreflightResult
from cldc.preflight.model_predictions import ImagePrediction, ModelPredictions


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A label that looks wrong.

    Attributes:
        path: The image, relative to the dataset.
        label: The class it is labelled as.
        predicted: The class of similar images; a cross-validated prediction.
        probability: How sure that is, from 0 to 1.
        quality: How well the label fits, from 0 (not at all) to 1.
        model: The trained model's prediction; empty if unknown.
    """

    path: str
    label: str
    predicted: str = field(metadata={"key": "believed"})
    probability: float
    quality: float
    model: str = ""


@dataclass(frozen=True, slots=True)
class Insight:
    """A preflight with what can be learned from it.

    Attributes:
        result: The preflight.
        learned: Its images and the model's predictions; None if an older cldc kept none.
        suggestions: Labels that look wrong, the worst first.
        no_suggestions: Why there are none; empty if they were searched for.
    """

    result: PreflightResult
    learned: ModelPredictions | None
    suggestions: tuple[Suggestion, ...] = ()
    no_suggestions: str = ""


def confusion(learned: ModelPredictions, split: str) -> tuple[tuple[int, ...], ...]:
    """Number of images of a split by true class (rows) and predicted class (columns)."""
    counts = [[0] * len(learned.classes) for _ in learned.classes]
    for image in learned.of(split):
        counts[image.label][image.predicted] += 1
    return tuple(tuple(row) for row in counts)


def worst_mistakes(learned: ModelPredictions, split: str, limit: int) -> tuple[ImagePrediction, ...]:
    """The images of a split that the model misclassifies with the highest probability, the highest first."""
    wrong = (image for image in learned.of(split) if image.misclassified)
    return tuple(sorted(wrong, key=lambda image: (-max(image.probabilities), image.path))[:limit])
