"""Predictions of a preflight's model for every image: from a real model, doubted where they contradict the script."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cldc import competition, sample
from cldc.competition import Competition
from cldc.environments import ensure_analysis, ensure_tensorflow
from cldc.preflight.inputs import builtin_script, given_script, read_label_book
from cldc.preflight.model import LabelBook, ModelPredictions, Script, Training
from cldc.preflight.pipeline import preflight
from cldc.preflight.result_store import read_predictions
from cldc.resources import template
from cldc.validation import ValidationReport, validate
from tests.support.commands import SHAPES_PROFILE, Cldc


@pytest.fixture
def short() -> Competition:
    """The real model, two epochs."""
    demo = competition.load("demo")
    run = dataclasses.replace(demo.run, command="python train.py {dataset} {label_book} --epochs 2")
    return dataclasses.replace(demo, run=run, training=dataclasses.replace(demo.training, epochs=2))


def _trained(
    tmp_path: Path, profile: Competition, script: Script, environments_home: Path
) -> tuple[ValidationReport, LabelBook, ModelPredictions, tuple[int, ...]]:
    report = validate(sample.draw(tmp_path / "mine", profile, images=80), profile)
    book = read_label_book(sample.draw_label_book(tmp_path / "book", profile, images=20), profile)
    result = preflight(
        Training(report, script, book, profile),
        environment=ensure_tensorflow(profile.training.tensorflow, environments_home),
        home=tmp_path / "kept",
    )
    saved = read_predictions(tmp_path / "kept", result.id)
    return report, book, saved, result.predictions


def test_the_best_weights_predict_what_the_script_predicted(
    tmp_path: Path, short: Competition, environments_home: Path
) -> None:
    report, book, saved, predictions = _trained(tmp_path, short, builtin_script(short), environments_home)
    assert saved.known, saved.why_not
    assert [(i.path, i.sha256) for i in saved.images] == [
        *((i.path, i.sha256) for i in report.dataset.images),
        *book.images,
    ]
    assert all(sum(i.probabilities) == pytest.approx(1, abs=1e-4) for i in saved.images)
    assert sorted(i.predicted for i in saved.of("label_book")) == sorted(predictions)


def test_weights_of_another_model_than_the_script_evaluated_are_not_believed(
    tmp_path: Path, short: Competition, environments_home: Path
) -> None:
    source = builtin_script(short).path.read_text()
    lying = tmp_path / "lying.py"
    honest = 'print("final loss {}, final acc {}".format(loss, accuracy))'
    assert honest in source
    lying.write_text(source.replace(honest, honest.replace("(loss, accuracy)", "(loss, 0.99)")))
    _, _, saved, _ = _trained(tmp_path, short, given_script(lying), environments_home)
    assert not saved.known
    assert "where the script printed 99." in saved.why_not
    assert not any(i.probabilities for i in saved.images)


def test_without_a_checkpoint_there_is_a_reason(tmp_path: Path, environments_home: Path) -> None:
    shapes = competition.load(str(SHAPES_PROFILE))
    _, _, saved, _ = _trained(tmp_path, shapes, builtin_script(shapes), environments_home)
    assert saved.why_not == "the profile shapes names no checkpoint that its script leaves"
    assert len(saved.images) == 100


def test_a_quick_preflight_is_marked_and_a_whole_one_reports_suspicious_labels(
    cldc: Cldc, tmp_path: Path, environments_home: Path
) -> None:
    ensure_analysis(environments_home)
    cldc = Cldc(cldc.home, {"CLDC_COMPETITION": str(SHAPES_PROFILE)})
    cldc("sample", tmp_path / "mine", "--images", "120")
    moved = next((tmp_path / "mine" / "learn" / "o").iterdir())
    moved.rename(tmp_path / "mine" / "learn" / "x" / moved.name)
    shapes = competition.load(str(SHAPES_PROFILE))
    book = sample.draw_label_book(tmp_path / "book", shapes, images=20)
    options = (tmp_path / "mine", "--label-book", book, "--script", builtin_script(shapes).path)
    quick = cldc("preflight", *options, "--quick").out
    assert quick.startswith("Quick preflight of mine")
    assert "a submission needs a whole training" in " ".join(quick.split())
    assert "Labels that look wrong: not checked yet" in quick
    assert cldc("preflight", *options, "--quick", "--format", "json").data["recorded"]
    whole = cldc("preflight", *options, "--format", "json").data
    assert (whole["quick"], whole["recorded"], whole["no_suggestions"]) == (False, False, None)
    worst = whole["suggestions"][0]
    assert (worst["path"], worst["label"]) == (f"learn/x/{moved.name}", "x")
    # The record knows them too.
    assert f"learn/x/{moved.name}  x" in cldc("preflight", *options).out


def test_repeated_from_other_seeds_it_shows_the_spread(
    cldc: Cldc, tmp_path: Path, short: Competition
) -> None:
    profile = tmp_path / "short.toml"
    text = template("competitions", "demo.toml").read_text().replace("--epochs 12", "--epochs 1")
    profile.write_text(text.replace("epochs = 12", "epochs = 1"))
    cldc = Cldc(cldc.home, {"CLDC_COMPETITION": str(profile)})
    folder = sample.draw(tmp_path / "mine", short, images=80)
    book = sample.draw_label_book(tmp_path / "book", short, images=20)
    options = (folder, "--label-book", book, "--script", builtin_script(short).path)
    data = cldc("preflight", *options, "--repeat", "2", "--format", "json").data
    first, second = data["runs"]
    assert [run["fingerprint"]["seed"] for run in data["runs"]] == [123, 124]
    assert first["fingerprint"]["dataset"] == second["fingerprint"]["dataset"]
    assert first["validation"]["loss"] != second["validation"]["loss"]
    assert data["validation"]["lowest"] <= data["validation"]["mean"] <= data["validation"]["highest"]
    shown = cldc("preflight", *options, "--repeat", "2").out
    assert "2 runs" in shown
    assert "on average" in shown
