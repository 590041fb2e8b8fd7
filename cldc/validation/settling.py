"""Settles what only TensorFlow can tell: once for each content, in one process, and the answers are remembered."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from cldc.errors import StorageError
from cldc.files import private_file, private_folder
from cldc.validation.decoder import Answer, Decoder
from cldc.validation.decoding import Readable, Verdict
from cldc.validation.decoding.dispatch import format_of

FILE = "tensorflow-verdicts.sqlite3"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answer (
    sha256 TEXT NOT NULL, tensorflow TEXT NOT NULL, readable INTEGER NOT NULL,
    height INTEGER, width INTEGER, error TEXT NOT NULL,
    PRIMARY KEY (sha256, tensorflow)
) STRICT;
"""
_LONGEST_MAGIC = 8


class TensorFlow(Protocol):
    """As much of an environment as is needed here."""

    @property
    def version(self) -> str:
        """TensorFlow's version."""

    @property
    def python(self) -> Path:
        """The environment's interpreter."""


def settle(files: Mapping[str, Path], tensorflow: TensorFlow, home: Path) -> dict[str, Verdict]:
    """TensorFlow's own verdicts, by SHA-256; for each content one file that has it.

    A verdict stays UNSURE only where the file has changed since it was hashed, can't be read, or takes TensorFlow minutes.

    Raises:
        ProcessFailed: TensorFlow does not start.
        StorageError: The answers can't be kept in `home`.
    """
    verdicts = {}
    with _memory(home) as memory, Decoder(tensorflow.python) as decoder:
        for sha256, path in files.items():
            answer = _recall(memory, sha256, tensorflow.version)
            if answer is None:
                answer = decoder.ask(path)
                if answer.lasting and answer.sha256 in {sha256, ""}:
                    _remember(memory, sha256, tensorflow.version, answer)
            verdicts[sha256] = _verdict(answer, sha256, path)
    return verdicts


def settled(files: Mapping[str, Path], version: str, home: Path) -> dict[str, Verdict] | None:
    """What `settle` would say, where that TensorFlow has told all of it before; None where one must be asked.

    Raises:
        StorageError: The answers in `home` can't be read.
    """
    if not (home / FILE).is_file():
        return None
    verdicts = {}
    with _memory(home) as memory:
        for sha256, path in files.items():
            answer = _recall(memory, sha256, version)
            if answer is None:
                return None
            verdicts[sha256] = _verdict(answer, sha256, path)
    return verdicts


def _verdict(answer: Answer, sha256: str, path: Path) -> Verdict:
    if answer.readable is None or answer.sha256 not in {sha256, ""}:
        reason = answer.error or "the file has changed while it was being checked"
        return Verdict(Readable.UNSURE, None, reason=f"TensorFlow could not tell: {reason}.")
    readable = Readable.YES if answer.readable else Readable.NO
    reason = f"TensorFlow: {answer.error}" if answer.error else ""
    return Verdict(readable, format_of(_start_of(path)), answer.width, answer.height, reason)


def _start_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST_MAGIC)
    except OSError:
        return b""


@contextlib.contextmanager
def _memory(home: Path) -> Iterator[sqlite3.Connection]:
    path = private_folder(home) / FILE
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


def _recall(memory: sqlite3.Connection, sha256: str, version: str) -> Answer | None:
    row = memory.execute(
        "SELECT readable, height, width, error FROM answer WHERE sha256 = ? AND tensorflow = ?",
        (sha256, version),
    ).fetchone()
    return Answer(bool(row[0]), row[1], row[2], row[3], sha256) if row else None


def _remember(memory: sqlite3.Connection, sha256: str, version: str, answer: Answer) -> None:
    with memory:
        memory.execute(
            "INSERT OR REPLACE INTO answer VALUES (?, ?, ?, ?, ?, ?)",
            (sha256, version, answer.readable, answer.height, answer.width, answer.error),
        )
