"""Work shared between processes: in order, and nothing outlives or disturbs the one that shared it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from cldc.process.pool import map_in_processes
from tests.support.processes import running, soon

# Each of its processes leaves a file before it sleeps.
SLEEPER = """
import os, sys, time
from pathlib import Path
from cldc.process.pool import map_in_processes

def sleep(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)

if __name__ == "__main__":
    list(map_in_processes(sleep, [sys.argv[1]] * 8, processes=2, chunk=1))
"""


def die(number: int) -> int:
    if number == 5 and multiprocessing.parent_process():
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_results_come_in_the_order_of_the_items() -> None:
    numbers = list(range(-50, 50))
    assert list(map_in_processes(abs, numbers, processes=2, chunk=7)) == [abs(n) for n in numbers]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_this_process_goes_on_after_another_was_killed() -> None:
    assert list(map_in_processes(die, range(9), processes=1, chunk=1)) == list(range(9))


@pytest.fixture
def sleeper(tmp_path: Path) -> subprocess.Popen[str]:
    """A program whose two processes sleep."""
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    (tmp_path / "asleep").mkdir()
    program = subprocess.Popen(
        [sys.executable, tmp_path / "sleeper.py", tmp_path / "asleep"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert soon(lambda: len(list((tmp_path / "asleep").iterdir())) == 2)
    return program


@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_processes_end_with_the_program(sleeper: subprocess.Popen[str], number: signal.Signals) -> None:
    program = psutil.Process(sleeper.pid)
    children = program.children(recursive=True)
    assert len(children) >= 2
    if number == signal.SIGINT:  # as a terminal sends it: to all of them
        os.killpg(sleeper.pid, number)
    else:
        program.send_signal(number)
    _, errors = sleeper.communicate(timeout=60)
    assert sleeper.returncode == -number
    assert soon(lambda: not any(running(child.pid) for child in children))
    # Only the program itself reports the interruption.
    assert errors.count("KeyboardInterrupt") == (1 if number == signal.SIGINT else 0), errors


def test_the_processes_import_nothing_from_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "run.py").write_text(
        "from cldc.process.pool import map_in_processes\n"
        "if __name__ == '__main__':\n"
        "    print(*map_in_processes(abs, [-1, 2], processes=2, chunk=1))\n"
    )
    (tmp_path / "here").mkdir()
    for name in ("multiprocessing", "random", "signal", "struct", "tempfile"):
        (tmp_path / "here" / f"{name}.py").write_text("print('imported from the current folder')")
    done = subprocess.run(
        [sys.executable, tmp_path / "program" / "run.py"],
        cwd=tmp_path / "here",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "1 2\n"
