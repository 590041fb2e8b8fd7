"""Programs that end with us: started under a guard, and ended with all that they started, alone or as a group."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Self, cast

import psutil

from cldc.errors import ProcessFailed
from cldc.process.outcome import CommandNotFound, ProcessTimeout

if os.name == "nt" or TYPE_CHECKING:
    from cldc.process.windows_job import CREATE_SUSPENDED, WindowsJob

Argument = str | os.PathLike[str]

GRACE_SECONDS = 3.0
_WINDOWS = os.name == "nt"
_GUARD = str(Path(__file__).with_name("parent_guard.py"))


def start_guarded(
    mode: Literal["run", "detach"],
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    pipes: Mapping[str, Any],
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start ``command`` under `parent_guard` (POSIX); return the guard, and our end of the link to it."""
    ours, theirs = socket.socketpair()
    link = str(theirs.fileno())
    with theirs:
        try:
            guard = subprocess.Popen(
                # -I and -S: neither the child's environment nor site-packages concern the guard.
                [sys.executable, "-I", "-S", _GUARD, mode, link, str(GRACE_SECONDS), *command],
                env=env,
                cwd=cwd,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                **pipes,
            )
        except BaseException:
            ours.close()
            raise
    return guard, ours


def first_report(link: socket.socket, command: Sequence[str]) -> int:
    """Read the program's pid from the guard.

    Raises:
        CommandNotFound: The program can't be started.
    """
    line = b""
    while not line.endswith(b"\n") and (byte := link.recv(1)):
        line += byte
    word, _, number = line.decode().partition(" ")
    if word == "pid":
        return int(number)
    raise cannot_start(command, os.strerror(int(number)) if word == "error" else "its guard ended")


def cannot_start(command: Sequence[str], why: str) -> CommandNotFound:
    """Build the error for a program that can't be started."""
    return CommandNotFound(
        f"Can't start {command[0]}: {why}.",
        action=f"Install {Path(command[0]).name}, or add its folder to PATH.",
    )


class Cancelled(BaseException):
    """Raised in a thread whose group was ended. It is not a failure, so ``except Exception`` does not catch it."""


class ProcessGroup:
    """The programs that are started within ``with group.entered():``, in any thread, so that another thread can end them."""

    def __init__(self) -> None:
        """Start with no programs."""
        self._lock = threading.Lock()
        self._running: weakref.WeakSet[Running] = weakref.WeakSet()
        self._ended = False

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Count the programs that this thread starts in the block as the group's."""
        token = _current_group.set(self)
        try:
            yield
        finally:
            _current_group.reset(token)

    def end(self) -> None:
        """End all its programs without waiting; a thread that waits for one, or starts one, gets `Cancelled`."""
        with self._lock:
            self._ended = True
            programs = list(self._running)
        for program in programs:
            program.ask_to_end()

    def check(self) -> None:
        """Raise `Cancelled` if the group was ended."""
        if self._ended:
            raise Cancelled

    def add(self, running: Running) -> None:
        """Add a program that has just started.

        Raises:
            Cancelled: The group has ended.
        """
        with self._lock:
            self.check()
            self._running.add(running)


# The group that this thread's programs belong to.
_current_group: ContextVar[ProcessGroup | None] = ContextVar("group", default=None)


def raise_if_cancelled() -> None:
    """Raise `Cancelled` if this thread works for a group that was ended."""
    if group := _current_group.get():
        group.check()


class Running:
    """A started program, its guard and the link to it.

    Attributes:
        stdin, stdout, stderr: Its pipes; only those that were asked for can be used.
    """

    def __init__(
        self,
        args: Sequence[Argument],
        *,
        env: Mapping[str, str] | None,
        cwd: Path | None,
        stdin: int,
        stderr: int,
    ) -> None:
        self.command = [os.fspath(argument) for argument in args]
        self.returncode = 0
        self.peak_memory_bytes: int | None = None
        self._link: socket.socket | None = None
        self._job: WindowsJob | None = None
        self._group = _current_group.get()
        if cwd is not None and not cwd.is_dir():
            raise ProcessFailed(f"There is no folder {cwd}.", action="Give a folder that exists.")
        pipes: dict[str, Any] = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": stderr}
        if _WINDOWS:
            self.popen, self._job = _start_on_windows(self.command, env=env, cwd=cwd, pipes=pipes)
        else:
            self.popen, self._link = start_guarded("run", self.command, env=env, cwd=cwd, pipes=pipes)
        self.stdin, self.stdout, self.stderr = (
            cast(IO[bytes], pipe) for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr)
        )
        try:
            if self._link is not None:
                first_report(self._link, self.command)
            if self._group is not None:
                self._group.add(self)
        except BaseException:
            self.end()
            self.close()
            raise

    def wait(self) -> None:
        """Wait until it exits, and set the exit code."""
        code = self.popen.wait()
        if self._job is not None:
            self._job.end()  # what the program left running
        if self._link is None:
            self.returncode = self.returncode or code
            return
        self.returncode = code
        with contextlib.suppress(OSError), self._link as link:
            for line in _read_all(link).splitlines():
                if line.startswith("exit "):
                    self.returncode, self.peak_memory_bytes = (int(word) for word in line.split()[1:])
        self._link = None

    def check_group(self) -> None:
        """Raise `Cancelled` if it was ended because its group was."""
        if self._group is not None:
            self._group.check()

    def ask_to_end(self) -> None:
        """Request termination without waiting."""
        if self._link is not None:
            with contextlib.suppress(OSError):
                self._link.shutdown(socket.SHUT_WR)
        elif self._job is not None:
            self._job.end()

    def end(self) -> None:
        """End it and its children, and wait until they are gone."""
        self.ask_to_end()
        try:
            self.popen.wait(GRACE_SECONDS * 2 + 2)
        except subprocess.TimeoutExpired:
            end_tree(self.popen.pid, grace_seconds=0)
        except BaseException:  # a second Ctrl-C
            end_tree(self.popen.pid, grace_seconds=0)
            raise
        finally:
            self.wait()

    def close(self) -> None:
        """Close its pipes."""
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was not sent can't be any more
                    pipe.close()

    def too_slow(self, timeout_seconds: float) -> ProcessTimeout:
        """Build the error for a program that took too long."""
        return ProcessTimeout(
            f"{shlex.join(self.command)} did not finish within {timeout_seconds:.0f} s and was stopped.",
            action="Run the command again; if it happens again, check what keeps this machine or its network busy.",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.end()
        finally:
            self.close()


def _read_all(link: socket.socket) -> str:
    parts = []
    while part := link.recv(4096):
        parts.append(part)
    return b"".join(parts).decode()


def _start_on_windows(
    command: Sequence[str], *, env: Mapping[str, str] | None, cwd: Path | None, pipes: Mapping[str, Any]
) -> tuple[subprocess.Popen[bytes], WindowsJob]:
    """Start ``command`` in a new job, which ends with us."""
    flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | CREATE_SUSPENDED
    job = None
    popen = None
    try:
        job = WindowsJob()
        popen = subprocess.Popen(command, env=env, cwd=cwd, creationflags=flags, **pipes)
        job.take(int(getattr(popen, "_handle")))  # noqa: B009 - the handle that may be put into a job
        psutil.Process(popen.pid).resume()
    except (OSError, psutil.Error) as error:
        if popen is not None:
            popen.kill()
        if job is not None:
            job.end()
        raise cannot_start(command, getattr(error, "strerror", None) or str(error)) from error
    return popen, job


def end_tree(pid: int, grace_seconds: float) -> None:
    """Terminate a process and its descendants, then kill those that are left after the grace period."""
    try:
        leader = psutil.Process(pid)
        processes = [leader, *leader.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, left = psutil.wait_procs(processes, timeout=grace_seconds)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
