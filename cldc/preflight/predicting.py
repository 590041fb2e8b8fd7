"""What the trained model makes of every image: its weights loaded again, and held against what the script printed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from cldc.competition import Competition
from cldc.dataset import Dataset
from cldc.errors import ConfigurationError, ProcessFailed
from cldc.preflight.model import LabelBook
from cldc.preflight.model_predictions import ImagePrediction, ModelPredictions
from cldc.preflight.output import Output
from cldc.preflight.sources import builtin_script
from cldc.preflight.workspace import Workspace
from cldc.process import run
from cldc.progress import Observer

_PREDICT = Path(__file__).with_name("inside") / "predict.py"
# Ten thousand images take half a minute; a machine that is busy beyond all measure still gets its answer.
_TIMEOUT_SECONDS = 1800
# Keras writes its checkpoint as NAME.index and others, or as one file.
_ENDINGS = (".index", ".weights.h5", ".h5", "")


def list_images(dataset: Dataset, label_book: LabelBook, competition: Competition) -> ModelPredictions:
    """Every image in the order of the workspace, nothing known of what the model makes of it."""
    index = {label: number for number, label in enumerate(competition.dataset.classes)}
    book = competition.bundles.label_book.name
    images = [ImagePrediction(i.split, i.path, i.sha256, index[i.label]) for i in dataset.images]
    images += [
        ImagePrediction(book, path, sha256, index[path.partition("/")[0]])
        for path, sha256 in label_book.images
    ]
    return ModelPredictions(
        competition.dataset.classes, tuple(images), "the training was stopped after one epoch"
    )


def predict_images(
    images: ModelPredictions,
    output: Output,
    *,
    competition: Competition,
    workspace: Workspace,
    python: Path,
    env: Mapping[str, str],
    observer: Observer,
) -> ModelPredictions:
    """Ask the model that the training left about every image; ``why_not`` says why it can't be told.

    What it says is trusted only if it makes the very accuracies that the script printed: then the weights are the
    best epoch's and the model is the script's, whatever script that was.
    """
    why, rows = _ask(
        images, competition=competition, workspace=workspace, python=python, env=env, observer=observer
    )
    told = images.with_probabilities(rows) if not why else images
    why = why or _disagreement(told, output, competition)
    return told if not why else ModelPredictions(images.classes, images.images, why)


def _ask(
    images: ModelPredictions,
    *,
    competition: Competition,
    workspace: Workspace,
    python: Path,
    env: Mapping[str, str],
    observer: Observer,
) -> tuple[str, Sequence[Sequence[float]]]:
    name, rules = competition.training.checkpoint, competition.dataset
    if name is None:
        return f"the profile {competition.name} names no checkpoint that its script leaves", ()
    if not any((workspace.root / f"{name}{ending}").is_file() for ending in _ENDINGS):
        return f"the training script left no weights called {name}", ()
    weights = f"{name}.weights.h5" if (workspace.root / f"{name}.weights.h5").is_file() else name
    observer.start("Asking the trained model about every image", len(images.images), "images")
    numbers = (str(number) for number in (*rules.image_size, rules.batch))
    try:
        script = builtin_script(competition).path
        done = run(
            [python, _PREDICT, script, workspace.root / weights, workspace.root, *numbers],
            text="\0".join(workspace.images),
            env={**env, "TF_CPP_MIN_LOG_LEVEL": "2"},
            timeout_seconds=_TIMEOUT_SECONDS,
        )
    except (ProcessFailed, ConfigurationError) as error:
        return f"the trained model can't be asked: {error.message.splitlines()[-1]}", ()
    rows: list[Sequence[float]] = []
    for line in done.stdout.splitlines():
        if line.startswith('{"cannot"'):
            return f"the script's weights do not fit the model described: {json.loads(line)['cannot']}", ()
        if line.startswith('{"p"'):
            rows.append(json.loads(line)["p"])
    if len(rows) != len(images.images):
        return f"the trained model told of {len(rows)} of {len(images.images)} images", ()
    return "", rows


def _disagreement(told: ModelPredictions, output: Output, competition: Competition) -> str:
    """Why these can't be the probabilities of the model that the script judged; empty where they can."""
    printed = {
        competition.dataset.splits[-1]: output.validation,
        competition.bundles.label_book.name: output.label_book,
    }
    for split, score in printed.items():
        images = told.of(split)
        right = sum(not image.misclassified for image in images)
        # An accuracy is a number of images; half of one covers how it was printed.
        if score is None or abs(score.accuracy * len(images) - right) > 0.5:
            said = f"{score.accuracy:.2%}" if score else "nothing"
            return (
                f"the weights it left make {right / len(images):.2%} on {split} where the script printed {said}, "
                "so they are not those of the model that it judged"
            )
    return ""
