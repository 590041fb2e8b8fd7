"""Environments are made once, by one process, from locked requirements, and are ready only when seen working."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from cldc import process
from cldc.competition import TensorFlowChoice, builtin_profiles, load
from cldc.environments import (
    creation,
    diagnose,
    ensure_codalab,
    ensure_tensorflow,
    list_environments,
    pythons,
    remove_environment,
)
from cldc.environments.model import MARKER, Recipe
from cldc.environments.selection import CODALAB_PYTHON_VARIABLE, tensorflow_recipes, unsupported
from cldc.errors import ConfigurationError, EnvironmentFailed, UsageError
from cldc.files import DiskFull
from cldc.resources import template
from tests.support.observers import Heard
from tests.support.processes import soon

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
LOCKS = sorted(template("environments").glob("*.txt"))
SIX = """six==1.17.0 \\
    --hash=sha256:4721f391ed90541fddacab5946aa4867064c3aae9b2a9aa45b4ab8ac8b2ee8e9 \\
    --hash=sha256:ff70335d468e7eb6ec65b95b99d3a2836546063f63acc5171de367e834932a81
"""


class Version(NamedTuple):
    """As much of `sys.version_info` as is looked at."""

    major: int
    minor: int


@pytest.fixture
def home(tmp_path: Path, environments_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of this test, with what was downloaded before at hand."""
    monkeypatch.setenv("UV_CACHE_DIR", str(environments_home / "uv"))
    return tmp_path / "home"


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """An environment that is made in a second, and whose check passes unless a file is there."""
    health = tmp_path / "health.py"
    health.write_text(
        "import os, pathlib, signal, six\nif pathlib.Path(__file__).with_name('ill').exists():\n"
        "    os.kill(os.getpid(), signal.SIGILL)\n"
    )
    monkeypatch.setattr(creation, "HEALTH", health)
    requirements = tmp_path / "small.txt"
    requirements.write_text(SIX)
    return Recipe("codalab", "1", HERE, requirements)


@pytest.fixture
def here() -> pythons.Interpreter:
    """The Python that runs the tests."""
    found = pythons.find(HERE, Path("/nowhere"))
    assert found is not None
    return found


def test_an_environment_is_made_with_progress_and_then_found(
    small: Recipe, here: pythons.Interpreter, home: Path
) -> None:
    notes = Heard()
    assert creation.ready(small, home) is None
    made = creation.make(small, here, home, notes)
    assert made == creation.ready(small, home) == list_environments(home)[0]
    assert made.name == f"codalab-1-py{HERE.replace('.', '')}"
    assert made.python_version.startswith(HERE)
    assert not any("://" in detail for detail in notes.details)
    assert [task for task, _, _ in notes.tasks] == [
        f"Creating the environment {small.name} (once on this machine)",
        f"Checking the environment {small.name}",
    ]
    done = process.run(
        [made.python, "-c", "import six, sys; print(six.__version__, sys.prefix)"], timeout_seconds=60
    )
    assert done.stdout.split() == ["1.17.0", str(made.path)]


def test_leftovers_of_a_broken_attempt_are_replaced(
    small: Recipe, here: pythons.Interpreter, home: Path
) -> None:
    folder = home / "environments" / small.id
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "half").write_text("of a file")
    assert creation.ready(small, home) is None
    assert list_environments(home) == []
    creation.make(small, here, home, Heard())
    assert not (folder / "lib" / "half").exists()
    assert creation.ready(small, home) is not None


def test_a_check_that_fails_leaves_nothing_that_counts_as_ready(
    small: Recipe, here: pythons.Interpreter, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "ill").touch()
    with pytest.raises(EnvironmentFailed, match=r"processor.*SIGILL") as raised:
        creation.make(small, here, home, Heard())
    assert "AVX" in raised.value.action
    assert creation.ready(small, home) is None
    assert not (home / "environments" / small.id).exists()


def test_an_interruption_leaves_nothing(
    small: Recipe, here: pythons.Interpreter, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(creation, "check", interrupt)
    with pytest.raises(KeyboardInterrupt):
        creation.make(small, here, home, Heard())
    assert not (home / "environments" / small.id).exists()


MAKER = """
import sys
from pathlib import Path
from cldc.environments import creation, pythons
from cldc.environments.model import Recipe
from cldc.progress import SILENT
home, requirements, health, python, base = sys.argv[1:]
creation.HEALTH = Path(health)
recipe = Recipe("codalab", "1", python, Path(requirements))
print("ready to make", flush=True)
input()
environment = creation.make(recipe, pythons.Interpreter(Path(base), python + ".0"), Path(home), SILENT)
print(environment.made, flush=True)
"""


def maker(small: Recipe, here: pythons.Interpreter, home: Path, health: Path) -> process.Child:
    arguments = [home, small.requirements, health, HERE, here.path]
    child = process.Child([sys.executable, "-c", MAKER, *map(str, arguments)])
    assert child.receive(120) == "ready to make"
    return child


def test_an_environment_wanted_twice_at_once_is_made_once(
    small: Recipe, here: pythons.Interpreter, home: Path, tmp_path: Path
) -> None:
    # The check of the first takes long enough for the second to come; a second check would fail.
    health = tmp_path / "once.py"
    health.write_text(
        "import pathlib, time\npathlib.Path(__file__).with_name('checked').mkdir()\ntime.sleep(2)\n"
    )
    with maker(small, here, home, health) as first, maker(small, here, home, health) as second:
        for child in (first, second):
            child.send("")
        assert first.receive(120) == second.receive(120)


def test_what_a_kill_left_half_made_is_replaced(
    small: Recipe, here: pythons.Interpreter, home: Path, tmp_path: Path
) -> None:
    health = tmp_path / "slow.py"
    health.write_text(
        "import pathlib, time\npathlib.Path(__file__).with_name('begun').touch()\ntime.sleep(600)\n"
    )
    with maker(small, here, home, health) as child:
        child.send("")
        assert soon((tmp_path / "begun").exists)
        child.stop()
    assert (home / "environments" / small.id).is_dir()
    assert creation.ready(small, home) is None
    assert creation.make(small, here, home, Heard()) == creation.ready(small, home)


def test_without_a_network_it_says_what_was_tried_and_what_to_do(
    small: Recipe, here: pythons.Interpreter, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    with pytest.raises(EnvironmentFailed, match=r"(?s)codalab-1-.*can't be downloaded.*six") as raised:
        creation.make(small, here, home, Heard())
    assert "Connect to the network" in raised.value.action


def test_a_package_that_is_not_the_locked_one_is_refused(
    small: Recipe, here: pythons.Interpreter, home: Path
) -> None:
    small.requirements.write_text(re.sub("sha256:....", "sha256:0000", SIX))
    with pytest.raises(EnvironmentFailed, match="not the one that cldc was released with"):
        creation.make(small, here, home, Heard())


def test_a_full_disk_is_reported(
    small: Recipe, here: pythons.Interpreter, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = tmp_path / "uv"
    full.write_text(
        "#!/bin/sh\necho 'error: failed to write: No space left on device (os error 28)'\nexit 2\n"
    )
    full.chmod(0o755)
    monkeypatch.setattr("uv.find_uv_bin", lambda: str(full))
    with pytest.raises(DiskFull, match="environments"):
        creation.make(small, here, home, Heard())


def test_an_environment_is_not_ready_when_moved_damaged_or_without_its_python(
    small: Recipe, here: pythons.Interpreter, home: Path
) -> None:
    made = creation.make(small, here, home, Heard())
    home.rename(home.with_name("moved"))
    assert creation.ready(small, home.with_name("moved")) is None
    home.with_name("moved").rename(home)
    assert creation.ready(small, home) == made
    linked = home.with_name("linked")
    linked.mkdir()
    (linked / "environments").symlink_to(home / "environments")
    assert creation.ready(small, linked) == made
    marker = made.path / MARKER
    content = marker.read_text(encoding="utf-8")
    marker.write_text(content.replace(made.made.isoformat(), "yesterday"), encoding="utf-8")
    assert creation.ready(small, home) is None
    marker.write_text(content, encoding="utf-8")
    assert creation.ready(small, home) == made
    made.python.unlink()
    assert creation.ready(small, home) is None


def test_removal_by_kind_name_or_id_but_not_in_use(
    small: Recipe, here: pythons.Interpreter, home: Path
) -> None:
    made = creation.make(small, here, home, Heard())
    with process.Stream([made.python, "-c", "import time; print(1, flush=True); time.sleep(600)"]) as user:
        next(iter(user))
        with pytest.raises(EnvironmentFailed, match=r"in use \(process \d+"):
            remove_environment(home, "codalab")
    with pytest.raises(UsageError, match="no environment tensorflow"):
        remove_environment(home, "tensorflow")
    assert remove_environment(home, made.name) == [made.path]
    assert not made.path.exists()
    assert list_environments(home) == []


def test_a_python_is_found_past_a_shim_that_fails(
    tmp_path: Path, here: pythons.Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cldc.environments.pythons.sys.version_info", Version(3, 0))
    shims = tmp_path / "shims"
    shims.mkdir()
    (shims / f"python{HERE}").write_text("#!/bin/sh\necho 'pyenv: not found' >&2\nexit 127\n")
    (shims / f"python{HERE}").chmod(0o755)
    real = tmp_path / "pyenv" / "versions" / f"{HERE}.99" / "bin" / f"python{HERE}"
    real.parent.mkdir(parents=True)
    real.symlink_to(here.path)
    monkeypatch.setenv("PATH", str(shims))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert pythons.find(HERE, tmp_path) == pythons.Interpreter(real, here.version)


def test_without_a_python_the_download_is_tried_and_reported(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setattr(pythons, "find", lambda *_: None)
    choice = TensorFlowChoice("2.4.1", "3.8", faithful=True, why="")
    monkeypatch.setattr("cldc.environments.selection.unsupported", lambda _: None)
    with pytest.raises(
        EnvironmentFailed, match=r"(?s)no Python 3\.8.*Network connectivity is disabled"
    ) as raised:
        ensure_tensorflow([choice], home)
    assert "Install Python 3.8" in raised.value.action


def test_the_fallback_is_announced_and_a_failed_download_is_not_retried_each_time(
    small: Recipe, here: pythons.Interpreter, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    def fetch(python: str, *_: object) -> pythons.Interpreter:
        fetched.append(python)
        raise EnvironmentFailed(f"There is no Python {python} here.", action="Get it.")

    def recipes(choices: Sequence[TensorFlowChoice]) -> list[Recipe]:
        return [
            Recipe("tensorflow", each.version, each.python, small.requirements, each.faithful, each.why)
            for each in choices
        ]

    monkeypatch.setattr(pythons, "fetch", fetch)
    monkeypatch.setattr(pythons, "find", lambda python, _: here if python == HERE else None)
    monkeypatch.setattr("cldc.environments.selection.tensorflow_recipes", recipes)
    monkeypatch.setattr("cldc.environments.selection.unsupported", lambda _: None)
    choices = [
        TensorFlowChoice("2.4.1", "3.8", faithful=True, why=""),
        TensorFlowChoice("2.5.0", "3.9", faithful=True, why=""),
        TensorFlowChoice("2.21.0", HERE, faithful=False, why="another rate"),
    ]
    notes = Heard()
    environment = ensure_tensorflow(choices, home, notes)
    assert (environment.version, environment.faithful) == ("2.21.0", False)
    assert notes.notes == [f"There is no Python 3.8 here. Using {environment.name} (another rate)."]
    assert ensure_tensorflow(choices, home, notes) == environment
    assert fetched == ["3.8"]


@pytest.mark.parametrize(
    ("system", "machine", "version", "there"),
    [
        ("linux", "x86_64", "2.4.1", True),
        ("linux", "aarch64", "2.4.1", False),
        ("linux", "aarch64", "2.21.0", True),
        ("darwin", "x86_64", "2.4.1", True),
        ("darwin", "x86_64", "2.21.0", False),
        ("darwin", "arm64", "2.9.3", False),
        ("darwin", "arm64", "2.21.0", True),
        ("win32", "AMD64", "2.4.1", True),
    ],
)
def test_machines_without_a_build_are_known_beforehand(
    system: str, machine: str, version: str, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("cldc.environments.selection.sys", type("Sys", (), {"platform": system}))
    (recipe,) = tensorflow_recipes([TensorFlowChoice(version, "3.8", faithful=True, why="")])
    assert (unsupported(recipe) is None) is there


def test_unknown_versions_are_refused_with_the_known_ones(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match=r"2\.3\.0") as raised:
        ensure_tensorflow([TensorFlowChoice("2.3.0", "3.8", faithful=True, why="")], home)
    assert "2.4.1" in raised.value.action
    monkeypatch.setenv(CODALAB_PYTHON_VARIABLE, "3.7")
    with pytest.raises(ConfigurationError, match=r"3\.7"):
        ensure_codalab(home)


def test_every_choice_of_every_profile_has_locked_requirements() -> None:
    for name in builtin_profiles():
        for recipe in tensorflow_recipes(load(name).training.tensorflow):
            assert recipe.requirements.is_file()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_locked_requirements_have_a_hash_each_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert "--index" not in text
    entries = re.split(r"\n(?=[a-z])", re.sub(r"(?m)^\s*#.*\n?", "", text).strip())
    assert len(entries) > 1
    for entry in entries:
        assert re.match(r"[a-z0-9.-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_a_diagnosis_creates_nothing_and_says_what_would_be_used(
    home: Path, monkeypatch: pytest.MonkeyPatch, here: pythons.Interpreter
) -> None:
    monkeypatch.setattr(pythons, "find", lambda python, _: here if python in ("3.9", HERE) else None)
    choices = [
        TensorFlowChoice("2.4.1", "3.8", faithful=True, why=""),
        TensorFlowChoice("2.21.0", HERE, faithful=False, why="another rate"),
    ]
    monkeypatch.setattr("cldc.environments.inventory.unsupported", lambda _: None)
    found = {each.recipe.name: each for each in diagnose(home, choices)}
    assert found["codalab-1.7.5-py39"].used
    assert found["codalab-1.7.5-py39"].problem is None
    missing = found["tensorflow-2.4.1-py38"]
    assert (missing.used, missing.interpreter) == (False, None)
    assert "no Python 3.8" in (missing.problem or "")
    assert found[f"tensorflow-2.21.0-py{HERE.replace('.', '')}"].used
    assert not home.exists()
