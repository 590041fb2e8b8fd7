"""Labels that look wrong, found with confident learning in an environment of its own.

The library cleanlab brings numpy, scipy, pandas and scikit-learn, a quarter of a gigabyte and seconds of imports:
too heavy for cldc itself, and too new for the Python that trains.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from cldc.dataset import Dataset
from cldc.environments import Environment
from cldc.errors import EnvironmentFailed, ProcessFailed, StorageError
from cldc.insight import kept
from cldc.insight.model import Suggestion
from cldc.preflight.model_predictions import ModelPredictions
from cldc.process import clean_environment, run
from cldc.progress import SILENT, Observer

_TIMEOUT_SECONDS = 3600
# Each of its processes keeps to itself; more threads than processors only get into each other's way.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# Fewer say nothing of what is usual in a class.
_LEAST_IMAGES = 50
# More than anyone looks through between two trainings.
_MOST = 100


def suggest(
    dataset: Dataset,
    learned: ModelPredictions,
    environment: Callable[[], Environment | str],
    *,
    home: Path,
    observer: Observer = SILENT,
) -> tuple[tuple[Suggestion, ...], str]:
    """The labels of a dataset that look most wrong, at most 100, the worst first; or why that can't be told.

    Args:
        dataset: The dataset, on the disk as it was preflighted.
        learned: What its preflight left.
        environment: Gives the environment of kind analysis, or why it is not to be had; called only where they are
            not known yet.
        home: The data folder, where they are kept.
        observer: Told that it is being worked on.

    Raises:
        StorageError: They can't be kept.
    """
    if len(dataset.images) < _LEAST_IMAGES:
        return (), f"the dataset has fewer than {_LEAST_IMAGES} images"
    place = kept.place(home, dataset, learned.classes)
    found = kept.read(place)
    if found is None:
        try:
            ready = environment()
        except (EnvironmentFailed, StorageError) as error:
            return (), error.message.splitlines()[0].rstrip(".:")
        if isinstance(ready, str):
            return (), ready
        try:
            found = _found(dataset, learned.classes, ready.python, observer)
        except (ProcessFailed, ValueError, KeyError) as error:
            return (), f"looking for them failed: {str(error).splitlines()[-1]}"
        kept.save(place, found)
    return _with_model(found, learned), ""


def _found(
    dataset: Dataset, classes: Sequence[str], python: Path, observer: Observer
) -> tuple[Suggestion, ...]:
    observer.start("Looking for labels that look wrong", len(dataset.images), "images")
    images = [[str(dataset.locate(image)), classes.index(image.label)] for image in dataset.images]
    done = run(
        [python, "-I", kept.LABELS],
        text=json.dumps({"classes": len(classes), "images": images}),
        env=clean_environment(_ONE_THREAD),
        timeout_seconds=_TIMEOUT_SECONDS,
    )
    rows = json.loads(done.stdout)["images"]
    found = [
        Suggestion(image.path, image.label, classes[predicted], probability, quality)
        for image, (quality, _, predicted, probability) in zip(dataset.images, rows, strict=True)
        if classes[predicted] != image.label
    ]
    return tuple(sorted(found, key=lambda suggestion: (suggestion.quality, suggestion.path))[:_MOST])


def _with_model(found: Sequence[Suggestion], learned: ModelPredictions) -> tuple[Suggestion, ...]:
    """The same with what the trained model takes each image for, where that is known."""
    model = {image.path: learned.classes[image.predicted] for image in learned.images if image.probabilities}
    return tuple(dataclasses.replace(s, model=model.get(s.path, "")) for s in found)
