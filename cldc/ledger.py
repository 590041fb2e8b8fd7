"""A durable record of submissions and of each step's intent and result (SQLite, readable by its owner only).

Every step is written down before it starts and after it ends, each in a transaction that is on the disk when the
call returns. A process killed anywhere leaves a step that was begun and not finished; the next one sees that.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cldc.errors import StorageError
from cldc.files import PRIVATE_FILE, private_folder

FILE = "ledger.sqlite3"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS submission (
    id TEXT PRIMARY KEY, competition TEXT NOT NULL, server TEXT NOT NULL, account TEXT NOT NULL,
    name TEXT NOT NULL, institution TEXT NOT NULL, link TEXT NOT NULL,
    dataset TEXT NOT NULL, dataset_hash TEXT NOT NULL, preflight TEXT, created TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS step (
    submission TEXT NOT NULL REFERENCES submission(id), name TEXT NOT NULL,
    started TEXT NOT NULL, finished TEXT, result TEXT,
    PRIMARY KEY (submission, name)
) STRICT;
CREATE TABLE IF NOT EXISTS place (
    competition TEXT NOT NULL, bundle TEXT NOT NULL, name TEXT NOT NULL,
    updated TEXT NOT NULL, rank INTEGER, entries INTEGER NOT NULL, score REAL,
    PRIMARY KEY (competition, bundle, updated)
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Record:
    """A submission as it was meant.

    Attributes:
        id: Made from what identifies it, so the same intent has the same id on every machine.
        server: Address of the CodaLab.
        account: User name there.
        name: The submission's name on the board.
        dataset: Name of the dataset bundle.
        dataset_hash: The dataset's identity (see `cldc.dataset`).
        preflight: Id of the preflight it rests on; None where there was none.
        created: When it was first asked for.
    """

    id: str
    competition: str
    server: str
    account: str
    name: str
    institution: str
    link: str
    dataset: str
    dataset_hash: str
    preflight: str | None
    created: datetime


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step that was begun; ``finished`` is None while nobody knows how it ended."""

    name: str
    started: datetime
    finished: datetime | None
    result: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a submission stood on the board.

    Attributes:
        bundle: Uuid of the tagged bundle.
        updated: Of which time the board was.
        rank: From 1; None where the board did not show it.
        entries: How many the board showed.
        score: What it was scored with; None where it was not.
    """

    bundle: str
    name: str
    updated: datetime
    rank: int | None
    entries: int
    score: float | None


class Ledger:
    """The record in one data folder. Use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        """Open the ledger in ``folder``, made if need be.

        Raises:
            StorageError: It can't be opened, or is no ledger.
        """
        self.path = private_folder(folder) / FILE
        with self._errors():
            self._database = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            self.path.chmod(PRIVATE_FILE)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(
                f"The ledger {self.path} can't be used: {error}.",
                action="Check the disk and the file's owner; if the file is damaged, move it away: "
                "what was submitted is found again on the server.",
            ) from error

    def add(self, record: Record) -> Record:
        """Write down an intent; where it is known already, its first record stays and is returned."""
        with self._errors():
            self._database.execute(
                "INSERT OR IGNORE INTO submission VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                (
                    record.id,
                    record.competition,
                    record.server,
                    record.account,
                    record.name,
                    record.institution,
                    record.link,
                    record.dataset,
                    record.dataset_hash,
                    record.preflight,
                    record.created.isoformat(),
                ),
            )
        found = self.find(record.id)
        assert found is not None  # noqa: S101 - it was inserted in this very call
        return found

    def find(self, submission: str) -> Record | None:
        """The record with that id."""
        return next((r for r in self.records() if r.id == submission), None)

    def records(self) -> tuple[Record, ...]:
        """Every submission ever meant, oldest first."""
        with self._errors():
            cursor = self._database.execute("SELECT * FROM submission ORDER BY created, id")
            names = [column[0] for column in cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cursor]
        return tuple(Record(**{**row, "created": datetime.fromisoformat(row["created"])}) for row in rows)

    def begin(self, submission: str, step: str, *, now: datetime | None = None) -> None:
        """Write down that a step starts; what it left at an earlier try is forgotten."""
        self._write(
            "INSERT OR REPLACE INTO step VALUES (?,?,?,NULL,NULL)",
            submission,
            step,
            _stamp(now or datetime.now(UTC)),
        )

    def finish(
        self, submission: str, step: str, result: Mapping[str, str], *, now: datetime | None = None
    ) -> None:
        """Write down that a step ended well, and what it gave (never a secret)."""
        self._write(
            "UPDATE step SET finished = ?, result = ? WHERE submission = ? AND name = ?",
            _stamp(now or datetime.now(UTC)),
            json.dumps(dict(result), sort_keys=True),
            submission,
            step,
        )

    def forget(self, submission: str, steps: tuple[str, ...]) -> None:
        """Take back steps whose results no longer hold, so that they run again."""
        for step in steps:
            self._write("DELETE FROM step WHERE submission = ? AND name = ?", submission, step)

    def steps(self, submission: str) -> dict[str, StepRecord]:
        """Steps of a submission by name, in the order they were begun."""
        with self._errors():
            rows = self._database.execute(
                "SELECT name, started, finished, result FROM step WHERE submission = ? ORDER BY started, rowid",
                (submission,),
            ).fetchall()
        return {
            name: StepRecord(
                name,
                datetime.fromisoformat(started),
                datetime.fromisoformat(finished) if finished else None,
                json.loads(result) if result else {},
            )
            for name, started, finished, result in rows
        }

    def remember(self, competition: str, place: Place) -> None:
        """Keep a place on the board, unless the one known last is the same."""
        before = next((p for p in reversed(self.places(competition)) if p.bundle == place.bundle), None)
        if before is None or (before.rank, before.score) != (place.rank, place.score):
            self._write(
                "INSERT OR IGNORE INTO place VALUES (?,?,?,?,?,?,?)",
                competition,
                place.bundle,
                place.name,
                _stamp(place.updated),
                place.rank,
                place.entries,
                place.score,
            )

    def places(self, competition: str) -> tuple[Place, ...]:
        """Every place on the board that was seen, oldest first."""
        with self._errors():
            rows = self._database.execute(
                "SELECT bundle, name, updated, rank, entries, score FROM place WHERE competition = ? "
                "ORDER BY updated, bundle",
                (competition,),
            ).fetchall()
        return tuple(Place(b, n, datetime.fromisoformat(u), r, e, s) for b, n, u, r, e, s in rows)

    def export(self) -> dict[str, Any]:
        """Every submission with its steps, as plain data; what results hold are uuids, texts and counts."""
        return {
            "ledger": 1,
            "submissions": [
                {"submission": record, "steps": tuple(self.steps(record.id).values())}
                for record in self.records()
            ],
        }

    def _write(self, statement: str, *values: str | float | None) -> None:
        with self._errors():
            self._database.execute(statement, values)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
