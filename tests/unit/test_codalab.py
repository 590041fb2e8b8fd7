"""What `cl` is never asked, and a client that does not start or does not answer."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cldc.codalab import Cl, Dependency, cl_session
from cldc.credentials import Credentials
from cldc.errors import (
    EnvironmentFailed,
    UsageError,
)
from cldc.process import commands
from tests.support.observers import Heard

UUID, SHEET = "0x" + "ab" * 16, "0x" + "cd" * 16
ALICE = Credentials("alice", "secret-canary", "test")


def no_python() -> Path:
    raise AssertionError("nothing was to be started")


@pytest.fixture
def cold() -> Iterator[Cl]:
    with Cl(no_python, "http://127.0.0.1:9", ALICE) as cl:
        yield cl


MISREAD: list[Callable[[Cl], Any]] = [
    lambda cl: cl.new_worksheet("-x"),
    lambda cl: cl.new_worksheet("has space"),
    lambda cl: cl.make(SHEET, UUID, "a", name="café"),
    lambda cl: cl.make(SHEET, UUID, "a", name="data.zip"),
    lambda cl: cl.make(SHEET, "run-train", "a", name="x"),
    lambda cl: cl.make(SHEET, UUID, "a:b", name="x"),
    lambda cl: cl.make("my-worksheet", UUID, "a", name="x"),
    lambda cl: cl.run(SHEET, "-x", [], name="x"),
    lambda cl: cl.run(SHEET, " ", [], name="x"),
    lambda cl: cl.run(SHEET, "echo %a% b", [], name="x"),
    lambda cl: cl.run(SHEET, "echo é", [], name="x"),
    lambda cl: cl.run(SHEET, "ls", [Dependency("-k", UUID, "")], name="x"),
    lambda cl: cl.set_tags(UUID, ["-t"]),
    lambda cl: cl.describe(UUID, "café"),
    lambda cl: cl.set_tags(UUID, []),
    lambda cl: cl.set_tags(UUID, ["a b"]),
    lambda cl: cl.remove("^1"),
]


@pytest.mark.parametrize("ask", MISREAD)
def test_values_that_codalab_would_misread_are_refused_before_the_client_starts(
    cold: Cl, ask: Callable[[Cl], Any]
) -> None:
    with pytest.raises(UsageError):
        ask(cold)


def test_an_archive_that_codalab_would_not_unpack_is_refused(cold: Cl, tmp_path: Path) -> None:
    (tmp_path / "data.ZIP").write_bytes(b"")
    with pytest.raises(UsageError, match="lower case"):
        cold.upload(SHEET, tmp_path / "data.ZIP", name="data")


def test_an_environment_without_codalab_is_reported() -> None:
    with Cl(lambda: Path(sys.executable), "http://127.0.0.1:9", ALICE) as cl:
        with pytest.raises(EnvironmentFailed, match="codalab") as raised:
            cl.new_worksheet("x")
        assert "cldc env" in raised.value.action
    with (
        Cl(lambda: Path("/nowhere/python"), "http://127.0.0.1:9", ALICE) as cl,
        pytest.raises(EnvironmentFailed),
    ):
        cl.new_worksheet("x")


# The session of `cl` and a server that misbehaves


# Answers once there is a file `noted` beside it.
SILENT_CLIENT = """
import json, pathlib, sys, time
print(json.dumps({"ready": "1.7.5"}), flush=True)
for line in sys.stdin:
    while not pathlib.Path(__file__).with_name("noted").exists():
        time.sleep(0.02)
    print(json.dumps({"id": json.loads(line)["id"], "code": 0, "stdout": "0x" + 32 * "1"}), flush=True)
"""


def test_a_command_that_is_not_answered_for_long_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "session.py").write_text(SILENT_CLIENT, encoding="utf-8")
    monkeypatch.setattr(cl_session, "SESSION", tmp_path / "session.py")
    monkeypatch.setattr(cl_session, "NOTE_SECONDS", 0.0)
    monkeypatch.setattr(commands, "WAITING_SECONDS", 0.1)

    class Noting(Heard):
        def note(self, text: str) -> None:
            super().note(text)
            (tmp_path / "noted").touch()

    heard = Noting()
    with Cl(lambda: Path(sys.executable), "http://127.0.0.1:9", ALICE, observer=heard) as cl:
        cl.new_worksheet("mine")
    assert re.fullmatch(
        r"http://127\.0\.0\.1:9 has not answered `cl new` for \d+ s; it has 5 min\.", heard.notes[0]
    )


def test_a_path_that_is_not_utf_8_in_an_answer_of_the_client_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `json` in the client's process writes it: a surrogate for each byte."""
    (tmp_path / "session.py").write_text(
        SILENT_CLIENT.replace('"0x" + 32 * "1"', r"'mine \udcff'"), encoding="utf-8"
    )
    (tmp_path / "noted").touch()
    monkeypatch.setattr(cl_session, "SESSION", tmp_path / "session.py")
    with cl_session.ClSession(lambda: Path(sys.executable), "http://127.0.0.1:9", ALICE) as session:
        assert session.command("info") == "mine \udcff"
