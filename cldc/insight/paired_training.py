"""Train models of two datasets from the same seeds, and judge them by a folder of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from cldc.dataset import Dataset
from cldc.errors import InvalidDataset, UsageError
from cldc.insight.paired_results import TrainedModel
from cldc.preflight.model import (
    LabelBook,
    ModelPredictions,
    Outcome,
    PreflightResult,
    Training,
    require_results,
)
from cldc.preflight.predicting import ModelUnusable
from cldc.preflight.records import read_predictions, weights_folder


class Train(Protocol):
    """Trains, here or on CodaLab; ``force`` does so even if a record of the same training exists."""

    def __call__(self, trainings: Sequence[Training], *, force: bool = False) -> Sequence[Outcome]:
        """The outcome of each training."""


def require_unseen(judge: LabelBook, datasets: Mapping[str, Dataset]) -> None:
    """Refuse to judge by images that a model was trained on or selected by.

    Raises:
        UsageError: A dataset has some of them.
    """
    contents = {sha256 for _, sha256 in judge.images}
    known = {
        name: len(contents & {image.sha256 for image in dataset.images}) for name, dataset in datasets.items()
    }
    if any(known.values()):
        counted = ", ".join(f"{count} in {name}" for name, count in known.items())
        raise UsageError(
            f"Images of {judge.root} can't judge, since a model has learned them: of {len(contents)} images, {counted}.",
            action="Take them out of that folder, or out of the datasets, or judge by another folder.",
        )


def train_models(
    trainings: Sequence[Training],
    train: Train,
    *,
    predict: Callable[[PreflightResult], ModelPredictions] | None,
    home: Path,
) -> list[TrainedModel]:
    """Train each dataset, and predict the judging images with its model.

    Args:
        train: Runs those that have no record yet.
        predict: Predicts the judging images; None without a judging folder.

    Raises:
        CldcError: A training failed.
        InvalidDataset: A model can't predict them.
    """
    results = require_results(train(trainings))
    if predict is not None:
        without_weights = [
            training
            for training, result in zip(trainings, results, strict=True)
            if not weights_folder(home, result.id).is_dir()
        ]
        if without_weights:  # an older cldc kept none
            require_results(train(without_weights, force=True))
            results = require_results(train(trainings))
    models = []
    for result in results:
        try:
            judged = predict(result) if predict else None
        except ModelUnusable as error:
            raise InvalidDataset(
                f"The model of preflight {result.id} can't judge: {error}.",
                action="Judge by the label book: leave --judge out.",
            ) from error
        kept = read_predictions(home, result.id) or ModelPredictions(
            result.classes, (), "an older cldc kept nothing of the images"
        )
        models.append(TrainedModel(result, kept, judged))
    return models
