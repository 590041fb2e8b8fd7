"""Run a program to its end, follow it line by line, or converse with it."""

from __future__ import annotations

import contextlib
import io
import os
import queue
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from cldc.process.guarded import Argument, Running
from cldc.process.outcome import CommandFailed, Completed

_ERRORS_KEPT_BYTES = 64 * 1024
# How long to wait for a line before a silent program is reported.
WAITING_SECONDS = 5.0

Waiting = Callable[[float, float], None]
"""Called with the seconds of silence so far, and the seconds after which the program will be ended."""


def run(
    args: Sequence[Argument],
    *,
    timeout_seconds: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    text: str | None = None,
    check: bool = True,
) -> Completed:
    """Run a program to its end and keep its output; ``text`` is its standard input, empty by default.

    Raises:
        CommandNotFound: The program does not exist.
        CommandFailed: Its exit code is not 0, and ``check`` is set.
        ProcessTimeout: It took longer than ``timeout_seconds``.
    """
    stdin = subprocess.DEVNULL if text is None else subprocess.PIPE
    with Running(args, env=env, cwd=cwd, stdin=stdin, stderr=subprocess.PIPE) as running:
        try:
            stdout, stderr = running.popen.communicate(
                None if text is None else text.encode(), timeout=timeout_seconds
            )
        except subprocess.TimeoutExpired:
            raise running.too_slow(timeout_seconds) from None
        running.wait()
        running.check_group()
        done = Completed(
            running.returncode, _decode(stdout), _decode(stderr), peak_memory_bytes=running.peak_memory_bytes
        )
    if check and done.returncode:
        raise CommandFailed(running.command, done.returncode, done.stdout, done.stderr)
    return done


def _decode(written: bytes) -> str:
    return written.decode("utf-8", "replace").replace("\r\n", "\n")


class Stream:
    """A program that is followed line by line: ``with Stream([...]) as child: for line in child: ...``.

    Standard error comes in the same stream, so that no pipe can fill up unread. Its standard input is empty. Leaving the
    block before its end ends the program.

    Raises:
        CommandNotFound: The program does not exist.
        ProcessTimeout: From the iteration, when it took longer than ``timeout_seconds``.
    """

    def __init__(
        self,
        args: Sequence[Argument],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout_seconds: float | None = None,
    ) -> None:
        self._running = Running(args, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        self._timeout_seconds = timeout_seconds
        self._timed_out = False
        self._tail: deque[str] = deque(maxlen=200)
        # Universal newlines: a progress bar's carriage returns end a line as well.
        self._lines = io.TextIOWrapper(self._running.stdout, encoding="utf-8", errors="replace", newline=None)
        self._timer: threading.Timer | None = None
        if timeout_seconds is not None:
            self._timer = threading.Timer(timeout_seconds, self._give_up)
            self._timer.daemon = True
            self._timer.start()

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self._tail.append(line.rstrip("\n"))
            yield self._tail[-1]
        self._running.wait()
        self._running.check_group()
        if self._timed_out and self._timeout_seconds is not None:
            raise self._running.too_slow(self._timeout_seconds)

    def _give_up(self) -> None:
        self._timed_out = True
        self._running.ask_to_end()

    @property
    def returncode(self) -> int:
        """Exit code, or minus the signal that ended it. Only after the last line."""
        return self._running.returncode

    @property
    def peak_memory_bytes(self) -> int | None:
        """Peak resident memory, after the last line; None on Windows."""
        return self._running.peak_memory_bytes

    @property
    def tail(self) -> str:
        """The last lines so far, at most 200."""
        return "\n".join(self._tail)

    def check(self) -> None:
        """Raise `CommandFailed` if its exit code is not 0."""
        if self.returncode:
            raise CommandFailed(self._running.command, self.returncode, self.tail)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._running.end()  # before its output is closed: a program that goes on writing would meet a broken pipe
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._lines.close()
            self._running.close()


class Child:
    """A program to converse with, line by line. Its standard error is read all along, and the end of it kept.

    Use it as a context manager.

    Raises:
        CommandNotFound: The program does not exist.
    """

    def __init__(
        self, args: Sequence[Argument], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self._running = Running(args, env=env, cwd=cwd, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._errors: deque[bytes] = deque(maxlen=_ERRORS_KEPT_BYTES // 1024)
        self._readers = [
            threading.Thread(target=target, daemon=True) for target in (self._read_lines, self._read_errors)
        ]
        for reader in self._readers:
            reader.start()

    def _read_lines(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # closed while we read
            for line in self._running.stdout:
                self._lines.put(line.decode("utf-8", "replace").rstrip("\r\n"))
        self._lines.put(None)

    def _read_errors(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(self._running.stderr.fileno(), 1024):
                self._errors.append(chunk)

    @property
    def alive(self) -> bool:
        """Whether it is still running."""
        return self._running.popen.poll() is None

    @property
    def errors(self) -> str:
        """The end of what it wrote to standard error, at most 64 KiB."""
        return b"".join(self._errors).decode("utf-8", "replace")

    def send(self, line: str) -> None:
        """Send it one line.

        Raises:
            CommandFailed: It has ended.
        """
        try:
            self._running.stdin.write(line.encode() + b"\n")
            self._running.stdin.flush()
        except OSError:
            raise self._ended() from None

    def receive(self, timeout_seconds: float, waiting: Waiting | None = None) -> str:
        """Return its next line, without the line break; ``waiting`` is called every few seconds while none arrives.

        Raises:
            CommandFailed: It ended without another line.
            ProcessTimeout: No line arrived in time. The program was stopped, because a late answer would be mistaken for the next.
        """
        began = time.monotonic()
        while True:
            left = began + timeout_seconds - time.monotonic()
            try:
                line = self._lines.get(timeout=max(0.0, min(left, WAITING_SECONDS)))
                break
            except queue.Empty:
                if left <= WAITING_SECONDS:
                    self.stop()
                    raise self._running.too_slow(timeout_seconds) from None
            if waiting is not None:
                waiting(time.monotonic() - began, timeout_seconds)
        if line is None:
            self._lines.put(None)  # for the next caller
            raise self._ended()
        return line

    def ask(self, line: str, timeout_seconds: float) -> str:
        """`send` a line and `receive` the answer."""
        self.send(line)
        return self.receive(timeout_seconds)

    def _ended(self) -> CommandFailed:
        self.stop()
        return CommandFailed(self._running.command, self._running.returncode, "", self.errors)

    def stop(self) -> None:
        """End it and everything it started; safe to call again."""
        self._running.end()
        for reader in self._readers:
            reader.join(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self._running.close()
