"""Many trainings: what is trained, what is answered from a record, and what becomes of those that fail."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from cldc import sample
from cldc.competition import Competition
from cldc.errors import CldcError, EnvironmentFailed, PreflightFailed
from cldc.preflight import result_store
from cldc.preflight.inputs import builtin_script
from cldc.preflight.model import LabelBook, PreflightResult, Training
from cldc.preflight.pipeline import fingerprint_in
from cldc.progress import Observer
from cldc.trainings.dask import ClusterUnreachable, dask_trainer
from cldc.trainings.local import BYTES_EACH, most_at_once
from cldc.trainings.many import train_all
from cldc.trainings.model import Trainer, WorkerLost
from cldc.trainings.time_estimates import estimate_scoring, estimate_trainings
from cldc.trainings.workers import SentTraining, train_sent
from cldc.validation import validate
from tests.support.insights import RESULT
from tests.support.observers import Heard


class _Trainer(Trainer):
    """Trains by asking a function."""

    where, at_once = "here", 2
    threads: int | None = None

    def __init__(self, home: Path, train: Callable[[Training, int], None]) -> None:
        self.home, self.train, self.asked = home, train, list[str]()
        self.executor = ThreadPoolExecutor(2)
        self.stopped = False

    def submit(self, training: Training, observer: Observer, *, force: bool) -> Future[PreflightResult]:
        self.asked.append(training.report.dataset.name)
        return self.executor.submit(self._train, training, self.asked.count(training.report.dataset.name))

    def _train(self, training: Training, tries: int) -> PreflightResult:
        self.train(training, tries)
        result = dataclasses.replace(
            RESULT,
            dataset_name=training.report.dataset.name,
            fingerprint=fingerprint_in("env", training),
            history=(),
        )
        result_store.save(self.home, result)
        return result

    def result(self, training: Training, future: Future[PreflightResult]) -> PreflightResult:
        return future.result()

    def stop(self) -> None:
        self.stopped = True
        self.executor.shutdown(cancel_futures=True)


@pytest.fixture
def trainings(tmp_path: Path, shapes: Competition, book: LabelBook) -> list[Training]:
    script = builtin_script(shapes)
    folders = [sample.draw(tmp_path / name, shapes, images=40, seed=ord(name)) for name in "abc"]
    return [Training(validate(folder, shapes), script, book, shapes) for folder in folders]


def test_each_is_trained_once_and_answered_from_its_record_the_next_time(
    tmp_path: Path, trainings: list[Training]
) -> None:
    def train(training: Training, tries: int) -> None:
        if training.report.dataset.name == "b" and tries == 1:
            raise PreflightFailed("It diverged.", action="Look.")

    observer = Heard()
    a, b, c = trainings
    with _Trainer(tmp_path, train) as trainer:
        found = train_all([a, b, a, c], trainer, home=tmp_path, observer=observer)
        assert [o.dataset_name if isinstance(o, PreflightResult) else str(o) for o in found] == [
            "a", "It diverged.\nLook.", "a", "c",
        ]  # fmt: skip
        assert sorted(trainer.asked) == ["a", "b", "c"]
        assumed, failure = observer.notes
        assert assumed.startswith("3 trainings of about ")
        assert "2 at once: about " in assumed
        assert failure == "b has no result: It diverged."
        again = train_all([c, b], trainer, home=tmp_path)
        assert [o.dataset_name for o in again if isinstance(o, PreflightResult)] == ["c", "b"]
        assert trainer.asked[3:] == ["b"]
        train_all([c], trainer, home=tmp_path, force=True)
        assert trainer.asked[4:] == ["c"]


def test_a_record_with_another_number_of_threads_has_other_numbers(
    tmp_path: Path, trainings: list[Training]
) -> None:
    with _Trainer(tmp_path, lambda *_: None) as trainer:
        (found,) = train_all(trainings[:1], trainer, home=tmp_path)
        assert isinstance(found, PreflightResult)
        trainer.threads = found.fingerprint.threads
        train_all(trainings[:1], trainer, home=tmp_path)
        assert trainer.asked == ["a"]
        trainer.threads += 1
        train_all(trainings[:1], trainer, home=tmp_path)
        assert trainer.asked == ["a", "a"]


def test_earlier_trainings_say_how_long_the_next_ones_take(trainings: list[Training]) -> None:
    assumed = estimate_trainings(trainings, [], at_once=2, processors=2)
    assert assumed.startswith("3 trainings of about ")
    assert "2 at once" in assumed
    assert "assumed" in assumed
    # The same images as those to come, in 30 s of which ten are for the start.
    earlier = dataclasses.replace(
        RESULT,
        fingerprint=fingerprint_in("env", trainings[0]),
        images={"learn": 30, "check": 10, "label_book": 1000},
        history=(),
        seconds=30.0,
    )
    measured = estimate_trainings(trainings, [earlier], at_once=2, processors=2)
    # Each takes 1.4 of the two processors.
    assert measured == "3 trainings of about 30 s each, 2 at once: about 63 s (by earlier trainings)."

    rules = dataclasses.replace(
        trainings[0].competition, quota=dataclasses.replace(trainings[0].competition.quota, total=5)
    )
    estimate = estimate_scoring(rules, [earlier], students=30)
    assert "150 submissions" in estimate
    assert "at most 75 min on one worker" in estimate
    assert "assumed" in estimate_scoring(rules, [], students=30)


@pytest.mark.parametrize("dies", [1, 2])
def test_a_worker_that_dies_costs_one_retry(tmp_path: Path, trainings: list[Training], dies: int) -> None:
    def train(training: Training, tries: int) -> None:
        if tries <= dies:
            raise WorkerLost

    with _Trainer(tmp_path, train) as trainer:
        (found,) = train_all(trainings[:1], trainer, home=tmp_path)
        assert trainer.asked == ["a", "a"]
    problem = str(found) if isinstance(found, CldcError) else ""
    assert ("died 2 times" in problem) == (dies == 2)
    assert isinstance(found, PreflightResult) == (dies == 1)


def test_a_bug_ends_all_trainings(tmp_path: Path, trainings: list[Training]) -> None:
    def train(training: Training, tries: int) -> None:
        raise ZeroDivisionError

    with _Trainer(tmp_path, train) as trainer, pytest.raises(ZeroDivisionError):
        train_all(trainings, trainer, home=tmp_path)
    assert trainer.stopped


def test_no_more_at_once_than_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cldc.trainings.local.threads", lambda: 64)
    assert 1 <= most_at_once() <= 64
    for memory, most in ((100 * BYTES_EACH, 64), (3 * BYTES_EACH + 1, 3), (1, 1)):
        monkeypatch.setattr("cldc.trainings.local.free_memory", lambda free=memory: free)
        assert most_at_once() == most


def test_a_record_keeps_every_name_that_its_images_had(
    tmp_path: Path, trainings: list[Training], shapes: Competition
) -> None:
    first = trainings[0]
    copy = shutil.copytree(first.report.dataset.root, tmp_path / "bob")
    second = dataclasses.replace(first, report=validate(copy, shapes))
    with _Trainer(tmp_path, lambda _training, _tries: None) as trainer:
        train_all([first], trainer, home=tmp_path)
        for _ in range(2):
            (found,) = train_all([second], trainer, home=tmp_path)
        assert trainer.asked == ["a"]
    assert isinstance(found, PreflightResult)
    assert (found.dataset_name, found.other_names, found.dataset_root) == ("bob", ("a",), str(copy))
    (kept,) = result_store.all_records(tmp_path)
    assert kept.names == ("a", "bob")
    (back,) = train_all([first], trainer, home=tmp_path)
    assert isinstance(back, PreflightResult)
    assert back.names == ("bob", "a")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", ""])
def test_an_address_without_a_dask_scheduler_is_reported_at_once(tmp_path: Path, address: str) -> None:
    with (
        pytest.raises(ClusterUnreachable, match=f"no Dask scheduler at '{address}'") as refused,
        dask_trainer(address, tmp_path),
    ):
        pass
    assert (refused.value.code, refused.value.server_failed) == (9, False)


def test_a_worker_reports_what_it_cannot_use(
    tmp_path: Path, trainings: list[Training], shapes: Competition
) -> None:
    first = trainings[0]
    content = builtin_script(shapes).path.read_bytes()
    sent = SentTraining(first, content, content, force=False, version="0.0.1")
    with pytest.raises(EnvironmentFailed, match=r"this is cldc 0\.0\.1"):
        train_sent(sent, b"", b"")
