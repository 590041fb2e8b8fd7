"""What a Linux machine can tell of Windows: nothing that only Unix has is needed, and no path or character stops it."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cldc import process
from cldc.process.windows_job import WindowsJob
from tests.support.commands import ROOT, Cldc
from tests.support.folders import make_dataset

# Takes away what Windows lacks, then imports every module of cldc and works with it in the same process.
WITHOUT_UNIX = """
import importlib, os, signal, sys
from pathlib import Path

import distributed, platformdirs, psutil  # they have code of their own for Windows

ABSENT = ("fcntl", "pwd", "grp", "resource", "termios", "tty", "pty", "crypt", "syslog")

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in ABSENT:
            raise ModuleNotFoundError(f"{name} is not on Windows", name=name)

for name in [*sys.modules]:
    if name.partition(".")[0] in (*ABSENT, "filelock"):
        del sys.modules[name]

sys.meta_path.insert(0, Absent())
for owner, names in (
    (os, "fork forkpty killpg setsid getuid geteuid getgid sched_getaffinity O_NONBLOCK uname statvfs mkfifo wait3 wait4"),
    (signal, "SIGKILL SIGHUP SIGPIPE SIGUSR1 SIGUSR2 pthread_sigmask"),
):
    for name in names.split():
        if hasattr(owner, name):
            delattr(owner, name)
root = Path(sys.argv[1])
for path in sorted((root / "cldc").rglob("*.py")):
    name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    if ".inside" not in name and name not in ("cldc.process.parent_guard", "cldc.__main__"):
        importlib.import_module(name)
from cldc.__main__ import run
if __name__ == "__main__":
    codes = [run(arguments.split()) for arguments in sys.argv[2:]]
    print("codes", *codes)
"""


def test_nothing_needs_what_only_unix_has(tmp_path: Path) -> None:
    make_dataset(tmp_path / "mine")
    script = tmp_path / "without_unix.py"
    script.write_text(WITHOUT_UNIX, encoding="utf-8")
    wanted = [
        "init --dataset mine",
        "sample drawn --images 30",
        "validate mine",
        "env list",
        "whoami --all",
        "nonsense",
    ]
    done = process.run(
        [sys.executable, script, ROOT, *wanted], cwd=tmp_path, timeout_seconds=240, check=False
    )
    assert done.stdout.splitlines()[-1] == "codes 0 0 0 0 0 2", done
    assert "bug" not in done.stderr


class Kernel:
    """What is called of kernel32, in its order."""

    def __init__(self, refuses: str = "") -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self._refuses = refuses
        self.CreateJobObjectW = self._function("CreateJobObjectW")

    def __getattr__(self, name: str) -> Callable[..., int]:
        return self._function(name)

    def _function(self, name: str) -> Callable[..., int]:
        def called(*arguments: Any) -> int:
            self.calls.append((name, arguments))
            return 0 if name == self._refuses else 0x1234

        return called


def test_a_program_and_its_children_end_with_the_job_they_are_in() -> None:
    kernel = Kernel()
    job = WindowsJob(kernel)
    job.take(0x77)
    job.end()
    job.end()
    names = ["CreateJobObjectW", "SetInformationJobObject", "AssignProcessToJobObject"]
    assert [name for name, _ in kernel.calls] == [*names, "TerminateJobObject", "CloseHandle"]
    handle, kind, limits, size = kernel.calls[1][1]
    assert (handle.value, kind, size) == (0x1234, 9, 144)  # as 64-bit Windows lays the structure out
    assert bytes(limits._obj)[16:20] == (0x2000).to_bytes(4, "little")
    assert kernel.calls[2][1][1].value == 0x77
    refusing = Kernel("SetInformationJobObject")
    with pytest.raises(OSError, match="create a job"):
        WindowsJob(refusing)
    assert refusing.calls[-1][0] == "CloseHandle"


def test_a_windows_path_survives_the_project_file(bare_cldc: Cldc) -> None:
    dataset = r"C:\new\tiny images"
    bare_cldc("init", "--dataset", dataset)
    text = (bare_cldc.home / "cldc.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text)["dataset"] == dataset


def test_a_stream_that_cannot_encode_a_character_gets_an_escape(cldc: Cldc, tmp_path: Path) -> None:
    make_dataset(tmp_path / "mine")
    (tmp_path / "mine" / "train" / "i" / "\u56f3.png").write_bytes(b"no image")
    started_anew = replace(cldc, anew=True)
    outcome = started_anew("validate", tmp_path / "mine", code=3, PYTHONIOENCODING="cp1252")
    assert re.search(r"train/i/\\u56f3.png", outcome.out)
    assert "\\u56f3" in started_anew("validate", "\u56f3", code=3, PYTHONIOENCODING="cp1252").err
