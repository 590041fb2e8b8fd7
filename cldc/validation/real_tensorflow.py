"""Ask the real TensorFlow, in its own environment, about images whose verdict is unknown, and keep the answers."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cldc.competition import TensorFlowChoice
from cldc.dataset import read_start
from cldc.environments import ensure_tensorflow
from cldc.errors import ProcessFailed, StorageError
from cldc.files import private_file, private_folder
from cldc.process import Child, CommandFailed, ProcessTimeout, clean_environment, describe_exit
from cldc.progress import Observer
from cldc.validation.tensorflow_decoder import Readable, Verdict
from cldc.validation.tensorflow_decoder.dispatch import format_of

_FILE = "tensorflow-verdicts.sqlite3"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answer (
    sha256 TEXT NOT NULL, tensorflow TEXT NOT NULL, readable INTEGER NOT NULL,
    height INTEGER, width INTEGER, error TEXT NOT NULL,
    PRIMARY KEY (sha256, tensorflow)
) STRICT;
"""
_PROGRAM = Path(__file__).with_name("inside") / "decode.py"
_START_SECONDS = 300.0
_FILE_SECONDS = 120.0
_LONGEST_MAGIC = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """TensorFlow's answer about one file.

    Attributes:
        readable: None if there is no answer: the file can't be opened, or it took too long.
        height: Height in pixels, as decoded.
        width: Width in pixels, as decoded.
        error: TensorFlow's message, or what happened instead of an answer.
        sha256: SHA-256 of the decoded content; empty if unknown.
        lasting: Whether the same content would get the same answer again: not after a lack of memory or time.
    """

    readable: bool | None
    height: int | None
    width: int | None
    error: str
    sha256: str = ""
    lasting: bool = True


def ask_tensorflow(
    files: Mapping[str, Path], choices: Sequence[TensorFlowChoice], home: Path, observer: Observer
) -> dict[str, Verdict]:
    """Return TensorFlow's verdicts by SHA-256; its environment is created only if a verdict is not known yet.

    A verdict stays UNKNOWN only if the file has changed since it was hashed, can't be read, or takes TensorFlow minutes.

    Args:
        files: One path for each content to ask about.
        choices: The competition's versions of TensorFlow.
        home: The data folder, where the environment is and the answers are kept.
        observer: Receives progress.

    Raises:
        EnvironmentFailed: No TensorFlow can be installed.
        ProcessFailed: TensorFlow does not start.
        StorageError: The answers can't be kept.
    """
    for choice in choices:
        if (known := kept_verdicts(files, choice.version, home)) is not None:
            return known
    environment = ensure_tensorflow(choices, home, observer)
    return ask_environment(files, environment.python, environment.version, home)


def ask_environment(files: Mapping[str, Path], python: Path, version: str, home: Path) -> dict[str, Verdict]:
    """Return the verdicts of one environment's TensorFlow, given its interpreter and version; see `ask_tensorflow`."""
    verdicts = {}
    with _open_answers(home) as answers, contextlib.closing(TensorFlowProcess(python)) as tensorflow:
        for sha256, path in files.items():
            answer = _load_answer(answers, sha256, version)
            if answer is None:
                answer = tensorflow.ask(path)
                if answer.lasting and answer.sha256 in {sha256, ""}:
                    row = (sha256, version, answer.readable, answer.height, answer.width, answer.error)
                    with answers:
                        answers.execute("INSERT OR REPLACE INTO answer VALUES (?, ?, ?, ?, ?, ?)", row)
            verdicts[sha256] = _verdict(answer, sha256, path)
    return verdicts


def kept_verdicts(files: Mapping[str, Path], version: str, home: Path) -> dict[str, Verdict] | None:
    """Return the result of `ask_environment` if this version of TensorFlow has given every verdict before; else None.

    Raises:
        StorageError: The answers in ``home`` can't be read.
    """
    if not (home / _FILE).is_file():
        return None
    with _open_answers(home) as answers:
        kept = {sha256: _load_answer(answers, sha256, version) for sha256 in files}
    verdicts = {sha256: _verdict(answer, sha256, files[sha256]) for sha256, answer in kept.items() if answer}
    return verdicts if len(verdicts) == len(files) else None


def _verdict(answer: Answer, sha256: str, path: Path) -> Verdict:
    if answer.readable is None or answer.sha256 not in {sha256, ""}:
        reason = answer.error or "the file changed during the check"
        return Verdict(Readable.UNKNOWN, None, reason=f"TensorFlow did not answer: {reason}.")
    readable = Readable.YES if answer.readable else Readable.NO
    reason = f"TensorFlow: {answer.error}" if answer.error else ""
    return Verdict(readable, format_of(read_start(path, _LONGEST_MAGIC)), answer.width, answer.height, reason)


@contextlib.contextmanager
def _open_answers(home: Path) -> Iterator[sqlite3.Connection]:
    path = private_folder(home) / _FILE
    try:
        private_file(path)
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
            connection.executescript(_SCHEMA)
            yield connection
    except (sqlite3.Error, OSError) as error:
        raise StorageError(
            f"Can't keep TensorFlow's answers in {path}: {error}.",
            action=f"Remove {path}, or free some space, then run the command again.",
        ) from error


def _load_answer(answers: sqlite3.Connection, sha256: str, version: str) -> Answer | None:
    row = answers.execute(
        "SELECT readable, height, width, error FROM answer WHERE sha256 = ? AND tensorflow = ?",
        (sha256, version),
    ).fetchone()
    return Answer(bool(row[0]), row[1], row[2], row[3], sha256) if row else None


class TensorFlowProcess:
    """Asks one TensorFlow process about file after file, and starts another one when a file has killed it.

    The process starts with the first question; `close` it.
    """

    def __init__(self, python: Path) -> None:
        """Use `python`, the interpreter of an environment with TensorFlow."""
        self._python = python
        self._child: Child | None = None

    def ask(self, path: Path) -> Answer:
        """Return TensorFlow's answer about the file.

        Raises:
            ProcessFailed: TensorFlow does not even start.
        """
        child = self._child or self._start()
        try:
            answer: dict[str, Any] = json.loads(child.ask(json.dumps(os.fspath(path)), _FILE_SECONDS))
        except ProcessTimeout:
            self.close()
            return Answer(None, None, None, f"no answer within {_FILE_SECONDS:.0f} s", lasting=False)
        except CommandFailed as failed:
            self.close()
            end = describe_exit(failed.returncode)
            # SIGKILL is how Linux takes memory back: another machine may have enough.
            return Answer(False, None, None, f"the process ended with {end}", lasting=failed.returncode != -9)
        lasting = "OOM" not in answer["error"] and answer["readable"] is not None
        return Answer(**answer, lasting=lasting)

    def _start(self) -> Child:
        child = Child([self._python, _PROGRAM], env=clean_environment({"TF_CPP_MIN_LOG_LEVEL": "3"}))
        try:
            json.loads(child.receive(_START_SECONDS))
        except ValueError:
            child.stop()
            raise ProcessFailed(
                f"The program that asks TensorFlow ({_PROGRAM}) sent an invalid answer.",
                action="Install cldc again, then run the command again.",
            ) from None
        self._child = child
        return child

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.__exit__()
            self._child = None
