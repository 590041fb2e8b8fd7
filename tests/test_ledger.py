"""The ledger keeps what it was told, through being killed and through damage."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cldc import process
from cldc.errors import StorageError
from cldc.ledger import Ledger, Place, Record
from tests.conftest import ROOT

RECORD = Record(
    "id1",
    "c",
    "http://127.0.0.1:1",
    "alice",
    "n",
    "",
    "",
    "d",
    "0" * 64,
    None,
    datetime(2021, 7, 1, tzinfo=UTC),
)


def test_a_step_is_known_from_its_intent_on(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add(RECORD)
        ledger.begin("id1", "upload")
    with Ledger(tmp_path) as ledger:
        assert ledger.steps("id1")["upload"].finished is None
        ledger.finish("id1", "upload", {"uuid": "0x1"})
    with Ledger(tmp_path) as ledger:
        assert ledger.steps("id1")["upload"].result == {"uuid": "0x1"}
        assert ledger.add(RECORD) == RECORD
        assert ledger.records() == (RECORD,)
        ledger.forget("id1", ("upload",))
        assert not ledger.steps("id1")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    with Ledger(tmp_path / "new") as ledger:
        ledger.add(RECORD)
        modes = {p.name: p.stat().st_mode & 0o077 for p in (tmp_path / "new").iterdir()}
    assert set(modes.values()) == {0}, modes


_WRITER = """
import sys, pathlib
from cldc.ledger import Ledger
from tests.test_ledger import RECORD
ledger = Ledger(pathlib.Path(sys.argv[1]))
ledger.add(RECORD)
for n in range(100000):
    ledger.begin("id1", f"s{n}")
    ledger.finish("id1", f"s{n}", {"n": str(n)})
    print(n, flush=True)
"""


def test_what_it_said_is_done_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    for after in (1, 7, 23, 40):
        told = -1
        with process.stream([sys.executable, "-c", _WRITER, tmp_path], cwd=ROOT) as lines:
            for line in lines:
                told = int(line)
                if told >= after:
                    break  # closing it kills the writer
        with Ledger(tmp_path) as ledger:
            steps = ledger.steps("id1")
            assert all(steps[f"s{n}"].result == {"n": str(n)} for n in range(told + 1))


def test_a_file_that_is_no_ledger_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match="ledger"):
        Ledger(tmp_path)


def test_places_on_the_board_are_kept_when_they_change(tmp_path: Path) -> None:
    def place(day: int, rank: int | None, score: float | None) -> Place:
        return Place("0x1", "n", datetime(2021, 8, day, tzinfo=UTC), rank, 50, score)

    seen = [place(1, None, None), place(2, None, None), place(3, 4, 0.8), place(4, 4, 0.8), place(5, 6, 0.8)]
    with Ledger(tmp_path) as ledger:
        for one in seen:
            ledger.remember("c", one)
        assert ledger.places("c") == (seen[0], seen[2], seen[4])
        assert ledger.places("other") == ()
