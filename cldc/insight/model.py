"""A preflight's mistakes, its confusion of classes, and the labels that look wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from cldc.insight.label_search import LabelReport
from cldc.preflight.model import ImagePrediction, ModelPredictions, PreflightResult

# People check no more labels than this between two trainings.
_MOST = 100
# If a smaller share of the labels shown is expected to be wrong, checking them is not worth it; a clean dataset has none.
_LEAST_WRONG = 0.25


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A label that looks wrong.

    Attributes:
        path: The image, relative to the dataset.
        label: The class it is labelled as.
        predicted: The class of similar images; a cross-validated prediction.
        probability: The probability of that class, from 0 to 1.
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
    """A preflight and the insights from it.

    Attributes:
        result: The preflight.
        predictions: Its images and the model's predictions; no images if they were not kept.
        suggestions: Labels that look wrong, the worst first.
        no_suggestions: Why there are none; empty if they were searched for.
    """

    result: PreflightResult
    predictions: ModelPredictions
    suggestions: tuple[Suggestion, ...] = ()
    no_suggestions: str = ""


def suggest(report: LabelReport, predictions: ModelPredictions) -> tuple[Suggestion, ...]:
    """Return the labels that most likely are wrong, at most 100, worst first; none where few are expected to be wrong."""
    model = {
        image.path: predictions.classes[image.predicted]
        for image in predictions.images
        if image.probabilities
    }
    found = [
        Suggestion(
            path=image.path,
            label=image.label,
            predicted=image.suggestion,
            probability=image.probability,
            quality=image.fit,
            model=model.get(image.path, ""),
        )
        for image in report.images[: report.depth(_LEAST_WRONG)]
        if image.problem and image.likely and image.likely[0] != image.label
    ]
    return tuple(found[:_MOST])


def confusion(predictions: ModelPredictions, split: str) -> tuple[tuple[int, ...], ...]:
    """Count the images of a split by true class (rows) and predicted class (columns)."""
    counts = [[0] * len(predictions.classes) for _ in predictions.classes]
    for image in predictions.of(split):
        counts[image.label][image.predicted] += 1
    return tuple(tuple(row) for row in counts)


def class_accuracies(predictions: ModelPredictions) -> dict[tuple[str, str], float]:
    """Compute the accuracy, from 0 to 1, on each class of each split, by the names of split and class.

    A class has none in a split where it has no image whose probabilities are known.
    """
    right: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    for image in predictions.images:
        if image.probabilities:
            at = (image.split, predictions.classes[image.label])
            total[at] += 1
            right[at] += not image.misclassified
    return {at: right[at] / total[at] for at in total}


def worst_mistakes(predictions: ModelPredictions, split: str, limit: int) -> tuple[ImagePrediction, ...]:
    """Return the images of a split that the model misclassifies with the highest probability, the highest first."""
    wrong = (image for image in predictions.of(split) if image.misclassified)
    return tuple(sorted(wrong, key=lambda image: (-max(image.probabilities), image.path))[:limit])
