"""Many trainings at once, with a real TensorFlow: each has the numbers that it has alone, and nothing is left running."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster

from cldc import sample
from cldc.competition import Competition
from cldc.environments import Environment, ensure_tensorflow
from cldc.files import hash_bytes
from cldc.preflight.inputs import builtin_script
from cldc.preflight.model import LabelBook, PreflightResult, Script, Training
from cldc.preflight.pipeline import preflight
from cldc.preflight.result_store import read as read_record
from cldc.preflight.result_store import read_predictions
from cldc.trainings.dask import dask_trainer
from cldc.trainings.local import LocalTrainer
from cldc.trainings.many import train_all
from cldc.validation import validate
from tests.support.commands import SHAPES_PROFILE, Cldc
from tests.support.observers import Heard
from tests.support.processes import soon

pytestmark = pytest.mark.lasts(30)
_ENDLESS = 'import time\nprint("Epoch 1/4", flush=True)\ntime.sleep(1000)\n'


@pytest.fixture
def tensorflow(shapes: Competition, environments_home: Path) -> Environment:
    return ensure_tensorflow(shapes.training.tensorflow, environments_home)


@pytest.fixture
def trainings(tmp_path: Path, shapes: Competition, book: LabelBook) -> list[Training]:
    folders = [
        sample.draw(tmp_path / name, shapes, images=80, seed=seed)
        for seed, name in enumerate(("first", "second"))
    ]
    return [Training(validate(folder, shapes), builtin_script(shapes), book, shapes) for folder in folders]


def test_two_at_once_have_the_numbers_that_each_has_alone(
    tmp_path: Path, trainings: list[Training], tensorflow: Environment
) -> None:
    with LocalTrainer(tensorflow, tmp_path / "home", at_once=2) as trainer:
        together = train_all([*trainings, trainings[0]], trainer, home=tmp_path / "home")
        again = train_all(trainings, trainer, home=tmp_path / "home")
    alone = [preflight(t, environment=tensorflow, home=tmp_path / "alone") for t in trainings]
    for one, other, recorded in zip(together, alone, again, strict=False):
        assert isinstance(one, PreflightResult)
        assert isinstance(recorded, PreflightResult)
        assert (one.history and [e.val_loss for e in one.history]) == [e.val_loss for e in other.history]
        assert (one.fingerprint, one.validation, one.label_book) == (
            other.fingerprint,
            other.validation,
            other.label_book,
        )
        assert recorded.recorded
    assert together[2] == together[0]


def test_one_command_trains_several_folders_and_reports_each(
    cldc: Cldc, tmp_path: Path, trainings: list[Training], book: LabelBook
) -> None:
    cldc = Cldc(cldc.home, {"CLDC_COMPETITION": str(SHAPES_PROFILE)})
    folders = [training.report.dataset.root for training in trainings]
    options = ("--label-book", book.root, "--script", trainings[0].script.path)
    data = cldc("preflight", *folders, *options, "--format", "json").data
    assert [result["dataset_name"] for result in data["results"]] == ["first", "second"]
    assert not data["failed"]
    shown = cldc("preflight", *folders, *options).out
    assert shown.startswith("Preflights of 2 datasets")
    assert shown.count("recorded") == 2
    refused = cldc("preflight", *folders, *options, "--repeat", "2", code=2).err
    assert "--repeat and several datasets can't be combined" in refused


class _Interrupting(Heard):
    """Presses Ctrl-C once both are training."""

    def advance(self, done: float, detail: str = "") -> None:
        super().advance(done, detail)
        if len(_programs()) == 2:
            raise KeyboardInterrupt


def _programs() -> set[int]:
    """The training scripts that run, without their guards."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "learn.py" in process.cmdline()[1:2]:
                found.add(process.pid)
    return found


@pytest.fixture
def endless(tmp_path: Path, trainings: list[Training]) -> list[Training]:
    """Trainings that end only if they are stopped."""
    path = tmp_path / "endless" / trainings[0].script.path.name
    path.parent.mkdir()
    path.write_text(_ENDLESS, encoding="utf-8")
    script = Script(path, hash_bytes(_ENDLESS), "file")
    return [dataclasses.replace(training, script=script) for training in trainings]


def test_an_interruption_ends_all_of_them(
    tmp_path: Path, endless: list[Training], tensorflow: Environment
) -> None:
    observer = _Interrupting()
    with (
        LocalTrainer(tensorflow, tmp_path / "home", at_once=2) as trainer,
        pytest.raises(KeyboardInterrupt) as interrupted,
    ):
        train_all(endless, trainer, home=tmp_path / "home", observer=observer)
    assert not _programs()
    assert not list((tmp_path / "home" / "preflights").glob("*.json"))
    assert interrupted.value.__notes__ == ["Stopped. 0 of 2 trainings are kept; the others start over."]


@pytest.fixture
def cluster(
    tmp_path: Path, environments_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalCluster]:
    """Two workers, each a process of its own, with a data folder that is not ours."""
    workers = tmp_path / "workers"
    workers.mkdir(mode=0o700)
    (workers / "environments").symlink_to(environments_home / "environments")
    monkeypatch.setenv("CLDC_HOME", str(workers))
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", host="127.0.0.1"
    ) as cluster:
        yield cluster


class _Killing(Heard):
    """Kills the worker of the first training that it hears of."""

    def __init__(self) -> None:
        super().__init__()
        self.killed = 0

    def advance(self, done: float, detail: str = "") -> None:
        super().advance(done, detail)
        for pid in () if self.killed else _programs():
            # A training that has just ended: the next time then.
            with contextlib.suppress(psutil.Error, IndexError):
                worker = psutil.Process(pid).parents()[1]  # the training's guard, then the worker
                worker.kill()
                self.killed = worker.pid
                return


def test_a_dask_cluster_trains_the_same_though_a_worker_is_killed(
    tmp_path: Path, trainings: list[Training], tensorflow: Environment, cluster: LocalCluster
) -> None:
    home, observer = tmp_path / "home", _Killing()
    with dask_trainer(cluster.scheduler_address, home) as trainer:
        found = train_all(trainings, trainer, home=home, observer=observer)
    assert observer.killed
    alone = [preflight(t, environment=tensorflow, home=tmp_path / "alone") for t in trainings]
    for one, other in zip(found, alone, strict=True):
        assert isinstance(one, PreflightResult), one
        assert (one.fingerprint, one.validation, one.predictions) == (
            other.fingerprint,
            other.validation,
            other.predictions,
        )
        assert (one.dataset_root, one.dataset_changed) == (other.dataset_root, "")
        assert Path(one.log).read_text(encoding="utf-8").count("Epoch") == 4
        assert read_record(home, one.id) is not None
        assert read_predictions(home, one.id) == read_predictions(tmp_path / "alone", one.id)


def test_an_interruption_ends_the_trainings_of_a_dask_cluster(
    tmp_path: Path, endless: list[Training], cluster: LocalCluster
) -> None:
    home = tmp_path / "home"
    with dask_trainer(cluster.scheduler_address, home) as trainer, pytest.raises(KeyboardInterrupt):
        train_all(endless, trainer, home=home, observer=_Interrupting())
    assert soon(lambda: not _programs(), every_seconds=0.2)
