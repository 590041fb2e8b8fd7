"""A finished preflight, and what its model predicts."""

from __future__ import annotations

from cldc.preflight.model import (
    Epoch,
    Fingerprint,
    ImagePrediction,
    ModelPredictions,
    PreflightResult,
    Probe,
    Score,
)

CLASSES = ("a", "b")
MARK = Fingerprint("d", "l", "s", "c", "demo", 2, "2.4.1", "e", "3.8.18", "Linux x86_64", "cpu", 2, 123)
RESULT = PreflightResult(
    fingerprint=MARK,
    dataset_name="mine",
    dataset_root="/x",
    images={"train": 2, "val": 2, "book": 1},
    classes=CLASSES,
    origin="built-in",
    faithful=True,
    quick=False,
    started="2026-01-01T00:00:00+00:00",
    seconds=1.0,
    peak_memory=0,
    validation=Score(1.0, 0.5),
    label_book=Score(1.0, 1.0),
    untrained=None,
    predictions=(0,),
    history=(Epoch(1, 2.0, 0.3, float("nan"), 0.2, 1.0), Epoch(2, 1.0, 0.5, 1.5, 0.5, 1.0)),
    best_epoch=2,
    probe=Probe("", (), 1.0),
    warnings=("a <warning>",),
    log="",
)


def images(*rows: tuple[str, str, int, float]) -> ModelPredictions:
    """Path, content, label, and the probability of the second class."""
    return ModelPredictions(
        CLASSES,
        tuple(
            ImagePrediction(path.split("/")[0], path, sha, label, (1 - p, p)) for path, sha, label, p in rows
        ),
    )
