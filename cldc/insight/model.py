"""What is told of a finished preflight besides its numbers."""

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
        predicted: The class that images like it have; cross-validated: no model that had seen its label was asked.
        probability: How sure that is, from 0 to 1.
        quality: How well the label fits, from 0 (not at all) to 1.
        model: What the trained model takes it for; empty where that is not known.
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
        learned: Its images and what the model makes of them; None where an older cldc kept nothing of it.
        suggestions: Labels that look wrong, the worst first.
        no_suggestions: Why there are none; empty where they were looked for.
    """

    result: PreflightResult
    learned: ModelPredictions | None
    suggestions: tuple[Suggestion, ...] = ()
    no_suggestions: str = ""


def confusion(learned: ModelPredictions, split: str) -> tuple[tuple[int, ...], ...]:
    """How many images of each class (rows) of a split the model takes for each class (columns)."""
    counts = [[0] * len(learned.classes) for _ in learned.classes]
    for image in learned.of(split):
        counts[image.label][image.predicted] += 1
    return tuple(tuple(row) for row in counts)


def worst_mistakes(learned: ModelPredictions, split: str, limit: int) -> tuple[ImagePrediction, ...]:
    """The images of a split that the model is surest to be of another class than their label, the surest first."""
    wrong = (image for image in learned.of(split) if image.misclassified)
    return tuple(sorted(wrong, key=lambda image: (-max(image.probabilities), image.path))[:limit])
