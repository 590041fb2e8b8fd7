"""The real TensorFlow, in its own environment, to ask about single files."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cldc.errors import ProcessFailed
from cldc.process import Child, CommandFailed, ProcessTimeout, clean_environment, describe_exit

_PROGRAM = Path(__file__).with_name("inside") / "decode.py"
_START_SECONDS = 300.0
_FILE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """TensorFlow's verdict on one file.

    Attributes:
        readable: None where there is none: the file can't be opened, or it took too long.
        height: Pixels of what TensorFlow made.
        width: Pixels of what TensorFlow made.
        error: TensorFlow's message, or what happened instead of an answer.
        sha256: Of the content that was decoded; empty where that is not known.
        lasting: Whether the same content gets the same answer next time: not so where memory or time ran out.
    """

    readable: bool | None
    height: int | None
    width: int | None
    error: str
    sha256: str = ""
    lasting: bool = True


class Decoder:
    """Asks one TensorFlow process about file after file, and starts another when a file has killed it.

    Use it as a context manager. The process is started with the first question.
    """

    def __init__(self, python: Path) -> None:
        """`python` is the interpreter of an environment with TensorFlow."""
        self._python = python
        self._child: Child | None = None

    def ask(self, path: Path) -> Answer:
        """TensorFlow's verdict on the file.

        Raises:
            ProcessFailed: TensorFlow does not even start.
        """
        child = self._child or self._start()
        try:
            told: dict[str, Any] = json.loads(child.ask(json.dumps(os.fspath(path)), _FILE_SECONDS))
        except ProcessTimeout:
            self.close()
            return Answer(None, None, None, f"no answer within {_FILE_SECONDS:.0f} s", lasting=False)
        except CommandFailed as failed:
            self.close()
            end = describe_exit(failed.returncode)
            # SIGKILL is how Linux takes memory back: another machine may have enough.
            return Answer(False, None, None, f"the process ended with {end}", lasting=failed.returncode != -9)
        lasting = "OOM" not in told["error"] and told["readable"] is not None
        return Answer(**told, lasting=lasting)

    def _start(self) -> Child:
        child = Child([self._python, _PROGRAM], env=clean_environment({"TF_CPP_MIN_LOG_LEVEL": "3"}))
        try:
            json.loads(child.receive(_START_SECONDS))
        except ValueError:
            child.stop()
            raise ProcessFailed(
                f"The program that asks TensorFlow ({_PROGRAM}) does not answer as it should.",
                action="Install cldc again, then run the command again.",
            ) from None
        self._child = child
        return child

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.__exit__()
            self._child = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
