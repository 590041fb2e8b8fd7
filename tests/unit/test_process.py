"""Real children: what they write, how they end, and that none is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from cldc import process
from cldc.errors import ProcessFailed
from cldc.process import commands, parent_guard
from tests.support.processes import running, soon

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the guard is for POSIX")

SLEEPER = "import sys, time; print(__import__('os').getpid(), flush=True); time.sleep(600)"
# Writes its own pid, that of a child in its group, and on Linux that of an orphan in a session of its own that ignores
# SIGTERM, as what a training calls may start one.
FAMILY = """
import os, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pids = [os.getpid(), child.pid]
if sys.platform == "linux":
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(writer, str(os.getpid()).encode())
            os.closerange(0, 64)
            time.sleep(600)
        os._exit(0)
    os.wait()
    pids.append(int(os.read(reader, 32)))
print(*pids, flush=True)
"""
WAITING_FAMILY = FAMILY + "time.sleep(600)"


def python(code: str, *args: str) -> list[str]:
    return [sys.executable, "-c", code, *args]


def test_run_keeps_both_streams_and_the_exit_code() -> None:
    done = process.run(
        python("import sys; print(input()); print('é', file=sys.stderr); sys.exit(3)"),
        timeout_seconds=120,
        text="hi\n",
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "hi\n", "é\n")


def test_a_failure_has_the_whole_command_and_what_it_wrote() -> None:
    with pytest.raises(process.CommandFailed, match=r"(?s)-c.*exit code 3.*oh no") as raised:
        process.run(python("import sys; sys.exit(print('oh no', file=sys.stderr) or 3)"), timeout_seconds=120)
    assert raised.value.returncode == 3
    assert raised.value.stderr == "oh no\n"
    assert raised.value.command[0] == sys.executable


def test_a_signal_is_named() -> None:
    done = process.run(python("import os; os.kill(os.getpid(), 4)"), timeout_seconds=120, check=False)
    assert process.describe_exit(done.returncode) == "signal SIGILL"


@pytest.mark.parametrize("start", [process.run, lambda args, timeout_seconds: process.Child(args)])
def test_an_unknown_command_is_reported(start: Callable[..., object]) -> None:
    with pytest.raises(process.CommandNotFound, match="no-such-program"):
        start(["no-such-program"], timeout_seconds=5)


def test_a_folder_that_is_gone_is_not_taken_for_an_unknown_command(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match="gone"):
        process.run([sys.executable], cwd=tmp_path / "gone", timeout_seconds=5)


def test_run_ends_what_takes_too_long_even_if_it_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cldc.process.guarded.GRACE_SECONDS", 0.3)
    pid = tmp_path / "pid"
    stubborn = f"""
import os, pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path({str(tmp_path / "new")!r}).write_text(str(os.getpid()))
pathlib.Path({str(tmp_path / "new")!r}).rename({str(pid)!r})
time.sleep(600)
"""
    communicate = subprocess.Popen.communicate

    def communicate_once_it_refuses(*args: Any, **kwargs: Any) -> Any:
        assert soon(pid.exists)
        return communicate(*args, **kwargs)

    monkeypatch.setattr(subprocess.Popen, "communicate", communicate_once_it_refuses)
    with pytest.raises(process.ProcessTimeout, match="within 1 s"):
        process.run(python(stubborn), timeout_seconds=1)
    assert not running(int(pid.read_text()))


def test_peak_memory_is_that_of_the_program() -> None:
    done = process.run(python("x = bytearray(80_000_000)"), timeout_seconds=120)
    assert done.peak_memory_bytes is not None
    assert 80_000_000 < done.peak_memory_bytes < 300_000_000


def test_a_stream_splits_on_every_kind_of_line_end_and_merges_the_streams() -> None:
    code = r"import sys; sys.stdout.buffer.write(b'a\rb\nc\r\nd\xff'); sys.stdout.flush(); sys.stderr.write('\ne')"
    with process.Stream(python(code)) as child:
        assert list(child) == ["a", "b", "c", "d\N{REPLACEMENT CHARACTER}", "e"]
        assert child.returncode == 0
        assert child.peak_memory_bytes


def test_megabytes_on_standard_error_block_nothing() -> None:
    code = "import sys; [sys.stderr.write('x' * 1000 + '\\n') for _ in range(5000)]; print('done')"
    assert process.run(python(code), timeout_seconds=60).stdout == "done\n"
    with process.Stream(python(code)) as child:
        assert sum(len(line) for line in child) > 5_000_000
    with process.Child(python(code)) as conversation:
        assert conversation.receive(120) == "done"
        assert len(conversation.errors) <= 64 * 1024


def test_a_stream_left_early_ends_the_whole_family() -> None:
    pids: list[int] = []

    def follow_until_interrupted() -> None:
        with process.Stream(python(WAITING_FAMILY)) as child:
            line = next(iter(child))
            assert child.tail == line
            pids.extend(int(word) for word in line.split())
            assert all(running(pid) for pid in pids)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow_until_interrupted()
    assert not any(running(pid) for pid in pids)


def test_a_stream_has_a_time_limit() -> None:
    with process.Stream(python(SLEEPER), timeout_seconds=1) as child, pytest.raises(process.ProcessTimeout):
        list(child)


def test_what_a_program_leaves_in_the_background_ends_with_it() -> None:
    with process.Stream(python(FAMILY)) as child:
        pids = [int(word) for word in next(iter(child)).split()]
        list(child)
    assert not any(running(pid) for pid in pids)


def test_a_second_interruption_kills_every_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second Ctrl-C comes while the first one's children are being asked to end."""
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + WAITING_FAMILY
    pids: list[int] = []

    def timed_out(*_: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    def converse() -> None:
        with process.Child(python(stubborn)) as child:
            pids.extend(int(word) for word in child.receive(120).split())
            monkeypatch.setattr(subprocess.Popen, "wait", timed_out)

    with pytest.raises(KeyboardInterrupt):
        converse()
    assert soon(lambda: not any(running(pid) for pid in pids))


def test_a_guard_that_does_not_end_is_killed_with_the_family(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cldc.process.guarded.GRACE_SECONDS", 0.0)
    with process.Child(python(WAITING_FAMILY)) as child:
        pids = [int(word) for word in child.receive(120).split()]
        psutil.Process(pids[0]).parent().suspend()  # type: ignore[union-attr]
    assert not child.alive
    assert soon(lambda: not any(running(pid) for pid in pids))


@pytest.mark.skipif(shutil.which("ps") is None or not Path("/proc/self/stat").exists(), reason="needs both")
def test_processes_are_found_with_ps_as_in_proc() -> None:
    with process.Stream(python(WAITING_FAMILY)) as child:
        pids = {int(word) for word in next(iter(child)).split()}
        by_ps, in_proc = parent_guard.processes_by_ps(), parent_guard.processes_in_proc()
        assert {pid: by_ps[pid] for pid in pids} == {pid: in_proc[pid] for pid in pids}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("way", ["stream", "child"])
def test_no_child_outlives_a_killed_parent(number: signal.Signals, way: str) -> None:
    body = {
        "stream": "with process.Stream(args) as s:\n  for line in s: print(line, flush=True)",
        "child": "c = process.Child(args); print(c.receive(120), flush=True); c.receive(600)",
    }[way]
    parent_code = (
        f"import sys; from cldc import process; args = [sys.executable, '-c', {WAITING_FAMILY!r}]\n{body}"
    )
    with process.Child(python(parent_code)) as parent:
        pids = [int(word) for word in parent.receive(120).split()]
        # The parent of the guard of the family's first process is the one to kill.
        psutil.Process(pids[0]).parent().parent().send_signal(number)  # type: ignore[union-attr]
        assert soon(lambda: not any(running(pid) for pid in pids))


def test_each_question_gets_its_answer() -> None:
    code = "import sys\nfor line in sys.stdin: print(line.strip()[::-1], flush=True)"
    with process.Child(python(code)) as child:
        assert [child.ask("abc", 120), child.ask("é!", 120)] == ["cba", "!é"]
        assert child.alive
    assert not child.alive


def test_a_conversation_that_ends_early_reports_the_last_output() -> None:
    with process.Child(python("import sys; sys.exit('no more')")) as child:
        with pytest.raises(process.CommandFailed, match="no more") as raised:
            child.receive(120)
        assert raised.value.returncode == 1
        with pytest.raises(process.CommandFailed):
            child.receive(120)
        with pytest.raises(process.CommandFailed):
            child.ask("hello?", 120)


def test_a_silence_is_reported_until_an_answer_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "WAITING_SECONDS", 0.05)
    silences: list[tuple[float, float]] = []

    def waiting(*silence: float) -> None:
        silences.append((silence[0], silence[1]))
        if len(silences) == 2:
            child.send("enough")

    with process.Child(python("input(); print('here')")) as child:
        assert child.receive(60, waiting) == "here"
    assert silences == sorted(silences)
    assert {limit for _, limit in silences} == {60}


def test_an_answer_that_does_not_come_ends_the_conversation() -> None:
    with process.Child(python("import time; time.sleep(600)")) as child:
        with pytest.raises(process.ProcessTimeout):
            child.ask("hello?", 0.3)
        assert not child.alive


def test_a_daemon_is_nobodys_child_and_is_known_by_its_start(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    daemon = process.detach(python(SLEEPER), log=log)
    try:
        assert process.alive(daemon)
        assert soon(lambda: log.read_text() == f"{daemon.pid}\n")
        assert psutil.Process(daemon.pid).ppid() != os.getpid()
        assert not process.alive(process.Daemon(daemon.pid, daemon.started - 60))
        process.terminate(process.Daemon(daemon.pid, daemon.started - 60))
        assert process.alive(daemon)
    finally:
        process.terminate(daemon)
    assert not process.alive(daemon)
    with pytest.raises(process.CommandNotFound):
        process.detach(["no-such-program"], log=log)


def test_children_see_nothing_that_changes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONDONTWRITEBYTECODE", "TF_ENABLE_ONEDNN_OPTS", "OMP_NUM_THREADS", "CODALAB_PASSWORD"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    env = process.clean_environment({"TF_CPP_MIN_LOG_LEVEL": "2"})
    done = process.run(
        python(
            "import os; print(*sorted(k for k in os.environ if k.startswith(('PYTHON', 'TF_', 'OMP', 'COD'))))"
        ),
        env=env,
        timeout_seconds=120,
    )
    assert done.stdout.split() == [
        "PYTHONIOENCODING",
        "PYTHONUNBUFFERED",
        "PYTHONUTF8",
        "TF_CPP_MIN_LOG_LEVEL",
    ]
    assert env["HTTPS_PROXY"] == "http://proxy"
