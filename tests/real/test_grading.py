"""A small class without a server: six hand in, two of them what can't be used; killed in the middle and run again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from cldc.competition import load
from cldc.preflight.records import all_records
from cldc.sample import draw_label_book
from tests.conftest import ROOT, Cldc

PROFILE = """
extends = "demo"
title = "Winter term"
[run]
command = "python train.py {dataset} {label_book} --epochs 2"
[training]
epochs = 2
"""
GOOD = ("ada", "bob", "cy", "dee")


@pytest.mark.real
def test_a_class_is_graded_though_two_are_unusable_and_it_was_killed(cldc: Cldc, tmp_path: Path) -> None:
    profile = tmp_path / "winter.toml"
    profile.write_text(PROFILE)
    draw_label_book(tmp_path / "hidden", load(str(profile)), images=30, seed=9)
    hand_in = what_they_hand_in(cldc, tmp_path, profile)
    arguments = ("organise", "grade", hand_in, "--test-set", tmp_path / "hidden", "--competition", profile)
    kill_in_the_middle(cldc, arguments, tmp_path)
    before = {record.id: record.started for record in all_records(cldc.home)}
    assert 1 <= len(before) < len(GOOD) - 1

    done = cldc(*arguments, "--format", "json", cwd=tmp_path).data
    records = {record.id: record for record in all_records(cldc.home)}
    assert {identity: records[identity].started for identity in before} == before
    assert len(records) == len(GOOD) - 1  # two handed in the same
    grades = {grade["student"]: grade for grade in done["grades"]}
    assert grades.keys() == {*GOOD, "eli", "fay"}
    for name in GOOD:
        # The built-in evaluation counts what the training script itself printed of the hidden test set.
        printed = records[grades[name]["preflight"]].label_book
        assert printed is not None
        assert grades[name]["score"] == pytest.approx(printed.accuracy, abs=1e-6)
        assert grades[name]["problem"] == ""
    assert "eli.zip: in eli/eli" in grades["eli"]["problem"]
    assert "encrypted" in grades["fay"]["problem"]
    assert [(group["students"], group["whole"]) for group in done["shared"]] == [(["cy", "dee"], True)]

    folder = tmp_path / "grades"
    lines = (folder / "grades.csv").read_text().splitlines()
    assert len(lines) == 1 + len(grades)
    assert json.loads((folder / "grades.json").read_text())["grades"] == done["grades"]
    board = (folder / "index.html").read_text()
    assert all(name in board for name in GOOD)
    assert "fay" not in board
    assert "encrypted" in (folder / "students" / "fay.html").read_text()
    again = cldc(*arguments, "--format", "json", cwd=tmp_path)
    assert again.data["grades"] == done["grades"]
    assert "Training" not in again.err


def what_they_hand_in(cldc: Cldc, folder: Path, profile: Path) -> Path:
    """Two zips and a platform's folder as `cldc package` writes them, a checkout, and two that are no use."""
    hand_in = folder / "in"
    hand_in.mkdir()
    for seed, name in enumerate(("ada", "bob", "cy")):
        cldc("sample", folder / name, "--images", "40", "--seed", str(seed))
    for name, place in (("ada", hand_in), ("cy", hand_in)):
        cldc("package", folder / name, "--into", place, "--competition", profile)
    (hand_in / "bob" / ".git").mkdir(parents=True)
    shutil.copytree(folder / "bob", hand_in / "bob" / "pictures")
    (hand_in / "bob" / "cldc.toml").write_text('dataset = "pictures"\n')
    (hand_in / "dee").mkdir()
    shutil.copy(hand_in / "cy.zip", hand_in / "dee" / "hand-in.zip")
    with zipfile.ZipFile(hand_in / "eli.zip", "w") as archive:
        for path in (folder / "ada").rglob("*.png"):
            archive.write(path, Path("eli", "eli", path.relative_to(folder / "ada")))
    with zipfile.ZipFile(hand_in / "fay.zip", "w") as archive:
        archive.writestr("fay/train/i/1.png", b"x")
    content = bytearray((hand_in / "fay.zip").read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (hand_in / "fay.zip").write_bytes(content)
    return hand_in


# On two processors at most, so that not everything is trained at once.
START = "import os, runpy; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2]); runpy.run_module('cldc', run_name='__main__')"


def kill_in_the_middle(cldc: Cldc, arguments: tuple[str | Path, ...], folder: Path) -> None:
    """Start the grading, and kill it once the first training is kept."""
    child = subprocess.Popen(
        [sys.executable, "-c", START, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "CLDC_HOME": str(cldc.home), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 600
    while not all_records(cldc.home) and time.monotonic() < end and child.poll() is None:
        time.sleep(0.1)
    child.send_signal(signal.SIGKILL)
    child.wait()
