"""Environments are made once, by one process, from locked requirements, and are ready only when seen working."""

from __future__ import annotations

from pathlib import Path

import pytest

from cldc import process
from cldc.competition import load
from cldc.environments import (
    diagnose,
    ensure_codalab,
    ensure_tensorflow,
    pythons,
)

REAL_USER = Path.home()  # before a fixture gives every test a home of its own


@pytest.fixture
def shared(environments_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder that all tests share, for the large environments."""
    monkeypatch.setenv("HOME", str(REAL_USER))  # where Pythons are found, and what uv has downloaded before
    return environments_home


@pytest.mark.parametrize("python", ["3.9", "3.11", "3.12", "3.13"])
def test_codalab_runs_on_each_python_of_this_machine(
    python: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if pythons.find(python, shared) is None:
        pytest.skip(f"there is no Python {python} on this machine")
    monkeypatch.setenv("CLDC_CODALAB_PYTHON", python)
    environment = ensure_codalab(shared)
    assert environment.name == f"codalab-1.7.5-py{python.replace('.', '')}"
    done = process.run(
        [environment.python, "-W", "ignore", environment.bin / "cl", "help"],
        env=process.clean_environment({"CODALAB_HOME": str(tmp_path / "cl")}),
        timeout_seconds=120,
    )
    assert "upload" in done.stdout


def test_the_competitions_tensorflow_is_installed(shared: Path) -> None:
    environment = ensure_tensorflow(load().training.tensorflow, shared)
    script = "import tensorflow as tf; print(tf.__version__)"
    done = process.run(
        [environment.python, "-c", script], env=process.clean_environment(), timeout_seconds=120
    )
    assert done.stdout.strip() == environment.version
    found = {each.recipe.name: each for each in diagnose(shared, load().training.tensorflow)}
    assert found[environment.name].environment == environment
