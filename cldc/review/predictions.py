"""Predictions of an earlier preflight's model for a dataset's images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cldc.competition import Competition
from cldc.dataset import Image
from cldc.preflight.model_predictions import read
from cldc.preflight.records import all_records
from cldc.review.model import Prediction

# The share of images that the preflight must contain; otherwise it was about another dataset.
_LEAST_SHARE = 0.5


def last_predictions(
    images: Sequence[Image], competition: Competition, home: Path
) -> tuple[str, list[Prediction]]:
    """The name of the last preflight that contains most of the images, and its predictions for them.

    Images are told by their content, so that changes since then cost only what has changed; without such a preflight
    there are no predictions.
    """
    contents = {image.sha256 for image in images if image.sha256}
    for result in reversed(all_records(home)):
        if result.fingerprint.competition != competition.name or result.quick:
            continue
        learned = read(home, result.id)
        if learned is None or not learned.known:
            continue
        seen = {image.sha256: image for image in learned.images if image.probabilities}
        if len(contents & seen.keys()) < max(1, _LEAST_SHARE * len(contents)):
            continue
        return result.dataset_name, [
            Prediction(image.path, learned.classes[found.predicted], max(found.probabilities))
            for image in images
            if (found := seen.get(image.sha256))
        ]
    return "", []
