"""Preflights on CodaLab's workers: several at once, interrupted, and with a worker that is killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cldc import sample
from cldc.codalab import Rest
from cldc.environments import ensure_codalab
from cldc.sandbox import Account
from tests.support.commands import ROOT
from tests.support.stage import (
    Stage,
    assert_exactly_once,
    change,
    lower_stage,
    raise_stage,
    running,
    start,
    until,
)

pytestmark = pytest.mark.lasts(25)
# Learns a little with a real TensorFlow, and keeps its model.
LEARNING = """
import json, os, sys
import tensorflow as tf

CLASSES = ["o", "l", "z", "x"]


def build_model(classes, image_size):
    layers = tf.keras.layers
    return tf.keras.Sequential([
        tf.keras.Input(shape=(*image_size, 3)), layers.AveragePooling2D(2), layers.Flatten(), layers.Dense(classes),
    ])


def read(folder):
    found = tf.keras.preprocessing.image_dataset_from_directory
    return found(folder, class_names=CLASSES, image_size=(16, 16), batch_size=4, shuffle=False)


def main():
    dataset, book = sys.argv[1:]
    tf.random.set_seed(int((sys.argv[3:] or [0, 7])[1]))
    learn, check = (read(os.path.join(dataset, dataset, split)) for split in ("learn", "check"))
    model = build_model(len(CLASSES), (16, 16))
    model.compile(tf.keras.optimizers.SGD(1e-5), tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"])
    model.fit(learn, epochs=4, validation_data=check)
    model.save_weights("model")
    print("final loss {}, final acc {}".format(*model.evaluate(check)))
    print("test loss {}, test acc {}".format(*model.evaluate(read(os.path.join(book, book)))))
    with open("predicted.json", "w") as file:
        json.dump([int(index) for index in model.predict(read(os.path.join(book, book))).argmax(1)], file)


if __name__ == "__main__":
    main()
"""


def test_interrupted_and_run_again_it_makes_nothing_twice_and_leaves_nothing(
    stage: Stage, tmp_path: Path
) -> None:
    account = stage.account()
    cldc = stage.person(tmp_path / "home", account)
    first, second = stage.folder(tmp_path / "first", 1), stage.folder(tmp_path / "second", 2)
    twin = shutil.copytree(first, tmp_path / "twin")
    with stage.held():
        training = start(stage, account, cldc.home, "preflight", "--remote", first, second)
        runs = until(lambda: running(stage, account, 2), training)
        assert_private(stage, account)
        assert training.stderr is not None
        assert any("Training on CodaLab" in line for line in training.stderr)  # it knows of both
        training.send_signal(signal.SIGINT)
        _, said = training.communicate(timeout=60)
        assert training.returncode == 130, said
        assert "2 runs continue on " in said
    done = cldc("preflight", "--remote", first, second, twin, "--keep", "--format", "json")
    assert "twin holds the same as" in done.err
    results = {result["dataset_name"]: result for result in done.data["results"]}
    assert {result["run"] for result in results.values()} == {run.uuid for run in runs}
    assert not done.data["failed"]
    for result in results.values():
        assert (result["validation"]["accuracy"], result["label_book"]["accuracy"]) == (0.25, 0.25)
        assert len(result["history"]) == 4
        assert result["fingerprint"]["server"] == stage.address
        assert result["fingerprint"]["environment"] == "python:3.8"
        assert set(result["predictions"]) == {0}
    made = stage.made(account)
    assert {kind: len(bundles) for kind, bundles in made.items()} == {
        "dataset": 2,
        "run": 2,
        "make": 0,
        "tagged": 0,
    }
    assert_private(stage, account)

    plan = cldc("submit", first, "--dry-run", "--format", "json").data
    assert plan["preflight"] in {entry["id"] for entry in cldc("history", "--format", "json").data["entries"]}
    uploaded = next(bundle.uuid for bundle in made["dataset"] if bundle.name == "first")
    assert cldc("submit", first, "--yes", "--format", "json").data["dataset"] == uploaded
    left = cldc("clean", "--unfinished", "--dry-run", "--format", "json").data["leftovers"]
    assert {item["uuid"] for item in left if item["kind"] == "bundle"} == {
        bundle.uuid for bundle in (*made["dataset"], *made["run"]) if bundle.uuid != uploaded
    }
    again = cldc("preflight", "--remote", first, second, "--format", "json").data
    assert all(result["recorded"] for result in again["results"])
    assert_exactly_once(stage, account)
    assert_no_preflights(stage, account)


def test_what_a_preflight_and_a_submission_share_is_removed_when_neither_is_wanted(
    stage: Stage, tmp_path: Path
) -> None:
    account, cldc, folder = stage.contestant(tmp_path, 6)
    cldc("preflight", "--remote", folder, "--keep")
    cldc("submit", folder, "--yes")
    cldc("withdraw", "mine", "--yes")
    left = cldc("clean", "--unfinished", "--yes", "--format", "json").data["leftovers"]
    kinds = sorted(item["type"] or item["kind"] for item in left)
    assert kinds == ["dataset", "make", "run", "run", "worksheet", "worksheet"]
    assert not any(stage.made(account).values())
    assert_no_preflights(stage, account)


def test_a_failing_script_is_reported_by_dataset_also_for_what_a_submission_uploaded(
    stage: Stage, tmp_path: Path
) -> None:
    """The dataset that a submission uploaded is trained from there, though its folder has a new name."""
    account, cldc, folder = stage.contestant(tmp_path, 3)
    other = stage.folder(tmp_path / "other", 4)
    cldc("submit", folder, "--yes", "--no-preflight")
    renamed = folder.rename(tmp_path / "renamed")
    with stage.failing():
        failed = cldc("preflight", "--remote", renamed, other, "--format", "json", code=6)
    # The folder in the run is called as it was when it was uploaded.
    reasons = [failure["message"] for failure in failed.data["failed"]]
    assert ["no patience with mine" in reasons[0], "no patience with other" in reasons[1]] == [True, True]
    assert not failed.data["results"]
    made = stage.made(account)
    assert {kind: [bundle.name for bundle in bundles] for kind, bundles in made.items()} == {
        "dataset": ["mine"],
        "run": ["run-learn"],
        "make": ["mine"],
        "tagged": ["mine"],
    }


def test_nothing_is_trained_if_some_of_the_datasets_cannot_be_used(stage: Stage, tmp_path: Path) -> None:
    account, cldc, folder = stage.contestant(tmp_path, 4)
    broken = tmp_path / "broken"
    broken.mkdir()
    refused = cldc("preflight", "--remote", folder, broken, tmp_path / "nowhere", code=3)
    assert "2 of 3 datasets can't be used, so nothing was trained" in refused.err
    assert not any(stage.made(account).values())


def test_a_worker_that_is_killed_costs_a_try_and_no_result(
    stage: Stage, tmp_path: Path, environments_home: Path
) -> None:
    account = stage.account()
    home = stage.person(tmp_path / "home", account).home
    folder = stage.folder(tmp_path / "mine", 5)
    codalab = ensure_codalab(environments_home).python
    # Without a share of the server's own workers a run goes to the account's, which can be killed alone.
    change(stage, "UPDATE user SET parallel_run_quota = 0 WHERE user_name = ?", account.name)
    own = tmp_path / "worker"
    with (
        stage.held(),
        killed_in_the_end(
            [
                codalab,
                ROOT / "tests" / "support" / "inside" / "worker.py",
                stage.home / "sandbox",
                own,
                account.name,
            ]
        ) as worker,
    ):
        training = start(
            stage,
            account,
            home,
            "preflight",
            "--remote",
            folder,
            "--format",
            "json",
            module="tests.support.short_waits",
        )
        (lost,) = until(lambda: running(stage, account, 1), training)
        worker.kill()
        end_runs(own)
        change(stage, "UPDATE user SET parallel_run_quota = 3 WHERE user_name = ?", account.name)
        # An hour ago for the server, which else waits a minute.
        change(
            stage, "UPDATE worker SET checkin_time = datetime('now', '-1 hour') WHERE worker_id = ?", "own"
        )
        until(lambda: running(stage, account, 1, other_than=lost.uuid), training)
    output, said = training.communicate(timeout=120)
    assert training.returncode == 0, said
    assert "The worker that trained mine has stopped answering" in said
    assert "The run of mine lost its worker; training it again (try 2 of 3)." in said
    assert json.loads(output)["run"] != lost.uuid
    assert not any(stage.made(account).values())
    assert_no_preflights(stage, account)


@contextlib.contextmanager
def killed_in_the_end(command: list[str | Path]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def end_runs(own: Path) -> None:
    """A machine that dies takes the runs of its worker with it."""
    for record in (own / "runs").glob("*/process.json"):
        with contextlib.suppress(psutil.Error):
            os.killpg(json.loads(record.read_text(encoding="utf-8"))["pid"], signal.SIGKILL)


def assert_private(stage: Stage, account: Account) -> None:
    """Nobody but the account sees its bundles and worksheets."""
    made = stage.made(account)
    with Rest(stage.address) as everyone:
        for bundle in (*made["dataset"], *made["run"]):
            assert not bundle.tags
            assert not everyone.bundle(bundle.uuid).readable
    with stage.rest(account) as rest:
        worksheets = [worksheet for worksheet in rest.own_worksheets() if "preflight" in worksheet.name]
        assert worksheets
        assert all(rest.worksheet(worksheet.uuid).public_permission == 0 for worksheet in worksheets)


def assert_no_preflights(stage: Stage, account: Account) -> None:
    """No worksheet of a preflight is left."""
    with stage.rest(account) as rest:
        assert not [worksheet.name for worksheet in rest.own_worksheets() if "preflight" in worksheet.name]


def with_seeds(stage: Stage, tmp_path: Path) -> Path:
    """A copy of the stage's profile, whose built-in script takes a seed."""
    profile = shutil.copytree(stage.profile.parent, tmp_path / "profile") / "shapes.toml"
    text = profile.read_text(encoding="utf-8")
    profile.write_text(text.replace("[training]\n", '[training]\nseed_option = "--seed"\n'), encoding="utf-8")
    script = profile.with_name("learn.py")
    script.write_text(
        script.read_text(encoding="utf-8").replace("sys.argv[1:]", "sys.argv[1:3]"), encoding="utf-8"
    )
    return profile


def test_repeats_share_the_dataset_and_leave_nothing(stage: Stage, tmp_path: Path) -> None:
    account = stage.account()
    cldc = stage.person(tmp_path / "home", account, profile=with_seeds(stage, tmp_path))
    repeat = (
        "preflight",
        "--remote",
        "--repeat",
        "3",
        stage.folder(tmp_path / "mine", 7),
        "--format",
        "json",
    )
    outcome = cldc(*repeat)
    runs = outcome.data["runs"]
    assert [run["origin"] for run in runs] == ["competition", "built-in", "built-in"]
    assert len({run["run"] for run in runs}) == 3
    assert outcome.err.count("Packing") == 1
    assert not any(stage.made(account).values())
    assert_no_preflights(stage, account)
    assert all(run["recorded"] for run in cldc(*repeat).data["runs"])


def test_two_datasets_are_compared_from_runs_on_workers(stage: Stage, tmp_path: Path) -> None:
    account = stage.account()
    cldc = stage.person(tmp_path / "home", account, profile=with_seeds(stage, tmp_path))
    options = ("compare", stage.folder(tmp_path / "a", 8), stage.folder(tmp_path / "b", 9), "--repeat", "2")
    data = cldc(*options, "--remote", "--format", "json").data["repeated"]
    # The script of the stage says no seed of its own.
    assert [pair["seed"] for pair in data["pairs"]] == [None, 1]
    assert {pair["validation_before"] for pair in data["pairs"]} == {0.25}
    # This script leaves no predictions by which to judge, and the answer says so.
    assert data["judgements"] == []
    judge = sample.draw(tmp_path / "judge", stage.competition, images=40, seed=5) / "check"
    refused = cldc(*options, "--remote", "--judge", judge, code=2).err
    assert "names no file in which its script keeps the model" in " ".join(refused.split())
    assert not any(stage.made(account).values())
    assert_no_preflights(stage, account)


@pytest.mark.lasts(70)
def test_models_that_workers_trained_judge_a_folder_here(environments_home: Path, tmp_path: Path) -> None:
    stage = raise_stage(tmp_path / "stage", environments_home, script=LEARNING)
    try:
        profile = with_seeds(stage, tmp_path)
        text = profile.read_text(encoding="utf-8")
        profile.write_text(
            text.replace("[training]\n", '[training]\ncheckpoint = "model"\n'), encoding="utf-8"
        )
        account = stage.account()
        cldc = stage.person(tmp_path / "home", account, profile=profile)
        judge = sample.draw(tmp_path / "judge", stage.competition, images=400, seed=5) / "check"
        folders = stage.folder(tmp_path / "a", 8), stage.folder(tmp_path / "b", 9)
        options = ("compare", *folders, "--remote", "--repeat", "2", "--judge", judge, "--format", "json")
        data = cldc(*options).data["repeated"]
        # Their validation splits differ, so that these can't judge.
        assert [judgement["by"] for judgement in data["judgements"]] == [f"images of {judge}", "label book"]
        assert all(j["low"] <= j["difference"] <= j["high"] for j in data["judgements"])
        assert data["judgements"][0]["images"] == len(list(judge.rglob("*.png")))
        assert not any(stage.made(account).values())
        again = cldc(*options)  # from the records
        assert again.data["repeated"] == data
        assert "Packing" not in again.err
    finally:
        lower_stage(stage)
