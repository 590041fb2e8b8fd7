"""What a preflight teaches: comparisons by content, the page, and wrong labels found for real."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from cldc import competition, sample
from cldc.environments import ensure_analysis
from cldc.insight import suggest
from cldc.preflight.model_predictions import ImagePrediction, ModelPredictions
from cldc.validation import validate


@pytest.mark.real
def test_wrong_labels_come_first(tmp_path: Path, environments_home: Path) -> None:
    profile = competition.load("demo")
    root = sample.draw(tmp_path / "mine", profile, images=400)
    rng = random.Random(5)
    flipped = set()
    for path in rng.sample(sorted((root / "train").rglob("*.png")), 15):
        to = rng.choice([c for c in profile.dataset.classes if c != path.parent.name])
        moved = root / "train" / to / f"flipped-{path.parent.name}-{path.name}"
        path.rename(moved)
        flipped.add(moved.relative_to(root).as_posix())
    dataset = validate(root, profile).dataset
    index = {label: number for number, label in enumerate(profile.dataset.classes)}
    learned = ModelPredictions(
        profile.dataset.classes,
        tuple(ImagePrediction(i.split, i.path, i.sha256, index[i.label]) for i in dataset.images),
    )
    found, why = suggest(dataset, learned, lambda: ensure_analysis(environments_home), home=tmp_path)
    assert not why
    assert sum(suggestion.path in flipped for suggestion in found[:20]) >= 8
    # Kept: the next preflight of the same dataset needs no environment, and no time.
    assert suggest(dataset, learned, lambda: "not to be had", home=tmp_path) == (found, "")
