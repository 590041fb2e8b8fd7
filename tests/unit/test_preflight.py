"""Small scripts with every kind of failure, what a training reads, and which downloads are kept."""

from __future__ import annotations

import dataclasses
import stat
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cldc import sample
from cldc.competition import Competition
from cldc.environments import Environment
from cldc.errors import ConfigurationError, InvalidDataset, PreflightFailed
from cldc.files import hash_bytes
from cldc.preflight.inputs import (
    builtin_script,
    downloaded_label_book,
    downloaded_script,
    given_script,
    read_label_book,
    store_label_book,
    store_script,
)
from cldc.preflight.model import LabelBook, PreflightResult, Probe, Script, Training
from cldc.preflight.pipeline import fingerprint_in, preflight
from cldc.preflight.results import build_result
from cldc.preflight.run_script import Run, run_script
from cldc.preflight.workspace import Workspace, fill
from cldc.progress import SILENT
from cldc.validation import ValidationReport, validate
from tests.support.observers import Heard

FINAL = 'print("final loss 1.0, final acc 0.5"); print("test loss 1.0, test acc 0.25")'
PREDICT = 'import json; json.dump([0, 1, 2, 3] * 5, open("predicted.json", "w"))'


@pytest.fixture
def training(tmp_path: Path, shapes: Competition, book: LabelBook, report: ValidationReport) -> Training:
    """A training whose script is still to be written."""
    return Training(report, Script(tmp_path / "work" / "learn.py", "", "file"), book, shapes)


def ran(training: Training, source: str, *, quick: bool = False) -> Run:
    """A script of a few lines, run as a training is."""
    root = training.script.path.parent
    workspace = Workspace(root, root / ".aside", Path(sys.executable), ())
    workspace.aside.mkdir(parents=True)
    training.script.path.write_text(textwrap.dedent(source))
    return run_script(training, workspace, SILENT, quick=quick)


def result_of(training: Training, source: str) -> PreflightResult:
    root = training.script.path.parent
    return build_result(
        training,
        ran(training, source),
        fingerprint=fingerprint_in("env", training),
        folder=root,
        log=root / "output.log",
        tensorflow="",
        probe=Probe("", (), 0.0),
        caveats=(),
    )


def test_the_predictions_of_a_run_that_ends_well_are_read(training: Training) -> None:
    result = result_of(training, f"{FINAL}\n{PREDICT}")
    assert (result.predictions, result.warnings) == ((0, 1, 2, 3) * 5, ())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise SystemExit('no such layer')", "exit code 1. Its last lines:\n  no such layer"),
        (
            "print('Dataset size larger than 204. Got 208 examples')",
            "refused the dataset: Dataset size larger than 204",
        ),
        (FINAL, "exit code 0 but left no predicted.json"),
        (PREDICT, "did not print its final accuracy"),
        (FINAL + "\nopen('predicted.json', 'w').write('[1, 2')", "is not valid JSON"),
        (FINAL + "\nopen('predicted.json', 'w').write('[1.0]')", "not a list of whole numbers"),
        (FINAL + "\nopen('predicted.json', 'w').write('{}')", "not a list of whole numbers"),
        (FINAL + "\nopen('predicted.json', 'w').write('[1]')", "1 predictions, the label book 20 images"),
        (PREDICT.replace("3]", "4]") + "\n" + FINAL, "the prediction 4; the 4 classes are 0 to 3"),
        (
            PREDICT.replace("[0, 1, 2, 3] * 5", "[0] * 20") + "\n" + FINAL.replace("acc 0.25", "acc 0.75"),
            "gets at most 25.00% of the label book right, but the training script printed 75.00%",
        ),
        (PREDICT + "\n" + FINAL.replace("final loss 1.0", "final loss nan"), "diverged"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "memory ran out"),
        ("raise OSError(28, 'No space left on device')", "disk was full"),
    ],
)
def test_a_run_without_a_result_says_why(training: Training, source: str, message: str) -> None:
    with pytest.raises(PreflightFailed) as caught:
        result_of(training, source)
    assert message in caught.value.message
    assert caught.value.action


def test_a_result_warns_of_ignored_classes_divergence_and_a_short_training(training: Training) -> None:
    epoch = "5/5 [==] - 1s - loss: nan - accuracy: 0.2 - val_loss: 2.2 - val_accuracy: 0.3"
    predict = PREDICT.replace("[0, 1, 2, 3] * 5", "[0, 1] * 10")
    result = result_of(training, f"print('Epoch 1/9'); print({epoch!r})\n{FINAL}\n{predict}")
    never, diverged, short = result.warnings
    assert never == "The model never predicts the classes z, x on the label book."
    assert "from epoch 1 on" in diverged
    assert "trained 1 epoch; the competition's trains 4" in short


def test_a_quick_preflight_stops_after_the_first_epoch(training: Training) -> None:
    source = """
        import time
        print("Epoch 1/100")
        print("5/5 [==] - 1s - loss: 2.4 - accuracy: 0.2 - val_loss: 2.2 - val_accuracy: 0.3")
        time.sleep(600)
    """
    assert ran(training, source, quick=True).stopped


def test_nothing_of_the_users_settings_reaches_the_training(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "TF_ENABLE_ONEDNN_OPTS",
        "TF_XLA_FLAGS",
        "OMP_NUM_THREADS",
        "KERAS_BACKEND",
        "PYTHONHASHSEED",
    ):
        monkeypatch.setenv(name, "1")
    run = ran(training, "import os\nfor name in os.environ: print(name)")
    seen = set(run.output.tail)
    assert not seen & {
        "TF_ENABLE_ONEDNN_OPTS",
        "TF_XLA_FLAGS",
        "OMP_NUM_THREADS",
        "KERAS_BACKEND",
        "PYTHONHASHSEED",
    }
    assert "KERAS_HOME" in seen  # an own one: ~/.keras/keras.json changes types and layouts


# ------------------------------------------------------------------------------------------ what is trained on


def test_the_workspace_has_the_scripts_layout_and_is_read_only(
    tmp_path: Path, shapes: Competition, book: LabelBook, report: ValidationReport
) -> None:
    image = report.dataset.images[0]
    nested = report.dataset.locate(image).parent / "more" / "deep.png"
    nested.parent.mkdir()
    report.dataset.locate(image).rename(nested)
    (report.dataset.root / ".DS_Store").write_bytes(b"x")
    report = validate(report.dataset.root, shapes)
    dataset = report.dataset
    root = tmp_path / "work"
    root.mkdir()
    training = Training(report, builtin_script(shapes), book, shapes)
    workspace = fill(root, training, Path(sys.executable), SILENT)
    assert sorted(p.name for p in root.iterdir()) == [".aside", "examples", "learn.py", "mine"]
    assert validate(root / "mine" / "mine", shapes).dataset.hash == dataset.hash
    assert read_label_book(root / "examples", shapes).hash == book.hash
    assert len(workspace.images) == len(dataset.images) + 20
    assert all((root / path).stat().st_mode & 0o222 == 0 for path in workspace.images)
    assert not any(p.stat().st_mode & stat.S_IWUSR for p in (root / "mine").rglob("*"))
    assert not (root / "mine" / "mine" / ".DS_Store").exists()


def test_an_image_changed_since_it_was_validated_is_not_trained_on(
    tmp_path: Path, shapes: Competition, book: LabelBook, report: ValidationReport
) -> None:
    changed = report.dataset.locate(report.dataset.images[7])
    changed.write_bytes(changed.read_bytes() + b"more")
    root = tmp_path / "work"
    root.mkdir()
    with pytest.raises(InvalidDataset, match="was changed after it was validated"):
        fill(root, Training(report, builtin_script(shapes), book, shapes), Path(sys.executable), SILENT)


def test_a_dataset_named_like_the_label_book_is_refused(
    tmp_path: Path, shapes: Competition, book: LabelBook
) -> None:
    report = validate(sample.draw(tmp_path / "Examples", shapes, images=8), shapes)
    root = tmp_path / "work"
    root.mkdir()
    with pytest.raises(InvalidDataset, match="can't be called Examples"):
        fill(root, Training(report, builtin_script(shapes), book, shapes), Path(sys.executable), SILENT)


# -------------------------------------------------------------------------------------- script and label book


def test_a_downloaded_script_is_kept_and_a_change_is_reported(tmp_path: Path, shapes: Competition) -> None:
    assert downloaded_script(tmp_path, shapes) is None
    observer = Heard()
    first = store_script(tmp_path, shapes, b"one", observer)
    assert store_script(tmp_path, shapes, b"one", observer) == first
    assert not observer.notes
    second = store_script(tmp_path, shapes, b"two", observer)
    assert observer.notes == [f"The organisers changed learn.py: it was {first.sha256[:12]} before."]
    assert (
        downloaded_script(tmp_path, shapes)
        == second
        == dataclasses.replace(second, sha256=hash_bytes(b"two"), origin="competition")
    )
    second.path.write_bytes(b"tampered with")
    assert downloaded_script(tmp_path, shapes) is None
    assert store_script(tmp_path, shapes, b"two").path.read_bytes() == b"two"


def test_a_device_is_no_script() -> None:
    with pytest.raises(ConfigurationError, match="is not a file"):
        given_script(Path("/dev/null"))


def test_a_downloaded_label_book_is_kept_and_a_change_is_reported(
    tmp_path: Path, shapes: Competition, book: LabelBook
) -> None:
    home, nested = tmp_path / "home", tmp_path / "bundle"
    nested.mkdir()
    book.root.rename(nested / "examples")
    observer = Heard()
    first = store_label_book(home, shapes, nested, observer)
    assert first.hash == book.hash
    assert downloaded_label_book(home, shapes) == first
    next(first.root.rglob("*.png")).unlink()
    assert downloaded_label_book(home, shapes) is None
    assert store_label_book(home, shapes, nested, observer) == first
    assert not observer.notes
    next((nested / "examples" / "o").glob("*.png")).unlink()
    store_label_book(home, shapes, nested, observer)
    assert observer.notes == ["The organisers changed the label book."]
    with pytest.raises(InvalidDataset, match="is not a label book"):
        read_label_book(nested / "examples" / "o", shapes)


def test_a_script_that_does_not_exist_is_reported(tmp_path: Path, shapes: Competition) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.py can't be read"):
        given_script(tmp_path / "absent.py")
    wrong = dataclasses.replace(shapes, training=dataclasses.replace(shapes.training, builtin="absent.py"))
    with pytest.raises(ConfigurationError, match=r"absent\.py can't be read"):
        builtin_script(wrong)


def test_the_organisers_script_does_not_run_where_it_would_train_something_else(
    tmp_path: Path, shapes: Competition, book: LabelBook, report: ValidationReport
) -> None:
    later = Environment(
        tmp_path,
        "2.21.0",
        "3.11.7",
        Path(sys.executable),
        datetime.now(UTC),
        faithful=False,
        why="ten times the rate",
    )
    script = store_script(tmp_path, shapes, b"print()")
    with pytest.raises(
        PreflightFailed, match=r"TensorFlow 2\.21\.0 would not train what .* ten times the rate"
    ):
        preflight(Training(report, script, book, shapes), environment=later, home=tmp_path)
