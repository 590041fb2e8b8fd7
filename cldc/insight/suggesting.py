"""Labels that look wrong, found with confident learning in an environment of its own.

The library cleanlab brings numpy, scipy, pandas and scikit-learn, a quarter of a gigabyte and seconds of imports:
too heavy for cldc itself, and too new for the Python that trains.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from cldc.dataset import Dataset
from cldc.environments import Environment
from cldc.errors import ProcessFailed
from cldc.insight.model import Suggestion
from cldc.preflight.learned import Learned
from cldc.process import clean_environment, run
from cldc.progress import SILENT, Observer

_LABELS = Path(__file__).with_name("inside") / "labels.py"
_TIMEOUT_SECONDS = 3600
# Fewer say nothing of what is usual in a class.
_LEAST_IMAGES = 50


def suggest(
    dataset: Dataset,
    learned: Learned,
    environment: Callable[[], Environment],
    *,
    limit: int = 100,
    observer: Observer = SILENT,
) -> tuple[tuple[Suggestion, ...], str]:
    """The ``limit`` labels of a dataset that look most wrong, the worst first; or why that can't be told.

    Args:
        dataset: The dataset, on the disk as it was preflighted.
        learned: What its preflight left.
        environment: Gives the environment of kind analysis; called only where it is needed.
        limit: How many.
        observer: Told that it is being worked on.

    Raises:
        EnvironmentFailed, StorageError: As ``environment`` does.
    """
    model = {image.path: image for image in learned.images}
    images = [image for image in dataset.images if image.path in model]
    if len(images) < _LEAST_IMAGES:
        return (), f"the dataset has fewer than {_LEAST_IMAGES} images"
    python = environment().python
    observer.start("Looking for labels that look wrong", len(images), "images")
    job = {
        "classes": len(learned.classes),
        "images": [[str(dataset.locate(image)), model[image.path].label] for image in images],
    }
    try:
        done = run(
            [python, "-I", _LABELS],
            text=json.dumps(job),
            env=clean_environment(),
            timeout_seconds=_TIMEOUT_SECONDS,
        )
        rows = json.loads(done.stdout)["images"]
    except (ProcessFailed, ValueError, KeyError) as error:
        return (), f"looking for them failed: {str(error).splitlines()[-1]}"
    ranked = sorted(zip(images, rows, strict=True), key=lambda pair: (pair[1][0], pair[0].path))
    found = []
    for image, (quality, _, believed, probability) in ranked:
        seen = model[image.path]
        if believed != seen.label:
            taken_for = learned.classes[seen.believed] if seen.probabilities else ""
            found.append(
                Suggestion(
                    image.path, image.label, learned.classes[believed], probability, quality, taken_for
                )
            )
    return tuple(found[:limit]), ""
