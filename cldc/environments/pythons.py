"""Find a Python of a given version on this machine, or download one.

uv's own search stops at pyenv's shims: they are on PATH for every version that is installed, and fail for all but
the active one (https://github.com/astral-sh/uv/issues/1795). So the places where Pythons are known to live
are searched here, each candidate is run, and uv is given the path of the interpreter itself. findpython would search some of
them, but not conda, mise, Homebrew's other versions or the folder of GitHub's runners.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uv

from cldc.errors import EnvironmentFailed, ProcessFailed
from cldc.process import Stream, clean_environment, run
from cldc.progress import Observer

_PROBE_SECONDS = 20
# Standard modules that the packages import and that a self-built Python may lack.
_MODULES = ("bz2", "ctypes", "lzma", "sqlite3", "ssl", "zlib")
_PROBE = f"""
import json, platform, struct, sys
def missing(name):
    try:
        __import__(name)
    except ImportError:
        return True
print(json.dumps([platform.python_version(), platform.python_implementation(), struct.calcsize("P") * 8,
                  [name for name in {_MODULES!r} if missing(name)]]))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A working Python: its path and full version."""

    path: Path
    version: str


def find(python: str, home: Path) -> Interpreter | None:
    """Find the first working 64-bit CPython of the version ``python`` (major.minor) on this machine, if any."""
    seen: set[Path] = set()
    for candidate in _candidates(python, home):
        if candidate in seen or not candidate.is_file():
            continue
        seen.add(candidate)
        if interpreter := _probe(candidate, python):
            return interpreter
    return None


def fetch(python: str, home: Path, observer: Observer) -> Interpreter:
    """Download a Python with uv into the data folder ``home``.

    Raises:
        EnvironmentFailed: It can't be downloaded.
    """
    observer.start(f"Downloading Python {python}")
    env = clean_environment({"UV_PYTHON_INSTALL_DIR": str(home / "pythons")})
    command = [uv.find_uv_bin(), "python", "install", "--no-bin", "--no-config", python]
    with Stream(command, env=env, timeout_seconds=900) as child:
        for line in child:
            observer.advance(0, line.strip())
    interpreter = find(python, home) if child.returncode == 0 else None
    if interpreter is None:
        said = [line.strip() for line in child.tail.splitlines() if line.strip()] or ["uv did not say why"]
        reason = said[-1].removeprefix("cause:").strip().rstrip(".")
        raise EnvironmentFailed(
            f"There is no Python {python} on this machine, and it can't be downloaded: {reason}.",
            action=f"Install Python {python} (pyenv, uv, conda or your system's packages all do), or connect to the network.",
        )
    return interpreter


def _probe(path: Path, python: str) -> Interpreter | None:
    try:
        done = run(
            [path, "-I", "-c", _PROBE], env=clean_environment(), timeout_seconds=_PROBE_SECONDS, check=False
        )
        version, implementation, bits, missing = json.loads(done.stdout)
    except (ProcessFailed, ValueError):
        return None
    good = version.startswith(f"{python}.") and implementation == "CPython" and bits == 64 and not missing
    return Interpreter(path, version) if good else None


def _candidates(python: str, home: Path) -> Iterator[Path]:
    """List the paths where that version may be, the most likely first."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        yield Path(getattr(sys, "_base_executable", sys.executable))
    for folder, pattern in _collections(python, home):
        yield from (
            prefix / program for prefix in _newest_first(folder, pattern) for program in _programs(python)
        )
    for entry in os.environ.get("PATH", "").split(os.pathsep):
        if entry:
            yield from (Path(entry, name) for name in (f"python{python}", f"python{python}.exe", "python3"))
    digits = python.replace(".", "")
    for prefix in (
        Path("/usr"),
        Path("/usr/local"),
        Path(f"/opt/python/{python}"),
        Path(f"/opt/homebrew/opt/python@{python}"),
        Path(f"/usr/local/opt/python@{python}"),
        Path(f"/Library/Frameworks/Python.framework/Versions/{python}"),
        Path(os.environ.get("LOCALAPPDATA", "/nowhere"), "Programs", "Python", f"Python{digits}"),
    ):
        yield from (prefix / program for program in _programs(python))


def _programs(python: str) -> tuple[Path, ...]:
    return (
        (Path("bin", f"python{python}"), Path("python.exe"))
        if os.name == "nt"
        else (Path("bin", f"python{python}"),)
    )


def _collections(python: str, home: Path) -> Iterator[tuple[Path, str]]:
    """List the folders that have one folder for each Python, and the pattern of the wanted ones."""
    user = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home fails for who has no home

    def chosen(variable: str, *default: str) -> Path:
        return Path(os.environ.get(variable) or Path(user, *default))

    pyenv = chosen("PYENV_ROOT", ".pyenv")
    for root in dict.fromkeys((pyenv, user / ".pyenv", user / ".pyenv" / "pyenv-win")):
        yield root / "versions", f"{python}.*"
    for root in (home / "pythons", chosen("UV_PYTHON_INSTALL_DIR", ".local", "share", "uv", "python")):
        yield root, f"cpython-{python}.*"
    yield chosen("MISE_DATA_DIR", ".local", "share", "mise") / "installs" / "python", f"{python}.*"
    yield chosen("ASDF_DATA_DIR", ".asdf") / "installs" / "python", f"{python}.*"
    if runners := os.environ.get("RUNNER_TOOL_CACHE"):  # GitHub's; actions/setup-python puts them there
        yield Path(runners, "Python"), f"{python}.*/*"
    conda = os.environ.get("CONDA_EXE")
    roots = [Path(conda).parent.parent] if conda else []
    for root in (
        *roots,
        *(user / name for name in ("miniconda3", "miniforge3", "mambaforge", "anaconda3")),
        Path("/opt/conda"),
    ):
        yield root.parent, root.name
        yield root / "envs", "*"


def _newest_first(folder: Path, pattern: str) -> list[Path]:
    def numbers(path: Path) -> tuple[int, ...]:
        return tuple(int(number) for number in re.findall(r"\d+", path.name))

    try:
        return sorted(folder.glob(pattern), key=numbers, reverse=True)
    except OSError:
        return []
