"""Predict images with a trained model, and compare the predictions with the accuracies that its script printed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from cldc.competition import Competition
from cldc.environments import Environment
from cldc.errors import ConfigurationError, ProcessFailed
from cldc.files import temporary_folder
from cldc.preflight.inputs import builtin_script
from cldc.preflight.model import ImagePrediction, LabelBook, ModelPredictions, PreflightResult, Training
from cldc.preflight.output import ScriptOutput
from cldc.preflight.result_store import read_predictions, save_predictions, weights_folder
from cldc.preflight.workspace import Workspace
from cldc.progress import Observer

# Keras writes its checkpoint as NAME.index and others, or as one file.
_EXTENSIONS = (".index", ".weights.h5", ".h5", "")


class ModelUnusable(Exception):
    """A trained model can't predict; the text completes "the predictions are not known: ..."."""


def list_images(training: Training, why_not: str) -> ModelPredictions:
    """List every image in workspace order, without probabilities; ``why_not`` gives the reason."""
    classes, book = training.competition.dataset.classes, training.competition.bundles.label_book.name
    images = [
        ImagePrediction(image.split, image.path, image.sha256, classes.index(image.label))
        for image in training.report.dataset.images
    ]
    images += _images_of(training.label_book, book, classes)
    return ModelPredictions(classes, tuple(images), why_not)


def _images_of(book: LabelBook, name: str, classes: Sequence[str]) -> list[ImagePrediction]:
    return [
        ImagePrediction(name, path, sha256, classes.index(path.partition("/")[0]))
        for path, sha256 in book.images
    ]


def predict_images(
    training: Training, output: ScriptOutput, workspace: Workspace, observer: Observer
) -> ModelPredictions:
    """Predict every image with the model in a training's workspace; ``why_not`` has the reason if that fails.

    The predictions count only if they reproduce the accuracies that the script printed: then the weights are the best
    epoch's and the model is the script's, whatever script that was.
    """
    competition = training.competition
    try:
        weights = _find_weights(workspace.root, competition)
        predicted = _predict(list_images(training, ""), weights, workspace, competition, observer)
        _require_agreement(predicted, output, competition)
    except ModelUnusable as error:
        return list_images(training, str(error))
    return predicted


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
    if (cached := read_predictions(home, identity)).known:
        return cached
    classes = competition.dataset.classes
    images = ModelPredictions(classes, tuple(_images_of(folder, folder.root.name, classes)))
    weights = _find_weights(weights_folder(home, result.id), competition)
    with temporary_folder("cldc-judge-") as aside:
        paths = tuple(path for path, _ in folder.images)
        workspace = Workspace(folder.root, aside, environment.python, paths)
        predicted = _predict(images, weights, workspace, competition, observer)
    save_predictions(home, identity, predicted)
    return predicted


def _find_weights(folder: Path, competition: Competition) -> Path:
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


def weight_files(folder: Path, competition: Competition) -> Iterable[Path]:
    """Return the files of the weights that a script left in ``folder``."""
    return folder.glob(f"{competition.training.checkpoint}*")


def _predict(
    images: ModelPredictions,
    weights: Path,
    workspace: Workspace,
    competition: Competition,
    observer: Observer,
) -> ModelPredictions:
    """Add the probability of each class for each image; rows and images are in the workspace's order.

    Args:
        weights: The checkpoint path that `_find_weights` returned.

    Raises:
        ModelUnusable: The weights can't be loaded, or do not fit the model.
    """
    rules = competition.dataset
    observer.start("Predicting every image with the trained model", len(images.images), "images")
    numbers = (str(number) for number in (len(rules.classes), *rules.image_size, rules.batch))
    try:
        lines = workspace.ask(
            "predict.py", builtin_script(competition).path, weights, workspace.root, *numbers
        )
    except (ProcessFailed, ConfigurationError) as error:
        raise ModelUnusable(f"the trained model can't predict: {error.message.splitlines()[-1]}") from error
    if why := next((line["cannot"] for line in lines if "cannot" in line), None):
        raise ModelUnusable(f"the script's weights do not fit the model described: {why}")
    rows = [line["p"] for line in lines if "p" in line]
    if len(rows) != len(images.images):
        raise ModelUnusable(f"the trained model predicted {len(rows)} of {len(images.images)} images")
    return images.with_probabilities(rows)


def _require_agreement(predicted: ModelPredictions, output: ScriptOutput, competition: Competition) -> None:
    """Require predictions with the accuracies that the script printed.

    Raises:
        ModelUnusable: They are another model's.
    """
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
            raise ModelUnusable(
                f"the weights it left reach {right / len(images):.2%} on {split} where the script printed {said}, "
                "so they are not those of the model that it evaluated"
            )
