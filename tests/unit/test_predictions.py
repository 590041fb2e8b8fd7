"""Predictions held against the accuracy that the training script printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cldc import competition
from cldc.preflight.model import LabelBook, Script
from cldc.preflight.output import ScriptOutput
from cldc.preflight.predictions_file import (
    ExpectedLabels,
    UnusablePredictions,
    expected_labels,
    parse_predictions,
)

COMPETITION = competition.load("data-centric-2021")
CLASSES = COMPETITION.dataset.classes
LISTED = list(range(len(CLASSES)))
BY_NAME = sorted(LISTED, key=lambda index: CLASSES[index])
KERAS = "tf.keras.preprocessing.image_dataset_from_directory"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scripts")


def labels_of(folder: Path, sizes: list[int], source: str, tensorflow: str = "") -> ExpectedLabels:
    images = tuple(
        (f"{name}/{n}.png", "") for name, size in zip(CLASSES, sizes, strict=True) for n in range(size)
    )
    script = Script(folder / "train.py", "", "file")
    script.path.write_text(source, encoding="utf-8")
    return expected_labels(LabelBook(folder, images, CLASSES, ""), COMPETITION, script, tensorflow=tensorflow)


def read(labels: ExpectedLabels, predictions: list[int], loss: str, accuracy: str) -> tuple[int, ...]:
    output = ScriptOutput()
    output.feed(f"test loss {loss}, test acc {accuracy}\n", now=0.0)
    return parse_predictions(json.dumps(predictions).encode(), labels, output, what="predictions.json")


@given(
    sizes=st.lists(st.integers(1, 8), min_size=len(CLASSES), max_size=len(CLASSES)),
    decimals=st.integers(1, 16),
    data=st.data(),
)
def test_what_a_model_predicts_fits_what_its_script_prints(
    folder: Path, sizes: list[int], decimals: int, data: st.DataObject
) -> None:
    """Whatever the order of the classes and however the script rounds; another accuracy never fits."""
    versions = [("2.4.1", LISTED), ("2.5.0", BY_NAME), ("2.21.0", BY_NAME)]
    tensorflow, order = data.draw(st.sampled_from(versions))
    truth = [index for index in order for _ in range(sizes[index])]
    predictions = data.draw(st.lists(st.sampled_from(LISTED), min_size=len(truth), max_size=len(truth)))
    share = sum(a == b for a, b in zip(truth, predictions, strict=True)) / len(truth)
    loss = f"{1:.{decimals}f}"
    known = labels_of(folder, sizes, KERAS, tensorflow)
    for labels in (known, labels_of(folder, sizes, KERAS), labels_of(folder, sizes, "own loader")):
        assert read(labels, predictions, loss, f"{share:.{decimals}f}") == tuple(predictions)
    other = share + data.draw(st.sampled_from([-1, 1])) * (1.01 / len(truth) + 10.0**-decimals)
    with pytest.raises(UnusablePredictions):
        read(known, predictions, loss, f"{other:.{decimals}f}")


@pytest.mark.parametrize("tensorflow", ["", "2.4.1", "2.9.3", "unknown"])
@pytest.mark.parametrize("source", [KERAS, "own loader"])
def test_a_constant_fits_no_good_accuracy(folder: Path, tensorflow: str, source: str) -> None:
    labels = labels_of(folder, [5] * 10, source, tensorflow)
    assert read(labels, [0] * 50, "2.3", "0.1") == (0,) * 50
    with pytest.raises(UnusablePredictions, match=r"10\.00% of the label book right, .* printed 50\.00%"):
        read(labels, [0] * 50, "2.3", "0.5")
    with pytest.raises(UnusablePredictions, match="printed nan%"):
        read(labels, [0] * 50, "nan", "nan")


def test_the_order_of_another_tensorflow_does_not_fit(folder: Path) -> None:
    """Before 2.5 ix came last but one, as listed; since then it comes after iv, as its name does."""
    for tensorflow, order, other in (("2.4.1", LISTED, BY_NAME), ("2.6.0", BY_NAME, LISTED)):
        labels = labels_of(folder, [5] * 10, KERAS, tensorflow)
        read(labels, [index for index in order for _ in range(5)], "0.01", "1.0")
        with pytest.raises(UnusablePredictions, match="they do not come from the same model"):
            read(labels, [index for index in other for _ in range(5)], "0.01", "1.0")


def test_nothing_printed_is_nothing_to_compare_with(folder: Path) -> None:
    labels = labels_of(folder, [1] * 10, KERAS)
    assert parse_predictions(b"[0,0,0,0,0,0,0,0,0,0]", labels, ScriptOutput(), what="x") == (0,) * 10


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b"[" + b"9" * 5000 + b"]", "is not valid JSON"),
        (b"\xff", "is not valid JSON"),
        (b"{}", "not a list of whole numbers"),
        (b"[true, true, true, true, true, true, true, true, true, true]", "not a list of whole numbers"),
        (b"[0]", "has 1 predictions, the label book 10 images"),
        (b"[0, 0, 0, 0, 0, 0, 0, 0, 0, -1]", "the prediction -1"),
    ],
)
def test_an_invalid_list_of_classes_is_reported(folder: Path, content: bytes, message: str) -> None:
    with pytest.raises(UnusablePredictions, match=message):
        parse_predictions(
            content, labels_of(folder, [1] * 10, KERAS), ScriptOutput(), what="predictions.json"
        )
