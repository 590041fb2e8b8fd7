"""A model's predictions as they are stored, and what counts as a mistake."""

from __future__ import annotations

from pathlib import Path

from cldc.preflight.model import ImagePrediction, ModelPredictions
from cldc.preflight.result_store import read_predictions, save_predictions
from tests.support.commands import SHAPES_PROFILE, Cldc


def test_predictions_are_read_as_they_were_stored(tmp_path: Path) -> None:
    place = tmp_path / "preflights" / "x.learned.json.gz"
    place.parent.mkdir()
    images = (
        ImagePrediction("val", "val/a/1.png", "ab", 0, (0.25, 0.75)),
        ImagePrediction("val", "val/b/2.png", "cd", 1),
    )
    saved = ModelPredictions(("a", "b"), images, "a reason")
    save_predictions(tmp_path, "x", saved)
    assert read_predictions(tmp_path, "x") == saved
    first = place.read_bytes()
    save_predictions(tmp_path, "x", saved)
    assert place.read_bytes() == first
    for damaged in (first[:-20], first[:10] + bytes([first[10] ^ 0xFF]) + first[11:]):
        place.write_bytes(damaged)
        assert not read_predictions(tmp_path, "x").known
    assert "`cldc preflight --force`" in read_predictions(tmp_path, "y").why_not


def test_a_mistake_is_another_class_more_probable_than_the_label() -> None:
    assert ImagePrediction("val", "p", "", 0, (0.2, 0.8)).misclassified
    assert not ImagePrediction("val", "p", "", 1, (0.2, 0.8)).misclassified
    assert not ImagePrediction("val", "p", "", 1).misclassified


def test_a_training_without_seeds_is_refused_before_anything_is_trained(cldc: Cldc, tmp_path: Path) -> None:
    both = cldc("preflight", tmp_path, "--quick", "--repeat", "2", code=2)
    assert "can't be combined" in both.err
    refused = cldc("preflight", tmp_path, "--repeat", "2", "--competition", SHAPES_PROFILE, code=4)
    assert "does not name the option of its built-in script for a seed" in refused.err
