"""A command on a pseudo-terminal, for tests of what a person sees and types."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import psutil

from tests.support.commands import fork_server
from tests.support.forking import Forked
from tests.support.processes import soon


class Terminal:
    """A command on a pseudo-terminal of so many columns: ``cldc``, or what Python runs as ``program``."""

    def __init__(
        self, *args: str, cwd: Path, columns: int = 80, program: Sequence[str] = (), **env: str
    ) -> None:
        self.main, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        # A size in the environment, as test runners give it, would hide that of the terminal.
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        shown = {**inherited, "TERM": "xterm-256color", **env}
        self.process: Forked | subprocess.Popen[bytes]
        forks = None if program or "PYTHONPATH" in env else fork_server()
        if forks is not None:
            self.process = forks.start(args, env=shown, cwd=cwd, streams=(inner, inner, inner))
        else:
            self.process = subprocess.Popen(
                [sys.executable, *(program or ("-m", "cldc")), *args],
                cwd=cwd,
                env=shown,
                stdin=inner,
                stdout=inner,
                stderr=inner,
            )
        os.close(inner)
        self.text, self.seen = "", 0

    def until(self, wanted: str, seconds: float = 120) -> None:
        """Read on until ``wanted`` is on the screen."""
        ends = time.monotonic() + seconds
        while wanted not in self.text[self.seen :]:
            if time.monotonic() > ends or not self._read():
                self._give_up(f"{wanted!r} is not shown")
        self.seen = self.text.index(wanted, self.seen) + len(wanted)

    def answer(self, question: str, text: str) -> None:
        """Type a line after a question."""
        self.until(question)
        os.write(self.main, os.fsencode(f"{text}\n"))

    def interrupt(self) -> None:
        """Press Ctrl-C at a question, once its answer is waited for: one that comes before is seen after the answer."""
        asked = psutil.Process(self.process.pid)
        for _ in range(5):
            soon(lambda: asked.status() == psutil.STATUS_SLEEPING)
            os.kill(self.process.pid, signal.SIGINT)
            ends = time.monotonic() + 10
            while time.monotonic() < ends:
                if not self._read() or re.search(r"Stopped|Cancelled", self.text[self.seen :]):
                    return
        self._give_up("goes on after Ctrl-C")

    def _read(self) -> bool:
        if not select.select([self.main], [], [], 1)[0]:
            return True
        try:
            piece = os.read(self.main, 65536)
        except OSError:
            return False
        self.text += piece.decode(errors="replace")
        return bool(piece)

    def _give_up(self, why: str) -> NoReturn:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(60)
        raise AssertionError(f"{why}: {self.text}")

    def end(self, seconds: float = 300) -> tuple[int, str]:
        """Exit code, and all that was shown."""
        ends = time.monotonic() + seconds
        while self._read():
            if time.monotonic() > ends:
                self._give_up(f"no end after {seconds:.0f} s")
        os.close(self.main)
        return self.process.wait(timeout=60), self.text
