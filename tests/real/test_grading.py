"""A class without a server: some hand in what can't be used; the grading is killed in the middle and run again.

`CLDC_CLASS_SIZE=30` takes thirty students, five of them with what can't be used.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cldc.competition import load
from cldc.preflight.result_store import all_records
from cldc.sample import draw_label_book
from tests.support.commands import ROOT, Cldc

PROFILE = """
extends = "demo"
title = "Winter term"
[run]
command = "python train.py {dataset} {label_book} --epochs 2"
[training]
epochs = 2
"""
SIZE = int(os.environ.get("CLDC_CLASS_SIZE", "6"))
# `cldc` that kills itself once the first training is kept; on two processors at most, so that not everything is
# trained at once.
KILLED = """
import os, runpy, signal
from cldc.preflight import result_store

def store(*arguments, store=result_store.store):
    store(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

result_store.store = store
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
runpy.run_module("cldc", run_name="__main__")
"""


def hand_in_deep(dataset: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for image in dataset.rglob("*.png"):
            archive.write(image, Path("a", "b", image.relative_to(dataset)))


def hand_in_flat(dataset: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for image in dataset.rglob("*.png"):
            archive.write(image, image.relative_to(dataset))


def hand_in_encrypted(_: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mine/train/i/1.png", b"x")
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


def hand_in_escaping(_: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../evil.png", b"x")


def hand_in_damaged(_: Path, path: Path) -> None:
    path.write_bytes(b"PK\x03\x04 and no more")


UNUSABLE: tuple[tuple[Callable[[Path, Path], None], str], ...] = (
    (hand_in_deep, "at the wrong level"),
    (hand_in_encrypted, "is encrypted"),
    (hand_in_flat, "lie at the top"),
    (hand_in_escaping, "it names a file"),
    (hand_in_damaged, "it is damaged"),
)
BAD = max(2, SIZE // 6)


@pytest.mark.lasts(55)
def test_a_class_is_graded_though_some_are_unusable_and_it_was_killed(cldc: Cldc, tmp_path: Path) -> None:
    profile = tmp_path / "winter.toml"
    profile.write_text(PROFILE)
    draw_label_book(tmp_path / "hidden", load(str(profile)), images=30, seed=9)
    hand_in = tmp_path / "in"
    good, bad = what_they_hand_in(cldc, hand_in, profile)
    arguments = ("organise", "grade", hand_in, "--test-set", tmp_path / "hidden", "--competition", profile)
    kill_in_the_middle(cldc, arguments, tmp_path)
    before = {record.id: record.started for record in all_records(cldc.home)}
    different = len(good) - 1  # two handed in the same
    assert 1 <= len(before) < different

    done = cldc(*arguments, "--format", "json", cwd=tmp_path).data
    records = {record.id: record for record in all_records(cldc.home)}
    assert {identity: records[identity].started for identity in before} == before
    assert len(records) == different
    grades = {grade["student"]: grade for grade in done["grades"]}
    assert grades.keys() == {*good, *bad}
    for name in good:
        # The built-in evaluation counts what the training script itself printed of the hidden test set.
        printed = records[grades[name]["preflight"]].label_book
        assert printed is not None
        assert grades[name]["score"] == pytest.approx(printed.accuracy, abs=1e-6)
        assert grades[name]["problem"] == ""
    for name, problem in bad.items():
        assert problem in grades[name]["problem"]
        assert grades[name]["score"] is None
    (shared,) = done["shared"]
    assert (shared["students"], shared["whole"]) == ([good[-2], good[-1]], True)

    folder = tmp_path / "grades"
    assert len((folder / "grades.csv").read_text().splitlines()) == 1 + SIZE
    assert json.loads((folder / "grades.json").read_text())["grades"] == done["grades"]
    board = (folder / "index.html").read_text()
    assert all(name in board for name in good)
    for name in bad:
        assert name not in board
        assert "No score" in (folder / "students" / f"{name}.html").read_text()
    assert not (tmp_path / "evil.png").exists()
    listed = cldc("history", "--format", "json", "--competition", profile).data["entries"]
    assert {entry["kind"] for entry in listed} == {"grading"}
    again = cldc(*arguments, "--format", "json", cwd=tmp_path)
    assert again.data["grades"] == done["grades"]
    assert "Training" not in again.err


def what_they_hand_in(cldc: Cldc, folder: Path, profile: Path) -> tuple[list[str], dict[str, str]]:
    """Good ones as zips, checkouts and a platform's folders, the last of them twice; and what can't be used."""
    folder.mkdir()
    good = [f"student-{number:02}" for number in range(SIZE - BAD)]
    drawn = folder.parent / "drawn"
    for seed, name in enumerate(good[:-1]):
        cldc("sample", drawn / name, "--images", "40", "--seed", str(seed))
        packing = ("package", drawn / name, "--competition", profile, "--into")
        if seed % 3 == 0:
            cldc(*packing, folder)
        elif seed % 3 == 1:
            (folder / name / ".git").mkdir(parents=True)
            shutil.copytree(drawn / name, folder / name / "pictures")
            (folder / name / "cldc.toml").write_text('dataset = "pictures"\n')
        else:
            (folder / name).mkdir()
            cldc(*packing, folder / name)
    shutil.copytree(drawn / good[-2], folder / good[-1])
    bad = {}
    for number in range(BAD):
        make, problem = UNUSABLE[number % len(UNUSABLE)]
        name = f"unlucky-{number:02}"
        make(drawn / good[0], folder / f"{name}.zip")
        bad[name] = problem
    return good, bad


def kill_in_the_middle(cldc: Cldc, arguments: tuple[str | Path, ...], folder: Path) -> None:
    """Start the grading, which is killed once the first training is kept."""
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "CLDC_HOME": str(cldc.home), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=600,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed
