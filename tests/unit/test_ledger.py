"""The ledger keeps what was recorded when it is killed, and says so when it is damaged."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cldc import ledger as ledgers
from cldc import process
from cldc.errors import StorageError
from cldc.files import LockTimeout
from cldc.ledger import FILE, BoardResult, KnownSubmission, Ledger, LedgerUnusable, StepRecord, set_aside
from cldc.submission.model import (
    FinishedRun,
    OrganisersBundles,
    StartedRun,
    StepResult,
    StoredDescription,
    SubmissionWorksheet,
)
from tests.support.commands import ROOT, Cldc, Outcome
from tests.support.records import RECORD


def test_a_step_is_known_from_its_intent_on(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add(RECORD)
        ledger.begin("id1", "upload")
    with Ledger(tmp_path) as ledger:
        assert ledger.steps("id1")["upload"].finished is None
        ledger.finish("id1", "upload", {"uuid": "0x1"})
    with Ledger(tmp_path) as ledger:
        assert ledger.steps("id1")["upload"].result == {"uuid": "0x1"}
        ledger.add(RECORD)
        assert ledger.records() == (RECORD,)
        ledger.forget("id1", ("upload",))
        assert not ledger.steps("id1")


def test_a_submission_that_is_known_stays_as_it_is(tmp_path: Path) -> None:
    """Another process may have found the same one on the server a moment before."""

    def found(uuid: str) -> KnownSubmission:
        step = StepRecord("upload", RECORD.created, RECORD.created, {"uuid": uuid})
        return KnownSubmission(RECORD, {"upload": step})

    with Ledger(tmp_path) as ledger:
        assert ledger.add_submissions([found("0x1"), found("0x2")]) == (RECORD,)
        assert ledger.add_submissions([found("0x3")]) == ()
        assert ledger.submissions() == (found("0x1"),)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    with Ledger(tmp_path / "new") as ledger:
        ledger.add(RECORD)
        modes = {p.name: p.stat().st_mode & 0o077 for p in (tmp_path / "new").iterdir()}
    assert set(modes.values()) == {0}, modes


_WRITER = """
import sys, pathlib
from cldc.ledger import Ledger
from tests.support.records import RECORD
ledger = Ledger(pathlib.Path(sys.argv[1]))
ledger.add(RECORD)
for n in range(100000):
    ledger.begin("id1", f"s{n}")
    ledger.finish("id1", f"s{n}", {"n": str(n)})
    print(n, flush=True)
"""


def test_what_it_said_is_done_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    for after in (1, 7, 23, 40):
        last = -1
        with process.Stream([sys.executable, "-c", _WRITER, tmp_path], cwd=ROOT) as lines:
            for line in lines:
                last = int(line)
                if last >= after:
                    break  # closing it kills the writer
        with Ledger(tmp_path) as ledger:
            steps = ledger.steps("id1")
            assert all(steps[f"s{n}"].result == {"n": str(n)} for n in range(last + 1))


def test_places_on_the_board_are_kept_when_they_change(tmp_path: Path) -> None:
    def place(day: int, rank: int | None, score: float | None) -> BoardResult:
        return BoardResult("0x1", "n", datetime(2021, 8, day, tzinfo=UTC), rank, 50, score)

    seen = [place(1, None, None), place(2, None, None), place(3, 4, 0.8), place(4, 4, 0.8), place(5, 6, 0.8)]
    with Ledger(tmp_path) as ledger:
        for one in seen:
            ledger.remember("c", [one])
        assert ledger.board_results("c") == (seen[0], seen[2], seen[4])
        assert ledger.board_results("other") == ()


# Damage ----------------------------------------------------------------------------------------------------


def contents(folder: Path, *, reading: bool = False) -> Any:
    """Everything that a ledger tells."""
    with Ledger(folder, reading=reading) as ledger:
        return ledger.export(), ledger.board_results("data-centric-2021"), ledger.board_results("c")


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """The folder of a small ledger that has some of everything."""
    with Ledger(tmp_path) as ledger:
        for number in range(3):
            ledger.add(replace(RECORD, id=f"id{number}", name=f"n{number}", institution="Universität"))
            for step in ("upload", "run", "tag"):
                ledger.begin(f"id{number}", step)
                ledger.finish(f"id{number}", step, {"uuid": f"0x{number:032x}"})
            shown = BoardResult(f"0x{number}", "n", datetime(2021, 8, 1, tzinfo=UTC), number, 50, 0.5)
            ledger.remember("c", [shown])
    return tmp_path


def test_no_flipped_bit_changes_what_a_ledger_returns(filled: Path) -> None:
    file = filled / FILE
    whole, before = file.read_bytes(), contents(filled)
    used = [place for place, byte in enumerate(whole) if byte]
    unused = [place for place, byte in enumerate(whole) if not byte]
    outcomes: Counter[str] = Counter()
    for number, place in enumerate([*used[::5], *unused[::40]]):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << number % 8
        file.write_bytes(flipped)
        try:
            after = contents(filled)
        except StorageError as error:
            outcomes["refused"] += 1
            assert FILE in error.message
        else:
            outcomes["harmless"] += 1
            assert after == before, f"bit {number % 8} of byte {place}"
    assert min(outcomes["refused"], outcomes["harmless"]) > 50, outcomes


def test_a_ledger_that_was_cut_off_is_refused(filled: Path) -> None:
    file = filled / FILE
    whole = file.read_bytes()
    for size in (0, 1, 16, 100, 512, 4096, len(whole) // 2, len(whole) - 4096, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(LedgerUnusable, match="is damaged") as raised:
            Ledger(filled)
        assert "cldc ledger rebuild" in raised.value.action


def changed_by_a_newer_cldc(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA user_version = 99")
        database.execute("ALTER TABLE step ADD COLUMN attempt INTEGER")


def made_by_another_program(file: Path) -> None:
    file.unlink()
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE notes (text)")


def replaced_by_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    ("spoil", "message", "rescued"),
    [
        (changed_by_a_newer_cldc, "A newer cldc wrote the ledger", True),
        (made_by_another_program, "is damaged", False),
        (replaced_by_a_folder, "is not a file", False),
        (lambda file: file.write_bytes(b"not a database" * 100), "is damaged: file is not a database", False),
    ],
)
def test_a_ledger_that_cannot_be_used_names_the_way_out(
    filled: Path, bare_cldc: Cldc, spoil: Any, message: str, *, rescued: bool
) -> None:
    before = contents(filled)
    shutil.copy(filled / FILE, bare_cldc.home)
    spoil(bare_cldc.home / FILE)
    for command in (["history"], ["ledger", "export"], ["open", "worksheet"]):
        shown = bare_cldc(*command, "-q", code=14, CLDC_SERVER="http://127.0.0.1:1").err
        assert message in shown
        assert "`cldc ledger rebuild`" in shown
        assert len(shown.splitlines()) == 2
    diagnosis = bare_cldc("doctor", "--format", "json", code=1, CLDC_SERVER="http://127.0.0.1:1").data
    assert {check["subject"]: check["verdict"] for check in diagnosis["checks"]}["ledger"] == "wrong"
    aside = set_aside(bare_cldc.home)
    assert aside.exists()
    with Ledger(bare_cldc.home) as ledger:
        ledger.rescue_board_results(aside)
        assert ledger.records() == ()
        assert ledger.board_results("c") == (before[2] if rescued else ())


def test_places_are_rescued_from_a_damaged_ledger(filled: Path) -> None:
    _, _, places = contents(filled)
    with contextlib.closing(sqlite3.connect(filled / FILE)) as database, database:
        database.execute("UPDATE submission SET name = 'other'")
        database.execute("UPDATE place SET rank = 1 WHERE rank = 2")
    with pytest.raises(LedgerUnusable, match="a row of its table submission was changed"):
        contents(filled)
    aside = set_aside(filled)
    with Ledger(filled) as ledger:
        ledger.rescue_board_results(aside)
        assert ledger.board_results("c") == places[:2]


def test_a_journal_left_behind_is_not_played_back_into_the_next_ledger(filled: Path) -> None:
    file = filled / FILE
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("PRAGMA cache_spill = 1")
        database.execute("PRAGMA cache_size = 1")
        database.execute("BEGIN IMMEDIATE")
        database.execute("DELETE FROM step")
        database.execute("DELETE FROM place")
        journal = file.with_name(f"{FILE}-journal").read_bytes()
    file.unlink()
    file.with_name(f"{FILE}-journal").write_bytes(journal)
    with Ledger(filled) as ledger:
        assert ledger.records() == ()
    assert [p.name for p in filled.iterdir() if p.name.startswith(FILE)] == [FILE]


def test_a_ledger_that_another_process_locks_is_reported(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "BUSY_SECONDS", 0.1)
    with contextlib.closing(sqlite3.connect(filled / FILE)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LockTimeout, match=r"locked the ledger"):
            contents(filled)
    contents(filled)


# What 0.1.0 wrote, and folders that can't be written to ----------------------------------------------------


@contextlib.contextmanager
def old_ledger(folder: Path) -> Iterator[sqlite3.Connection]:
    """A ledger as cldc 0.1.0 left it, held open so that its contents are in the write-ahead log only."""
    with contextlib.closing(sqlite3.connect(folder / FILE)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript((ROOT / "tests/data/ledger-0.1.0.sql").read_text(encoding="utf-8"))
        yield database


def test_a_ledger_of_0_1_0_opens_and_is_then_protected(tmp_path: Path) -> None:
    with old_ledger(tmp_path):
        pass
    exported, places, _ = contents(tmp_path)
    second, first = exported["submissions"]
    assert first["submission"].name == "kärtchen"
    assert [step.name for step in first["steps"]] == ["worksheet", "run", "tag"]
    assert first["steps"][1].result == {"seconds": "181.5", "uuid": "0x" + "2" * 32}
    assert [step.finished for step in second["steps"]] == [None]
    assert [(p.rank, p.score) for p in places] == [(None, None), (7, 0.8125)]
    with Ledger(tmp_path) as ledger:
        begun, tagged = ledger.submissions()
        assert (begun.carries_tag, tagged.carries_tag) == (False, True)
        assert (
            StartedRun.from_ledger(tagged.steps["run"].result).uuid == tagged.uuid("run") == "0x" + "2" * 32
        )
        ledger.begin("0b7f6c5d4e3a2918", "run")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(FILE)] == [FILE]
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as database, database:
        database.execute("UPDATE step SET result = replace(result, '181.5', '181.4')")
    with pytest.raises(LedgerUnusable):
        contents(tmp_path)


UUID = {"uuid": "0x1"}


@pytest.mark.parametrize(
    ("result", "stored"),
    [
        (SubmissionWorksheet, UUID),
        (OrganisersBundles, {"script": "0x1", "label_book": "0x2"}),
        (FinishedRun, {**UUID, "seconds": "181.5", "images": "52"}),
        (StoredDescription, {**UUID, "description": "mine (Lab)"}),
    ],
)
def test_a_step_gives_the_ledger_what_0_1_0_wrote(result: type[StepResult], stored: dict[str, str]) -> None:
    assert result.from_ledger(stored).to_ledger() == stored


def test_an_old_ledger_with_an_unreadable_value_is_refused_at_once(tmp_path: Path) -> None:
    with old_ledger(tmp_path) as database, database:
        database.execute("UPDATE step SET started = 'yesterday'")
    with pytest.raises(LedgerUnusable, match="yesterday"):
        Ledger(tmp_path)


def powerless(home: Path, *arguments: str) -> Outcome:
    """A command by somebody who may not write where a mode forbids it."""
    done = process.run(
        [sys.executable, "-m", "tests.support.powers", *arguments],
        env={**os.environ, "CLDC_HOME": str(home), "CODALAB_USERNAME": "u", "CODALAB_PASSWORD": "p"},
        cwd=ROOT,
        timeout_seconds=60,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
@pytest.mark.parametrize("state", ["of today", "of 0.1.0", "interrupted", "absent"])
def test_a_read_only_folder_is_enough_for_commands_that_read(
    filled: Path, tmp_path: Path, state: str
) -> None:
    home = tmp_path / "read-only"
    home.mkdir()
    with contextlib.ExitStack() as held:
        if state == "of 0.1.0":
            held.enter_context(old_ledger(home))
        elif state != "absent":
            shutil.copy(filled / FILE, home)
        if state == "interrupted":
            unfinished = held.enter_context(contextlib.closing(sqlite3.connect(home / FILE)))
            unfinished.execute("PRAGMA cache_size = 1")
            unfinished.execute("DELETE FROM step")
            unfinished.execute("DELETE FROM place")
        parts = {part.name: part.read_bytes() for part in home.iterdir()}
    assert (f"{FILE}-journal" in parts) == (state == "interrupted")
    for name, content in parts.items():  # as a kill would have left them
        (home / name).write_bytes(content)
    home.chmod(0o500)
    outcome = powerless(home, "ledger", "export")
    assert (outcome.code, outcome.err) == (0, "")
    steps = [len(one["steps"]) for one in outcome.data["submissions"]]
    assert steps == {"of 0.1.0": [1, 3], "absent": []}.get(state, [3, 3, 3])
    assert {part.name: part.read_bytes() for part in home.iterdir()} == parts


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_what_must_be_written_down_is_not_begun_in_a_read_only_folder(filled: Path) -> None:
    filled.chmod(0o500)
    code = "from pathlib import Path; from tests.support.powers import give_up_powers; from cldc.ledger import Ledger;"
    code += "import sys; give_up_powers(); Ledger(Path(sys.argv[1])).begin('id0', 'tag')"
    done = process.run([sys.executable, "-c", code, filled], cwd=ROOT, timeout_seconds=60, check=False)
    assert f"No permission to use {filled / FILE}" in done.stderr


_ON_A_FULL_DISK = """
import dataclasses, resource, sys
from pathlib import Path
from cldc.ledger import Ledger
from tests.support.records import RECORD
with Ledger(Path(sys.argv[1])) as ledger:
    ledger.begin("id0", "tag")
    writes = {
        "add": lambda: ledger.add(dataclasses.replace(RECORD, id="new")),
        "begin": lambda: ledger.begin("id0", "new"),
        "finish": lambda: ledger.finish("id0", "tag", {"uuid": "0x1"}),
    }
    for name, write in writes.items():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        try:
            write()
            said = "nothing"
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(name, said.splitlines()[0])
        write()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_a_full_disk_is_not_a_damaged_ledger(filled: Path) -> None:
    """SQLite may have rolled back by itself what it could not write."""
    done = process.run([sys.executable, "-c", _ON_A_FULL_DISK, filled], cwd=ROOT, timeout_seconds=120)
    lines = done.stdout.splitlines()
    assert [line.split(f": Can't use {filled / FILE}")[0] for line in lines] == [
        f"{name} StorageError" for name in ("add", "begin", "finish")
    ]
