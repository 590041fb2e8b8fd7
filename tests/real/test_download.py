"""`cldc download` from a real CodaLab: folders of the right shape, and an interruption costs only what was on its way."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cldc import process, sandbox
from cldc.environments import ensure_codalab
from tests.support.commands import ROOT, Cldc
from tests.support.folders import contents, make_dataset
from tests.support.small_competition import PROFILE, SCRIPT, materials

_KILLED_AT_THE_FOURTH_FOLDER = """
import itertools, os, signal, sys
from cldc.__main__ import run
from cldc.codalab import Rest

numbers, download = itertools.count(1), Rest.download

def killed(*arguments, **options):
    if next(numbers) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return download(*arguments, **options)

Rest.download = killed
run(sys.argv[1:])
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """A sandbox whose bundles hold these folders."""

    cldc: Cldc
    dataset: Path
    label_book: Path


@pytest.fixture(scope="module")
def site(environments_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data, given = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("given")
    start = make_dataset(given / "images", train=12)
    files = dataclasses.replace(materials(given / "materials"), starting_dataset=start)
    python = ensure_codalab(environments_home).python
    sandbox.up(data, PROFILE, files, codalab_python=python, tensorflow_bin=Path(sys.executable).parent)
    yield Site(Cldc(data, {}), start, given / "materials" / "book")
    sandbox.down(data)


def test_everything_comes_in_the_right_shape(site: Site, tmp_path: Path) -> None:
    done = site.cldc("download", "--server", "sandbox", cwd=tmp_path)
    bundles = PROFILE.bundles
    assert bundles.starting_dataset is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        (bundles.starting_dataset.name, bundles.label_book.name, bundles.script.name)
    )
    assert contents(tmp_path / bundles.starting_dataset.name) == contents(site.dataset)
    assert contents(tmp_path / bundles.label_book.name) == contents(site.label_book)
    assert "json.dump" in SCRIPT
    assert "json.dump" in (tmp_path / bundles.script.name).read_text()
    site.cldc("validate", tmp_path / bundles.starting_dataset.name)
    assert "Next: cldc validate" in done.out


def test_nothing_that_is_there_is_written_over(site: Site, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("mine")
    (tmp_path / "images").mkdir()
    for what, place in (("script", "train.py"), ("dataset", "images")):
        done = site.cldc("download", what, "--into", place, "--server", "sandbox", cwd=tmp_path, code=2)
        assert "exists already" in done.err
    assert (tmp_path / "train.py").read_text() == "mine"
    site.cldc("download", "script", "--into", "other.py", "--server", "sandbox", cwd=tmp_path)
    assert (
        "matches the server"
        in site.cldc("download", "script", "--into", "other.py", "--server", "sandbox", cwd=tmp_path).out
    )


def test_a_killed_download_goes_on(site: Site, tmp_path: Path) -> None:
    arguments = ("download", "dataset", "--into", str(tmp_path / "mine"), "--server", "sandbox")
    killed = process.run(
        [sys.executable, "-c", _KILLED_AT_THE_FOURTH_FOLDER, *arguments],
        env={**os.environ, "CLDC_HOME": str(site.cldc.home)},
        cwd=ROOT,
        timeout_seconds=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed
    assert not (tmp_path / "mine").exists()
    arrived = {path.parent.name: path.stat().st_ino for path in tmp_path.glob(".mine-*.part/train/*/0.png")}
    assert len(arrived) == 3
    site.cldc(*arguments)
    assert contents(tmp_path / "mine") == contents(site.dataset)
    again = {name: (tmp_path / "mine/train" / name / "0.png").stat().st_ino for name in arrived}
    assert again == arrived, "what had arrived was fetched again"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
