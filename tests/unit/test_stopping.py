"""A command that is stopped, or killed, leaves nothing behind for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT, Cldc
from tests.support.processes import running, soon
from tests.support.terminal import Terminal

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")

# As a shell in a terminal starts it: the terminal is the one that its session ends with.
_IN_A_TERMINAL = """
import fcntl, os, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from cldc.__main__ import main
main()
"""
# A program that works in a temporary folder of ours as a preflight does, and says where.
_WORKER = """
import sys, time
from cldc.files import temporary_folder
with temporary_folder(sys.argv[1]) as folder:
    (folder / "dataset").mkdir(mode=0o555)
    print(folder, flush=True)
    time.sleep(600)
"""
# A command during which an object is destroyed; the interruption comes in its destructor.
_DESTROYING = """
import os, signal, time
from cldc import __main__ as entry

class Odd:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)

def command(*_, **__):
    Odd()
    time.sleep(600)

entry.cli.main = command
entry.main()
"""


def leftovers(folder: Path, name: str) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(name)]


def drawing(folder: Path, name: str) -> bool:
    """Whether the command is past making its temporary folder and draws into it."""
    return any(next(path.rglob("*.png"), None) for path in leftovers(folder, name))


def draw_big(home: Path) -> subprocess.Popen[bytes]:
    """A command that draws a large dataset, and has begun to."""
    command = subprocess.Popen(
        [sys.executable, "-m", "cldc", "sample", "big", "--images", "60000"],
        cwd=home,
        stderr=subprocess.PIPE,
    )
    assert soon(lambda: drawing(home, ".big."))
    return command


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_an_interruption_ends_the_command_with_a_message_and_leaves_nothing(
    bare_cldc: Cldc, number: signal.Signals, code: int
) -> None:
    with draw_big(bare_cldc.home) as command:
        command.send_signal(number)
        _, output = command.communicate(timeout=60)
    assert command.returncode == code, output
    assert b"\nStopped." in output
    assert b"Traceback" not in output
    assert not list(bare_cldc.home.glob("*big*"))


def test_an_interruption_while_it_still_loads_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = subprocess.run(
        [sys.executable, "-m", "cldc", "quota"],
        check=False,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (130, "\nStopped before anything was done.\n")


def test_an_interruption_in_a_destructor_is_not_lost(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _DESTROYING],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 130
    assert done.stderr.startswith("\nStopped.")


def test_a_closed_terminal_ends_a_command_and_leaves_nothing(bare_cldc: Cldc) -> None:
    home = bare_cldc.home
    terminal = Terminal(
        "sample", "big", "--images", "60000", cwd=home, program=("-c", _IN_A_TERMINAL), CLDC_HOME=str(home)
    )
    assert soon(lambda: drawing(home, ".big."))
    os.close(terminal.main)
    assert terminal.process.wait(60) == 129
    assert sorted(path.name for path in home.iterdir()) == []


def test_a_command_under_nohup_outlives_its_terminal(bare_cldc: Cldc) -> None:
    command = [sys.executable, "-m", "cldc", "sample", "drawn", "--images", "400"]
    sleeper = subprocess.Popen(
        ["nohup", *command],
        cwd=bare_cldc.home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert soon(lambda: leftovers(bare_cldc.home, ".drawn.") or leftovers(bare_cldc.home, "drawn"))
    sleeper.send_signal(signal.SIGHUP)
    assert sleeper.wait(60) == 0
    assert (bare_cldc.home / "drawn").is_dir()


def test_a_second_hangup_does_not_cut_the_cleaning_up_short(bare_cldc: Cldc) -> None:
    with draw_big(bare_cldc.home) as command:
        for number in (signal.SIGHUP, signal.SIGCONT, signal.SIGHUP, signal.SIGTERM):
            command.send_signal(number)
        _, output = command.communicate(timeout=60)
    assert command.returncode == 129
    assert b"Traceback" not in output
    assert not leftovers(bare_cldc.home, ".big.")


def test_what_a_killed_command_drew_is_removed_by_the_next(bare_cldc: Cldc) -> None:
    with draw_big(bare_cldc.home) as command:
        command.kill()
    assert leftovers(bare_cldc.home, ".big.")
    bare_cldc("sample", "big", "--images", "30")
    assert not leftovers(bare_cldc.home, ".big.")


def test_only_temporary_folders_without_a_living_owner_are_removed(bare_cldc: Cldc, tmp_path: Path) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    env = {**os.environ, "TMPDIR": str(place)}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER, f"cldc-{name}-"], env=env, stdout=subprocess.PIPE, text=True
        )
        for name in ("alive", "killed")
    ]
    folders = []
    for worker in workers:
        assert worker.stdout is not None
        folders.append(Path(worker.stdout.readline().strip()).parent)
    alive, killed = folders
    mark = next(path.name for path in killed.iterdir() if path.is_file())
    own = place / "cldc-preflight-notes"
    own.mkdir()
    (own / "mine.txt").touch()
    (place / "cldc-link").symlink_to(killed, target_is_directory=True)
    (place / "cldc-linked-mark").mkdir()
    (place / "cldc-linked-mark" / mark).symlink_to(own / "mine.txt")
    if os.geteuid() == 0:
        foreign = place / "cldc-foreign"
        foreign.mkdir()
        (foreign / mark).touch()
        os.chown(foreign, 4321, 4321)
    before = set(place.iterdir())
    workers[1].kill()
    workers[1].wait()
    try:
        bare_cldc("env", "list", TMPDIR=str(place))
        assert set(place.iterdir()) == before - {killed}
    finally:
        workers[0].terminate()
        for worker in workers:
            worker.communicate()
    assert not running(workers[0].pid)
    bare_cldc("env", "list", TMPDIR=str(place))
    assert set(place.iterdir()) == before - {killed, alive}


def test_a_folder_that_is_just_being_made_is_not_taken_for_a_leftover(tmp_path: Path) -> None:
    """Many make temporary folders and sweep each other's at once; nobody loses one that is in use."""
    code = """
import sys
from pathlib import Path
from cldc.files import temporary_folder
for number in range(60):
    with temporary_folder("cldc-x-", Path(sys.argv[1])) as folder:
        (folder / "file").write_text("x")
        assert (folder / "file").read_text() == "x"
"""
    workers = [subprocess.Popen([sys.executable, "-c", code, tmp_path]) for _ in range(4)]
    assert [worker.wait(120) for worker in workers] == [0, 0, 0, 0]
    assert not list(tmp_path.iterdir())
