"""A program's end in words, and the errors for that."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from cldc.errors import ProcessFailed

_TAIL_LINES = 15


class CommandNotFound(ProcessFailed):
    """A program does not exist or may not be run."""


class ProcessTimeout(ProcessFailed):
    """A program took longer than its time limit and was stopped."""


class CommandFailed(ProcessFailed):
    """A program ended with another exit code than 0.

    Attributes:
        command: The whole command.
        returncode: Its exit code, or minus the signal that ended it.
        stdout, stderr: Everything it wrote (of a stream, all is in ``stdout``).
    """

    def __init__(self, command: Sequence[str], returncode: int, stdout: str = "", stderr: str = "") -> None:
        self.command = tuple(command)
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
        written = "\n".join((stderr.strip() or stdout.strip()).splitlines()[-_TAIL_LINES:])
        super().__init__(
            f"{shlex.join(command)} ended with {describe_exit(returncode)}."
            + (f"\n{written}" * bool(written)),
            action="Fix what it says above, then run the command again.",
        )


@dataclass(frozen=True, slots=True)
class Completed:
    """A program's end.

    Attributes:
        returncode: Its exit code, or minus the signal that ended it.
        stdout, stderr: What it wrote, decoded from UTF-8 with replacement.
        peak_memory_bytes: Peak resident memory of it or of the largest of its children; None on Windows.
    """

    returncode: int
    stdout: str
    stderr: str
    peak_memory_bytes: int | None = None


def describe_exit(returncode: int) -> str:
    """Describe an exit code in words: ``exit code 1``, or ``signal SIGILL`` for -4."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return f"signal {signal.Signals(-returncode).name}"
    except ValueError:
        return f"signal {-returncode}"
