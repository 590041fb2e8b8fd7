"""The scan compared with the real `image_dataset_from_directory`, on folders with anything odd in them.

``CLDC_DIFFERENTIAL_FOLDERS=1000`` asks for more folders, ``CLDC_DIFFERENTIAL_SEED`` for other ones.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cldc import competition
from cldc.environments import ensure_tensorflow
from cldc.process import run
from cldc.validation import ValidationReport, validate
from tests.support.commands import ROOT
from tests.support.folders import CLASSES, make_odd_split

pytestmark = pytest.mark.timeout(1800)

COMPETITION = competition.load()
_FOLDERS = int(os.environ.get("CLDC_DIFFERENTIAL_FOLDERS", "60"))
_SEED = int(os.environ.get("CLDC_DIFFERENTIAL_SEED", "1"))
_LISTER = ROOT / "tests" / "support" / "inside" / "list_folders.py"
# Rules that say: the script stops before it has a list of files.
_STOPS = {"split-missing", "class-misnamed", "class-missing", "class-extra", "split-empty", "name-not-utf8"}


@pytest.fixture(scope="module")
def tensorflow(environments_home: Path) -> Path:
    """The Python of the competition's TensorFlow; CLDC_TEST_TENSORFLOW names another one."""
    given = os.environ.get("CLDC_TEST_TENSORFLOW")
    return (
        Path(given) if given else ensure_tensorflow(COMPETITION.training.tensorflow, environments_home).python
    )


def test_the_scan_finds_the_files_that_tensorflow_reads_or_an_error(tensorflow: Path, tmp_path: Path) -> None:
    folders = []
    for number in range(_FOLDERS):
        folder = tmp_path / str(number)
        make_odd_split(folder / "train", Random(_SEED * 1_000_003 + number))
        (folder / "val").mkdir()
        folders.append(folder)
    for folder, answer in zip(folders, _ask(tensorflow, folders), strict=True):
        report = validate(folder, COMPETITION)
        stops = [f for f in report.findings if f.rule in _STOPS and f.paths[0].startswith("train")]
        if "error" in answer:
            assert stops, f"{folder}: TensorFlow stops with {answer['error']}"
        else:
            assert not stops, f"{folder}: TensorFlow does not stop"
            assert _listed(report) == answer["files"], folder


def _ask(python: Path, folders: list[Path]) -> list[dict[str, Any]]:
    asked = json.dumps({"classes": CLASSES, "folders": [str(folder / "train") for folder in folders]})
    answers: list[dict[str, Any]] = json.loads(
        run([python, _LISTER], text=asked, timeout_seconds=1500).stdout
    )
    return answers


def _listed(report: ValidationReport) -> list[list[Any]]:
    return sorted(
        [os.fsencode(image.path.partition("/")[2]).hex(), CLASSES.index(image.label)]
        for image in report.dataset.images
    )
