"""Train models of two datasets from the same seeds, and compare them by what they predict for the same images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cldc.dataset import Dataset
from cldc.errors import InvalidDataset, UsageError
from cldc.insight.significance import Judgement, judge
from cldc.preflight.model import (
    LabelBook,
    ModelPredictions,
    Outcome,
    PreflightResult,
    Training,
    require_results,
)
from cldc.preflight.predicting import ModelUnusable
from cldc.preflight.result_store import read_predictions, weights_folder


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A finished training and the predictions of its model.

    Attributes:
        result: The preflight.
        predictions: Predictions for the images of the dataset and of the label book.
        judged: Predictions for the images of the judging folder; None without one.
    """

    result: PreflightResult
    predictions: ModelPredictions
    judged: ModelPredictions | None = None


@dataclass(frozen=True, slots=True)
class SeedPair:
    """The two preflights of a seed, by id, and their accuracies from 0 to 1."""

    seed: int | None
    before: str
    after: str
    validation_before: float
    validation_after: float
    label_book_before: float | None
    label_book_after: float | None

    @classmethod
    def of(cls, before: PreflightResult, after: PreflightResult) -> SeedPair:
        return cls(
            seed=after.fingerprint.seed,
            before=before.id,
            after=after.id,
            validation_before=before.validation.accuracy,
            validation_after=after.validation.accuracy,
            label_book_before=before.label_book.accuracy if before.label_book else None,
            label_book_after=after.label_book.accuracy if after.label_book else None,
        )


@dataclass(frozen=True, slots=True)
class RepeatedComparison:
    """The comparison of two datasets over several seeds.

    Attributes:
        pairs: The trainings, a pair for each seed.
        judgements: One for each set of images that can judge, the most trustworthy first: the given folder, the label book,
            the validation split.
        notes: Why the others can't judge, and what else to know about those that can, as sentences.
    """

    pairs: tuple[SeedPair, ...]
    judgements: tuple[Judgement, ...]
    notes: tuple[str, ...]


class Train(Protocol):
    """Runs trainings, here or on CodaLab; with ``force`` even those that have a record."""

    def __call__(self, trainings: Sequence[Training], *, force: bool = False) -> Sequence[Outcome]:
        """Return the outcome of each training."""


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
    """Run the trainings, and predict the judging images with each model.

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
        if without_weights:  # an older version of cldc kept none
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
        models.append(TrainedModel(result, read_predictions(home, result.id), judged))
    return models


def compare_repeats(
    before: Sequence[TrainedModel], after: Sequence[TrainedModel], *, judge_name: str = ""
) -> RepeatedComparison:
    """Compare two datasets by models of the same seeds, in the same order; ``judge_name`` names the judging folder."""
    models = [*before, *after]
    *_, validation, label_book = before[0].result.images
    sets = [
        ("label book", [_answers(model.predictions, label_book) for model in models]),
        ("validation split", [_answers(model.predictions, validation) for model in models]),
    ]
    judged = [model.judged for model in models if model.judged]
    if len(judged) == len(models):
        sets.insert(0, (judge_name, [_answers(one, one.splits[0]) for one in judged]))
    why_unknown = [model.predictions.why_not for model in models if model.predictions.why_not]
    judgements, notes = [], []
    for name, answers in sets:
        if not all(answers):
            why = why_unknown[0] if why_unknown else "nothing was kept of the predictions"
            notes.append(f"The {name} can't judge: {why}.")
        elif any(one.keys() != answers[0].keys() for one in answers):
            notes.append(f"Their {name}s differ, so they can't tell which is better.")
        else:
            rows = [[right for _, right in sorted(one.items())] for one in answers]
            judgements.append(judge(name, rows[: len(before)], rows[len(before) :]))
    notes += _learned_by_heart(before[0].predictions, after[0].predictions, label_book)
    return RepeatedComparison(
        pairs=tuple(SeedPair.of(a.result, b.result) for a, b in zip(before, after, strict=True)),
        judgements=tuple(judgements),
        notes=tuple(notes),
    )


def _answers(model: ModelPredictions, split: str) -> dict[tuple[str, str, int], bool]:
    """Return whether the model is right about each image of a split, by content, class and number of the copy."""
    seen: Counter[tuple[str, str]] = Counter()
    answers = {}
    for image in model.of(split):
        if not image.probabilities:
            return {}
        key = (image.sha256, model.classes[image.label])
        answers[*key, seen[key]] = not image.misclassified
        seen[key] += 1
    return answers


def _learned_by_heart(before: ModelPredictions, after: ModelPredictions, label_book: str) -> list[str]:
    """Return a note if one of the datasets contains images of the label book."""
    contents = {image.sha256 for image in before.of(label_book)}
    counts = [
        len(contents & {image.sha256 for image in model.images if image.split != label_book})
        for model in (before, after)
    ]
    if not any(counts):
        return []
    return [
        f"{counts[0]} of the {len(contents)} images of the label book are in the first dataset and {counts[1]} in the second: "
        "models learn those by heart."
    ]
