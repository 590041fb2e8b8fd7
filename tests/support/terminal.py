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

from tests.conftest import ROOT


class Terminal:
    """A command on a pseudo-terminal of so many columns."""

    def __init__(
        self,
        *args: str,
        cwd: Path,
        columns: int = 80,
        program: Sequence[str] = ("-m", "cldc"),
        **env: str,
    ) -> None:
        self.main, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        # A size in the environment, as test runners give it, would hide that of the terminal.
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        shown = {**inherited, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **env}
        self.process = subprocess.Popen(
            [sys.executable, *program, *args], cwd=cwd, env=shown, stdin=inner, stdout=inner, stderr=inner
        )
        os.close(inner)
        self.text, self.seen = "", 0

    def until(self, wanted: str, seconds: float = 60) -> None:
        """Read on until ``wanted`` is on the screen."""
        ends = time.monotonic() + seconds
        while wanted not in self.text[self.seen :]:
            if time.monotonic() > ends or not self._read():
                self._give_up(f"{wanted!r} is not shown")
        self.seen = self.text.index(wanted, self.seen) + len(wanted)

    def answer(self, question: str, text: str) -> None:
        """Type a line after a question."""
        self.until(question)
        os.write(self.main, f"{text}\n".encode())

    def interrupt(self) -> None:
        """Press Ctrl-C, again where nothing came of it: one that meets Python on its way into a read is seen after it."""
        for _ in range(5):
            self.process.send_signal(signal.SIGINT)
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
        self.process.kill()
        raise AssertionError(f"{why}: {self.text}")

    def end(self, seconds: float = 300) -> tuple[int, str]:
        """Exit code, and all that was shown."""
        ends = time.monotonic() + seconds
        while self._read():
            if time.monotonic() > ends:
                self._give_up(f"no end after {seconds:.0f} s")
        os.close(self.main)
        return self.process.wait(timeout=60), self.text
