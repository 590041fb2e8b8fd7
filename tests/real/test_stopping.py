"""A command that is stopped, or killed, leaves nothing behind for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT, Cldc
from tests.support.folders import make_dataset
from tests.support.processes import running, soon

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")


# A training that starts a process which leaves its group, its parent and its terminal, and ignores a polite end.
_TRAINING = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with open("PIDS", "a") as file:
            file.write("%d\\n" % os.getpid())
        time.sleep(600)
    os._exit(0)
with open("PIDS", "a") as file:
    file.write("%d\\n" % os.getpid())
print("Epoch 1/4", flush=True)
time.sleep(600)
"""


def leftovers(folder: Path, name: str) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(name)]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_training_ends_with_the_command_and_so_does_all_that_it_started(
    cldc: Cldc, tmp_path: Path, number: signal.Signals
) -> None:
    place, pids = tmp_path / "tmp", tmp_path / "pids"
    place.mkdir()
    (tmp_path / "train.py").write_text(_TRAINING.replace("PIDS", str(pids)), encoding="utf-8")
    (make_dataset(tmp_path / "book") / "train").rename(tmp_path / "book" / "label_book")
    cldc("sample", tmp_path / "mine", "--images", "60")
    settings = {
        "CLDC_HOME": str(cldc.home),
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(place),
        "CLDC_COMPETITION": "demo",
    }
    command = subprocess.Popen(
        [
            *(sys.executable, "-m", "cldc", "preflight", tmp_path / "mine"),
            *("--script", tmp_path / "train.py", "--label-book", tmp_path / "book"),
        ],
        env={**os.environ, **settings},
        cwd=tmp_path,
        stderr=subprocess.PIPE,
    )
    try:
        assert soon(lambda: pids.exists() and len(pids.read_text().split()) == 2, 120)
        family = [int(word) for word in pids.read_text().split()]
        assert all(map(running, family))
    except AssertionError:
        command.kill()
        raise
    finally:
        command.send_signal(number)
        _, output = command.communicate(timeout=60)
    assert command.returncode == {signal.SIGKILL: -signal.SIGKILL}.get(number, 128 + number), output
    assert soon(lambda: not any(map(running, family)))
    if number == signal.SIGKILL:
        assert leftovers(place, "cldc-preflight-")
        cldc("env", "list", TMPDIR=str(place))
    assert not list(place.iterdir())
