"""Labels that look wrong, as a preflight shows them: the worst of `cldc labels`, with what the trained model predicts."""

from __future__ import annotations

from collections.abc import Iterator

from cldc.insight.labels import LabelReport
from cldc.insight.model import Suggestion
from cldc.preflight.model_predictions import ModelPredictions

# More than anyone looks through between two trainings.
_MOST = 100
# Fewer wrong labels than this among those shown are not worth the look, and a clean dataset has none.
_LEAST_WRONG = 0.25


def suggest(report: LabelReport, learned: ModelPredictions) -> tuple[Suggestion, ...]:
    """The labels of a dataset that look most wrong, at most 100, the worst first; none where few are expected to be wrong.

    Args:
        report: All labels.
        learned: What the trained model predicts.
    """
    return tuple(_suggestions(report, learned))[:_MOST]


def _suggestions(report: LabelReport, learned: ModelPredictions) -> Iterator[Suggestion]:
    model = {image.path: learned.classes[image.predicted] for image in learned.images if image.probabilities}
    for image in report.images[: report.depth(_LEAST_WRONG)]:
        if image.problem and image.likely and image.likely[0] != image.label:
            yield Suggestion(
                path=image.path,
                label=image.label,
                predicted=image.suggestion,
                probability=image.probability,
                quality=image.fit,
                model=model.get(image.path, ""),
            )
