"""Processes that outlive the command that started them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from cldc.errors import ProcessFailed, StorageError
from cldc.process.guarded import Argument, cannot_start, end_tree, first_report, start_guarded

# psutil computes a start from the time of boot, which shifts slightly when the clock is set.
_SAME_START_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Daemon:
    """A detached process, identified by pid and start time (s), since pids are reused."""

    pid: int
    started: float


def detach(args: Sequence[Argument], *, log: Path, env: Mapping[str, str] | None = None) -> Daemon:
    """Start a program in its own session that outlives us; its output is appended to ``log``.

    Raises:
        CommandNotFound: The program does not exist.
        ProcessFailed: It ended at once.
        StorageError: The log can't be written.
    """
    command = [os.fspath(argument) for argument in args]
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise StorageError(
            f"Can't write the log {log}: {error.strerror}.",
            action="Make its folder writable, or free some space on its disk.",
        ) from error
    with os.fdopen(descriptor, "ab") as output:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
        if os.name == "nt":
            pid = _detach_on_windows(command, env, pipes)
        else:
            # The guard leaves at once, so that the daemon is not our child and can't become our zombie.
            guard, link = start_guarded("detach", command, env=env, cwd=None, pipes=pipes)
            with link:
                try:
                    pid = first_report(link, command)
                finally:
                    guard.wait()
    started = _start_time(pid)
    if started is None:
        raise ProcessFailed(f"{command[0]} ended as soon as it was started.", action=f"Read its log, {log}.")
    return Daemon(pid, started)


def _detach_on_windows(
    command: Sequence[str], env: Mapping[str, str] | None, pipes: Mapping[str, object]
) -> int:
    flags = getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    try:
        process = subprocess.Popen(command, env=env, creationflags=flags, **pipes)  # type: ignore[call-overload]
    except OSError as error:
        raise cannot_start(command, error.strerror or str(error)) from error
    pid: int = process.pid
    return pid


def _start_time(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def alive(daemon: Daemon) -> bool:
    """Check whether this process still runs; another process that reuses its pid does not count."""
    started = _start_time(daemon.pid)
    return started is not None and abs(started - daemon.started) < _SAME_START_SECONDS


def terminate(daemon: Daemon, grace_seconds: float = 10) -> None:
    """Ask a daemon to end, so that it can end its children; kill what remains after the grace period."""
    if not alive(daemon):
        return
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(daemon.pid)
        children = process.children(recursive=True)
        process.terminate()
        deadline = time.monotonic() + grace_seconds
        while alive(daemon) and time.monotonic() < deadline:
            time.sleep(0.05)
        for left in [process, *children]:
            if left.is_running():  # compares start times as well
                end_tree(left.pid, 1)
