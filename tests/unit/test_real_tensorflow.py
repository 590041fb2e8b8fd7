"""Asking TensorFlow about single files: crashes, changes, kept answers. A stand-in plays TensorFlow."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from cldc.files import hash_bytes
from cldc.validation.real_tensorflow import ask_environment, kept_verdicts
from cldc.validation.tensorflow_decoder import Format, Readable, Verdict
from tests.support.folders import png

_STAND_IN = """
import os, signal, types

__version__ = "0.0"

class OpError(Exception):
    def __init__(self, message):
        super().__init__(message)
        self.message = message

errors = types.SimpleNamespace(OpError=OpError)

def decode_image(content, channels, expand_animations):
    assert channels == 3 and not expand_animations
    with open(os.environ["ASKED"], "ab") as asked:
        asked.write(content[:8].hex().encode() + b"\\n")
    print("noise on standard output")
    if content == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if content.startswith(b"no"):
        raise OpError("Unknown image file format. [Op:DecodeImage]")
    return types.SimpleNamespace(shape=(3, 4, 3))

io = types.SimpleNamespace(decode_image=decode_image)
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")


@dataclass(frozen=True)
class StandIn:
    """An environment whose TensorFlow is ours."""

    python: Path
    log: Path
    version: str = "0.0"

    @property
    def asked(self) -> list[bytes]:
        """What it was asked about so far."""
        return self.log.read_bytes().splitlines() if self.log.exists() else []


@pytest.fixture
def tensorflow(tmp_path: Path) -> StandIn:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "tensorflow.py").write_text(_STAND_IN)
    python = tmp_path / "python"
    log = tmp_path / "asked"
    python.write_text(
        f'#!/bin/sh\nexec env PYTHONPATH="{tmp_path}/lib" ASKED="{log}" "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    return StandIn(python, log)


def files(folder: Path, *contents: bytes) -> dict[str, Path]:
    """Files with these contents, by hash; odd names on purpose."""
    found = {}
    for number, content in enumerate(contents):
        path = folder / f"{number} \n\udc80é.png"
        path.write_bytes(content)
        found[hash_bytes(content)] = path
    return found


def test_a_crash_is_a_no_and_the_rest_goes_on(tmp_path: Path, tensorflow: StandIn) -> None:
    asked = files(tmp_path, png(), b"crash", b"no image")
    yes, crash, no = ask_environment(asked, tensorflow.python, tensorflow.version, tmp_path / "home").values()
    assert (yes.readable, yes.format, yes.width, yes.height) == (Readable.YES, Format.PNG, 4, 3)
    assert (crash.readable, no.readable) == (Readable.NO, Readable.NO)
    assert "SIGSEGV" in crash.reason
    assert no.reason == "TensorFlow: Unknown image file format."


def test_answers_are_kept(tmp_path: Path, tensorflow: StandIn) -> None:
    asked = files(tmp_path, png(), b"crash", b"no image")
    home = tmp_path / "home"
    assert kept_verdicts(asked, tensorflow.version, home) is None
    first = ask_environment(asked, tensorflow.python, tensorflow.version, home)
    assert kept_verdicts(asked, tensorflow.version, home) == first
    assert kept_verdicts(asked, "0.1", home) is None
    assert ask_environment(asked, tensorflow.python, tensorflow.version, tmp_path / "home") == first
    assert len(tensorflow.asked) == 3
    assert (tmp_path / "home" / "tensorflow-verdicts.sqlite3").stat().st_mode & 0o077 == 0


def test_a_file_that_changes_meanwhile_stays_unknown(tmp_path: Path, tensorflow: StandIn) -> None:
    asked = files(tmp_path, png(), png(1))
    changed, gone = asked.values()
    changed.write_bytes(png(2))
    gone.unlink()

    def ask() -> list[Verdict]:
        answers = ask_environment(asked, tensorflow.python, tensorflow.version, tmp_path / "home")
        return [answers[sha256] for sha256 in asked]

    for verdict in ask():
        assert verdict.readable is Readable.UNKNOWN
        assert "TensorFlow did not answer" in verdict.reason
    changed.write_bytes(png())
    assert [verdict.readable for verdict in ask()] == [Readable.YES, Readable.UNKNOWN]
