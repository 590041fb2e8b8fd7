"""Preflights, trained for real: the answer from the record, what TensorFlow refuses, an interruption, two at once."""

from __future__ import annotations

import dataclasses
import os
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from cldc import competition
from cldc.competition import Competition
from cldc.environments import Environment, ensure_tensorflow
from cldc.errors import PreflightFailed
from cldc.preflight.inputs import builtin_script, given_script, read_label_book
from cldc.preflight.model import LabelBook, PreflightResult, Script, Training
from cldc.preflight.pipeline import preflight, threads
from cldc.preflight.result_store import find, read
from cldc.validation import ValidationReport, validate
from tests.support.commands import SHAPES_PROFILE, Cldc


@pytest.fixture
def tensorflow(shapes: Competition, environments_home: Path) -> Environment:
    return ensure_tensorflow(shapes.training.tensorflow, environments_home)


@pytest.mark.lasts(35)
def test_a_preflight_trains_once_and_is_answered_from_its_record_afterwards(
    tmp_path: Path, shapes: Competition, book: LabelBook, report: ValidationReport, tensorflow: Environment
) -> None:
    def train(*, force: bool = False, quick: bool = False, script: Script | None = None) -> PreflightResult:
        return preflight(
            Training(report, script or builtin_script(shapes), book, shapes),
            environment=tensorflow,
            home=tmp_path / "home",
            force=force,
            quick=quick,
        )

    quick = train(quick=True)
    assert quick.quick
    assert quick.label_book is None
    assert find(tmp_path / "home", dataset=report.dataset.hash, competition=shapes) is None
    first = train()
    assert first.label_book is not None
    assert first.validation.accuracy > 0.3
    assert [epoch.number for epoch in first.history] == [1, 2, 3, 4]
    assert (len(first.predictions), first.images) == (20, {"learn": 56, "check": 24, "examples": 20})
    assert first.peak_memory > 50e6
    assert first.probe.devices[0] == "CPU"
    assert first.fingerprint.seed == 7
    assert "final acc" in Path(first.log).read_text()

    assert train() == dataclasses.replace(first, recorded=True)
    assert train(quick=True) == dataclasses.replace(first, recorded=True)
    assert find(tmp_path / "home", dataset=report.dataset.hash, competition=shapes) is not None
    assert read(tmp_path / "home", first.id) == dataclasses.replace(first, recorded=True)
    again = train(force=True)
    assert (again.recorded, again.validation, again.predictions) == (
        False,
        first.validation,
        first.predictions,
    )
    other = given_script(SHAPES_PROFILE.with_name("evaluate.py"))
    with pytest.raises(PreflightFailed, match="ended with exit code 1") as caught:
        train(script=other)
    assert list((tmp_path / "home" / "preflights").glob("*.log"))
    assert str(tmp_path / "home" / "preflights") in caught.value.action


def test_an_image_that_only_tensorflow_refuses_is_named(
    tmp_path: Path, shapes: Competition, book: LabelBook, report: ValidationReport, tensorflow: Environment
) -> None:
    broken = next((book.root / "z").glob("*.png"))
    broken.write_bytes(broken.read_bytes()[:-20])
    with pytest.raises(PreflightFailed, match=rf"examples/z/{broken.name}: Invalid PNG data"):
        preflight(
            Training(report, builtin_script(shapes), read_label_book(book.root, shapes), shapes),
            environment=tensorflow,
            home=tmp_path / "home",
        )


def test_an_interruption_leaves_nothing_behind(  # noqa: PLR0917 - fixtures
    tmp_path: Path,
    shapes: Competition,
    book: LabelBook,
    report: ValidationReport,
    tensorflow: Environment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Interrupting:
        def start(self, task: str, total: float | None = None, unit: str = "") -> None:
            return

        def advance(self, done: float, detail: str = "") -> None:
            if detail:  # the training reports its progress
                os.kill(os.getpid(), signal.SIGINT)

        def note(self, text: str) -> None:
            return

    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with pytest.raises(KeyboardInterrupt):
        preflight(
            Training(report, builtin_script(shapes), book, shapes),
            environment=tensorflow,
            home=tmp_path / "home",
            observer=Interrupting(),
        )
    assert not list((tmp_path / "temporary").iterdir())
    assert not list((tmp_path / "home" / "preflights").glob("*.json"))
    here = str(tmp_path / "temporary")
    assert not [
        child.pid
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE and child.cwd().startswith(here)
    ]


def test_two_at_once_train_what_each_trains_alone(cldc: Cldc, tmp_path: Path, book: LabelBook) -> None:
    """They share the processors as the system divides them: fewer threads for each would be other numbers."""
    cldc = Cldc(cldc.home, {"CLDC_COMPETITION": str(SHAPES_PROFILE), "CLDC_LABEL_BOOK": str(book.root)})
    script = ("--script", SHAPES_PROFILE.with_name("learn.py"), "--format", "json")
    for name, seed in (("one", "1"), ("two", "2")):
        cldc("sample", tmp_path / name, "--images", "80", "--seed", seed)
    alone = cldc("preflight", tmp_path / "one", *script).data
    with ThreadPoolExecutor(2) as pool:
        both = [
            running.result().data
            for running in [
                pool.submit(cldc, "preflight", tmp_path / name, "--force", *script) for name in ("one", "two")
            ]
        ]
    keys = ("fingerprint", "validation", "label_book", "predictions")
    assert [both[0][key] for key in keys] == [alone[key] for key in keys]
    assert {run["fingerprint"]["threads"] for run in both} == {threads()}
    assert both[0]["fingerprint"]["dataset"] != both[1]["fingerprint"]["dataset"]


def test_the_built_in_script_trains_what_the_competitions_did(
    tmp_path: Path, real_data: Path, environments_home: Path
) -> None:
    """Epoch 1 on the starting dataset, to the digit that the competition's own script gives with as many threads."""
    profile = competition.load()
    report = validate(real_data / "data", profile)
    environment = ensure_tensorflow(profile.training.tensorflow, environments_home)
    if environment.version != "2.4.1":
        pytest.skip("the numbers are TensorFlow 2.4.1's")
    result = preflight(
        Training(
            report, builtin_script(profile), read_label_book(real_data / "label_book", profile), profile
        ),
        environment=environment,
        home=tmp_path,
        quick=True,
    )
    known = {1: 1.9256, 2: 1.9108, 4: 1.9437, 16: 1.9015}
    expected = known.get(result.fingerprint.threads)
    assert 1.88 < result.validation.loss < 1.96
    if expected is not None:
        assert result.validation.loss == pytest.approx(expected, abs=0.002)
