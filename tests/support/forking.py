"""Runs commands in forks of a process that has imported all of cldc.

Each command has a process of its own, as a user's has, without the half second in which Python imports everything.
``python -m tests.support.forking SOCKET`` takes the requests, until its standard input ends.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

import cldc

# What modules of cldc import late.
_LATE = (
    "requests", "rich.console", "rich.table", "rich.progress", "keyring", "uv", "filelock", "psutil", "jinja2",
)  # fmt: skip
_STREAMS = ("stdin", "stdout", "stderr")


class ForkServer:
    """The process that commands are forked from."""

    def __init__(self, folder: Path) -> None:
        """Start it with a socket in ``folder``, whose path must be short."""
        self._path = str(folder / "forks")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forking", self._path],
            cwd=Path(cldc.__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the process to fork from did not start"

    def start(
        self,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        streams: Sequence[int],
    ) -> Forked:
        """Start a command with these three streams, as file descriptors."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._path)
        socket.send_fds(connection, [b"\n"], streams)
        request = {"arguments": list(arguments), "env": dict(env), "cwd": str(cwd)}
        connection.sendall(json.dumps(request).encode() + b"\n")
        return Forked(connection)

    def close(self) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()


class Forked:
    """A command that was started."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answers = connection.makefile("r")
        self.pid = int(self._answers.readline())

    def wait(self, timeout: float) -> int:
        """Its exit code, negative for a signal."""
        self._connection.settimeout(timeout)
        with self._connection, self._answers:
            return int(self._answers.readline())


def import_everything() -> None:
    for module in pkgutil.walk_packages(cldc.__path__, "cldc."):
        if ".inside" not in module.name and module.name not in ("cldc.process.parent_guard", "cldc.__main__"):
            importlib.import_module(module.name)
    for name in _LATE:
        importlib.import_module(name)


def _serve(path: str) -> None:
    import_everything()
    gc.freeze()  # else each fork would copy what it only looks through
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        print("ready", flush=True)  # noqa: T201
        while True:
            ready, _, _ = select.select([server, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                _answer(connection)
            connection.close()
            _reap()


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _answer(connection: socket.socket) -> None:
    """Run a command in another fork, and report its process id and its exit code."""
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("r") as lines:
        request = json.loads(lines.readline())
    pid = os.fork()
    if pid == 0:
        connection.close()
        _run(request["arguments"], request["env"], request["cwd"], streams)
    for stream in streams:
        os.close(stream)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(f"{pid}\n".encode())
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        connection.sendall(f"{code}\n".encode())
    os._exit(0)


def _run(arguments: list[str], env: dict[str, str], cwd: str, streams: Sequence[int]) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    tempfile.tempdir = None
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
        mode, errors = ("w", "backslashreplace" if number == 2 else "strict") if number else ("r", "strict")
        setattr(
            sys, _STREAMS[number], os.fdopen(number, mode, encoding="utf-8", errors=errors, closefd=False)
        )
    os._exit(run_main(arguments))


def run_main(arguments: Sequence[str]) -> int:
    """Run cldc as ``python -m cldc`` does, and end what it left running; the exit code."""
    sys.argv = ["cldc", *arguments]
    code = 0
    try:
        importlib.import_module("cldc.__main__").main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = 120  # as Python does
    return code


if __name__ == "__main__":
    _serve(sys.argv[1])
