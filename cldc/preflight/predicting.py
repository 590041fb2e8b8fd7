"""Reload a trained model's weights, predict every image and compare with the accuracies that the script printed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cldc.competition import Competition
from cldc.environments import Environment
from cldc.errors import ConfigurationError, ProcessFailed
from cldc.files import remove_tree, storage_errors, temporary_folder
from cldc.preflight import model_predictions
from cldc.preflight.inputs import builtin_script
from cldc.preflight.model import LabelBook, PreflightResult, Training
from cldc.preflight.model_predictions import ImagePrediction, ModelPredictions
from cldc.preflight.output import Output
from cldc.preflight.records import weights_folder
from cldc.preflight.workspace import Workspace
from cldc.process import run
from cldc.progress import Observer

_PREDICT = Path(__file__).with_name("inside") / "predict.py"
# Ten thousand images take half a minute; the limit leaves room for a heavily loaded machine.
_TIMEOUT_SECONDS = 1800
# Keras writes its checkpoint as NAME.index and others, or as one file.
_EXTENSIONS = (".index", ".weights.h5", ".h5", "")


class ModelUnusable(Exception):
    """A trained model can't predict; the text completes "the predictions are not known: ..."."""


def list_images(training: Training) -> ModelPredictions:
    """List every image in workspace order, without probabilities."""
    classes, book = training.competition.dataset.classes, training.competition.bundles.label_book.name
    images = [
        ImagePrediction(image.split, image.path, image.sha256, classes.index(image.label))
        for image in training.report.dataset.images
    ]
    images += _images_of(training.label_book, book, classes)
    return ModelPredictions(classes, tuple(images), "the training was stopped after one epoch")


def _images_of(book: LabelBook, name: str, classes: Sequence[str]) -> list[ImagePrediction]:
    return [
        ImagePrediction(name, path, sha256, classes.index(path.partition("/")[0]))
        for path, sha256 in book.images
    ]


def predict_images(
    images: ModelPredictions,
    output: Output,
    workspace: Workspace,
    competition: Competition,
    observer: Observer,
) -> ModelPredictions:
    """Predict every image with the trained model; ``why_not`` holds the reason if that fails.

    The predictions count only if they reproduce the accuracies that the script printed: then the weights are the best
    epoch's and the model is the script's, whatever script that was.
    """
    try:
        rows = ask_model(find_weights(workspace.root, competition), workspace, competition, observer)
    except ModelUnusable as error:
        return replace(images, why_not=str(error))
    predicted = images.with_probabilities(rows)
    why = _disagreement(predicted, output, competition)
    return replace(images, why_not=why) if why else predicted


def predict_folder(
    result: PreflightResult,
    folder: LabelBook,
    *,
    home: Path,
    competition: Competition,
    environment: Environment,
    observer: Observer,
) -> ModelPredictions:
    """Predict the images of another labelled folder with a finished preflight's model, and cache the result.

    Raises:
        ModelUnusable: Its weights were not kept, or can't be loaded.
        StorageError: The predictions can't be stored.
    """
    identity = f"{result.id}.{folder.hash[:16]}"
    if known := model_predictions.read(home, identity):
        return known
    classes = competition.dataset.classes
    images = ModelPredictions(classes, tuple(_images_of(folder, folder.root.name, classes)))
    weights = find_weights(weights_folder(home, result.id), competition)
    with temporary_folder("cldc-judge-") as aside:
        workspace = Workspace(
            folder.root, aside, environment.python, tuple(path for path, _ in folder.images)
        )
        rows = ask_model(weights, workspace, competition, observer)
    predicted = images.with_probabilities(rows)
    model_predictions.save(home, identity, predicted)
    return predicted


def find_weights(folder: Path, competition: Competition) -> Path:
    """Find the checkpoint path for Keras among the weights that a script left in ``folder``.

    Raises:
        ModelUnusable: No weights were kept.
    """
    name = competition.training.checkpoint
    if name is None:
        raise ModelUnusable(f"the profile {competition.name} names no checkpoint that its script leaves")
    if not any((folder / f"{name}{extension}").is_file() for extension in _EXTENSIONS):
        raise ModelUnusable(f"the training script left no weights called {name}")
    keras_3 = folder / f"{name}.weights.h5"
    return keras_3 if keras_3.is_file() else folder / name


def keep_weights(workspace: Path, competition: Competition, kept: Path) -> None:
    """Copy the weights that a script left into the folder ``kept``, so that the model can predict other images later.

    Raises:
        StorageError: No room.
    """
    with storage_errors(kept), temporary_folder(".weights-", kept.parent) as draft:
        for path in workspace.glob(f"{competition.training.checkpoint}*"):
            shutil.copyfile(path, draft / path.name)
        remove_tree(kept)
        draft.rename(kept)


def ask_model(
    weights: Path, workspace: Workspace, competition: Competition, observer: Observer
) -> list[Sequence[float]]:
    """Compute the probability of each class for each image of a workspace with a trained model.

    Args:
        weights: As returned by `find_weights`.
        workspace: The images, and a Python with TensorFlow.

    Raises:
        ModelUnusable: The weights can't be loaded, or do not fit the model.
    """
    rules, paths = competition.dataset, workspace.images
    observer.start("Predicting every image with the trained model", len(paths), "images")
    numbers = (str(number) for number in (len(rules.classes), *rules.image_size, rules.batch))
    try:
        done = run(
            [workspace.python, _PREDICT, builtin_script(competition).path, weights, workspace.root, *numbers],
            text="\0".join(paths),
            env={**workspace.env, "TF_CPP_MIN_LOG_LEVEL": "2"},
            timeout_seconds=_TIMEOUT_SECONDS,
        )
    except (ProcessFailed, ConfigurationError) as error:
        raise ModelUnusable(f"the trained model can't predict: {error.message.splitlines()[-1]}") from error
    rows: list[Sequence[float]] = []
    for line in done.stdout.splitlines():
        if line.startswith('{"cannot"'):
            raise ModelUnusable(
                f"the script's weights do not fit the model described: {json.loads(line)['cannot']}"
            )
        if line.startswith('{"p"'):
            rows.append(json.loads(line)["p"])
    if len(rows) != len(paths):
        raise ModelUnusable(f"the trained model predicted {len(rows)} of {len(paths)} images")
    return rows


def _disagreement(predicted: ModelPredictions, output: Output, competition: Competition) -> str:
    """Explain why these predictions can't come from the model that the script evaluated; empty if they can."""
    printed = {
        competition.dataset.splits[-1]: output.validation,
        competition.bundles.label_book.name: output.label_book,
    }
    for split, score in printed.items():
        images = predicted.of(split)
        right = sum(not image.misclassified for image in images)
        # An accuracy is a whole number of images; half an image covers rounding in print.
        if score is None or abs(score.accuracy * len(images) - right) > 0.5:
            said = f"{score.accuracy:.2%}" if score else "nothing"
            return (
                f"the weights it left make {right / len(images):.2%} on {split} where the script printed {said}, "
                "so they are not those of the model that it judged"
            )
    return ""
