"""A durable record of submissions and of each step's intent and result (SQLite, readable by its owner only).

Every step is recorded before it starts and after it ends, each in a transaction that is on disk when the
call returns. A killed process leaves a step that was begun and not finished, which the next process sees.

The file states its format, and each row has a checksum: a ledger that is damaged, or that a newer cldc wrote, is
refused. It can then be set aside, because the server still has every submission.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cldc.errors import StorageError
from cldc.files import (
    LockTimeout,
    hash_bytes,
    lock,
    private_folder,
    replace_atomically,
    storage_error,
    storage_errors,
    temporary_folder,
)

FILE = "ledger.sqlite3"
# Both are in the file's header: the application's id and the format of its tables. cldc 0.1.0 wrote neither.
_APPLICATION = int.from_bytes(b"cldc", "big")
_FORMAT = 1
_TABLES = {
    "submission": """
    id TEXT PRIMARY KEY, competition TEXT NOT NULL, server TEXT NOT NULL, account TEXT NOT NULL,
    name TEXT NOT NULL, institution TEXT NOT NULL, link TEXT NOT NULL,
    dataset TEXT NOT NULL, dataset_hash TEXT NOT NULL, preflight TEXT, created TEXT NOT NULL,
    checksum TEXT NOT NULL
""",
    "step": """
    submission TEXT NOT NULL REFERENCES submission(id), name TEXT NOT NULL,
    started TEXT NOT NULL, finished TEXT, result TEXT, checksum TEXT NOT NULL,
    PRIMARY KEY (submission, name)
""",
    "place": """
    competition TEXT NOT NULL, bundle TEXT NOT NULL, name TEXT NOT NULL,
    updated TEXT NOT NULL, rank INTEGER, entries INTEGER NOT NULL, score REAL, checksum TEXT NOT NULL,
    PRIMARY KEY (competition, bundle, updated)
""",
}
_SCHEMA = {name: f"CREATE TABLE {name} ({columns}) STRICT" for name, columns in _TABLES.items()}
_STAMP = (f"PRAGMA application_id = {_APPLICATION}", f"PRAGMA user_version = {_FORMAT}")
# The ledger's files in its folder, including SQLite's journals.
_PARTS = ("", "-journal", "-wal", "-shm")
# How long another process may lock the ledger; each write takes milliseconds.
BUSY_SECONDS = 30.0
_WAY_OUT = "`cldc ledger rebuild`: it sets this file aside and reads your submissions back from the server."

# Steps with a special meaning. The tag spends a submission of the quota, and its withdrawal
# may give it back; the next two say how the last run ended; the last, followed by a uuid, says that an earlier bundle,
# whose tag was removed, still counts.
TAG, WITHDRAW = "tag", "withdraw"
FAILED, LOST = "failed", "lost dependency"
SPENT = "spent "

Value = str | int | float | None


class LedgerUnusable(StorageError):
    """The ledger is damaged, is not a ledger, or was written by a newer cldc."""


@dataclass(frozen=True, slots=True)
class Record:
    """A submission's intent.

    Attributes:
        id: Made from what identifies it, so the same intent has the same id on every machine.
        server: Address of the CodaLab.
        account: User name there.
        name: The submission's name on the board.
        dataset: Name of the dataset bundle.
        dataset_hash: The dataset's identity (see `cldc.dataset`).
        preflight: Id of the preflight that it relies on; None if there was none.
        created: When it was first requested.
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


_NAMES = tuple(f.name for f in fields(Record))


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step that was begun; ``finished`` is None while its end is unknown."""

    name: str
    started: datetime
    finished: datetime | None
    result: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A tag that was removed.

    Attributes:
        uuid: Uuid of the bundle that had it.
        spent: Whether its submission still counts against the quota; ``why`` gives the reason.
        when: When its removal was recorded.
    """

    uuid: str
    spent: bool
    why: str
    when: datetime

    def step(self) -> StepRecord:
        """Convert to the ledger's format."""
        result = {"uuid": self.uuid, "spent": "yes" if self.spent else "no", "why": self.why}
        return StepRecord(WITHDRAW, self.when, self.when, result)


@dataclass(frozen=True, slots=True)
class KnownSubmission:
    """A submission with its steps, in the order of their start."""

    record: Record
    steps: Mapping[str, StepRecord]

    def finished(self, step: str) -> StepRecord | None:
        """The step, if it succeeded."""
        known = self.steps.get(step)
        return known if known is not None and known.finished is not None else None

    def uuid(self, step: str) -> str:
        """Uuid that a step created or found; empty while it is not finished."""
        known = self.finished(step)
        return known.result.get("uuid", "") if known is not None else ""

    @property
    def tagged(self) -> datetime | None:
        """When the tag was set, whether or not it was removed since."""
        tag = self.finished(TAG)
        return tag.finished if tag is not None else None

    @property
    def carries_tag(self) -> bool:
        """Whether the tag was set and not removed, as far as this machine knows."""
        return self.tagged is not None and self.finished(WITHDRAW) is None

    @property
    def withdrawal(self) -> Withdrawal | None:
        """The removal of the tag, if it was removed."""
        step = self.finished(WITHDRAW)
        if step is None or step.finished is None:
            return None
        result = step.result
        uuid = result.get("uuid", self.uuid(TAG))
        return Withdrawal(uuid, result.get("spent") != "no", result.get("why", ""), step.finished)

    @property
    def spent_earlier(self) -> dict[str, datetime]:
        """When each earlier bundle was tagged that still counts, though another one was tagged instead, by uuid."""
        return {
            step.result["uuid"]: step.finished
            for name, step in self.steps.items()
            if name.startswith(SPENT) and step.finished is not None
        }

    @property
    def run_failure(self) -> str:
        """Why the last run failed, in one line; empty if it did not. Its uuid is ``uuid(FAILED)``."""
        step = self.finished(FAILED)
        return "" if step is None else step.result["reason"]

    @property
    def run_measure(self) -> tuple[float, int] | None:
        """Seconds that the finished run took, and number of images of its dataset; each 0 if unknown."""
        step = self.finished("train")
        if step is None:
            return None
        return float(step.result.get("seconds", 0)), int(step.result.get("images", 0))

    @property
    def uuids(self) -> frozenset[str]:
        """Uuids of everything on the server that its steps created or found."""
        return frozenset(uuid for step in self.steps.values() if (uuid := step.result.get("uuid")))


@dataclass(frozen=True, slots=True)
class BoardResult:
    """A submission's result on the board at one time.

    Attributes:
        bundle: Uuid of the tagged bundle.
        updated: The time of the board.
        rank: From 1; None if the board did not show it.
        entries: Number of entries that the board showed.
        score: Its score; None if it had none.
    """

    bundle: str
    name: str
    updated: datetime
    rank: int | None
    entries: int
    score: float | None


class Ledger:
    """The record in one data folder. Use it as a context manager."""

    def __init__(self, folder: Path, *, reading: bool = False) -> None:
        """Open the ledger in ``folder``, and create it if there is none.

        Args:
            folder: The data folder.
            reading: The command only reads, so a read-only folder will do: the command then works on a copy, and what
                it notes on the way is lost with the copy.

        Raises:
            LedgerUnusable: It is damaged, or was written by a newer cldc.
            LockTimeout: Another process keeps it locked.
            StorageError: It can't be read, or it must be written and can't be.
        """
        self.path = private_folder(folder) / FILE
        with contextlib.ExitStack() as resources:
            file = self.path
            if reading and not _writable(file):
                file = _copy(file, resources.enter_context(temporary_folder("cldc-ledger-")))
            _require(file, shown=self.path)
            with self._errors():
                # mode=rw: SQLite must not create an empty file if the ledger has just vanished.
                self._database = sqlite3.connect(
                    f"{file.absolute().as_uri()}?mode=rw",
                    uri=True,
                    timeout=BUSY_SECONDS,
                    isolation_level=None,
                )
                resources.callback(self._database.close)
                self._prepare()
            self._resources = resources.pop_all()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    # Opening ---------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Refuse an unreliable ledger; upgrade one of cldc 0.1.0 to the current format."""
        self._database.execute("PRAGMA synchronous = FULL")
        if self._pragma("application_id") == _APPLICATION and self._pragma("user_version") > _FORMAT:
            raise LedgerUnusable(
                f"A newer cldc wrote the ledger {self.path}: "
                f"its format is {self._pragma('user_version')}, and this cldc reads {_FORMAT}.",
                action=f"Update cldc, or run {_WAY_OUT}",
            )
        if (problem := self._pragma("integrity_check")) != "ok":
            raise self._damaged(problem)
        if (self._pragma("application_id"), self._pragma("user_version")) == (0, 0):
            self._upgrade()
        schema = dict(self._database.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))
        stamp = (self._pragma("application_id"), self._pragma("user_version"))
        if (stamp, schema) != ((_APPLICATION, _FORMAT), _SCHEMA):
            raise self._damaged("its tables are not those of a ledger")
        for table in _TABLES:
            self._select(table)
        # cldc 0.1.0 kept a write-ahead log, whose end is silently lost if it is damaged. While another process has the
        # ledger open, the mode can't be changed; the next opening changes it.
        with contextlib.suppress(sqlite3.OperationalError):
            self._database.execute("PRAGMA journal_mode = DELETE")

    def _upgrade(self) -> None:
        """Give each row of a ledger of cldc 0.1.0 its checksum."""
        with self._transaction():
            if self._pragma("user_version"):  # another process has just done it
                return
            rows = {
                table: self._database.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()  # noqa: S608
                for table in _TABLES
            }
            for table, statement in _SCHEMA.items():
                self._database.execute(f"DROP TABLE {table}")
                self._database.execute(statement)
                for values in rows[table]:
                    self._insert("INSERT", table, *values)
            for statement in _STAMP:
                self._database.execute(statement)
            self._require_readable()

    def _require_readable(self) -> None:
        """Refuse bad rows that have valid checksums only because these were just computed."""
        try:
            self.export()
            for (competition,) in self._database.execute("SELECT DISTINCT competition FROM place").fetchall():
                self.board_results(competition)
        except (ValueError, TypeError) as error:
            raise self._damaged(str(error)) from error

    def _pragma(self, name: str) -> Any:
        return self._database.execute(f"PRAGMA {name}").fetchone()[0]

    def _damaged(self, problem: str) -> LedgerUnusable:
        detail = problem.strip().partition("\n")[0].rstrip(".")
        return LedgerUnusable(f"The ledger {self.path} is damaged: {detail}.", action=f"Run {_WAY_OUT}")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except UnicodeDecodeError as error:  # a damaged name in SQLite's own message
            raise self._damaged("a text in it is not UTF-8") from error
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def _explained(self, error: sqlite3.Error) -> StorageError:
        kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return LockTimeout(
                f"Another process has locked the ledger {self.path} for {BUSY_SECONDS:.0f} s.",
                action="Wait until it is done, or stop it, then run the command again.",
            )
        if kind in _SYSTEM_ERRORS:
            return storage_error(OSError(_SYSTEM_ERRORS[kind], str(error)), self.path)
        return self._damaged(str(error))

    # Submissions and their steps -------------------------------------------------------------------------

    def add(self, record: Record) -> None:
        """Record an intent; an existing record stays unchanged."""
        self.add_submissions([KnownSubmission(record, {})])

    def add_submissions(self, submissions: Iterable[KnownSubmission]) -> tuple[Record, ...]:
        """Record submissions with their steps, all of them or none, and return the new ones; known ones stay unchanged."""
        added = []
        with self._errors(), self._transaction():
            for submission in submissions:
                record = submission.record
                *values, created = astuple(record)
                if self._insert("INSERT OR IGNORE", "submission", *values, created.isoformat()):
                    added.append(record)
                    for step in submission.steps.values():
                        self._put(record.id, step)
        return tuple(added)

    def records(self) -> tuple[Record, ...]:
        """Read the records of all submissions, oldest first."""
        rows = self._select("submission", "ORDER BY created, id")
        named = (dict(zip(_NAMES, row, strict=True)) for row in rows)
        return tuple(Record(**{**row, "created": datetime.fromisoformat(row["created"])}) for row in named)

    def submissions(
        self, *, competition: str | None = None, server: str | None = None, account: str | None = None
    ) -> tuple[KnownSubmission, ...]:
        """Read submissions with their steps, oldest first: all, or those to a competition, on a server, of an account."""
        steps: dict[str, dict[str, StepRecord]] = {}
        for row in self._select("step", "ORDER BY started, rowid"):
            step = _step(row)
            steps.setdefault(row[0], {})[step.name] = step
        return tuple(
            KnownSubmission(record, steps.get(record.id, {}))
            for record in self.records()
            if competition in (None, record.competition)
            and server in (None, record.server)
            and account in (None, record.account)
        )

    def begin(self, submission: str, step: str, *, now: datetime | None = None) -> None:
        """Record the start of a step, and forget the result of an earlier try."""
        with self._errors():
            self._put(submission, StepRecord(step, now or datetime.now(UTC), None, {}))

    def finish(
        self, submission: str, step: str, result: Mapping[str, str], *, now: datetime | None = None
    ) -> None:
        """Record the success of a step that was begun, and its result (never a secret)."""
        with self._errors(), self._transaction():
            for row in self._select("step", "WHERE submission = ? AND name = ?", submission, step):
                self._put(submission, replace(_step(row), finished=now or datetime.now(UTC), result=result))

    def record(self, submission: str, step: StepRecord) -> None:
        """Record a whole step, or an event that is no step, instead of an earlier one of that name."""
        with self._errors():
            self._put(submission, step)

    def forget(self, submission: str, steps: tuple[str, ...]) -> None:
        """Forget steps whose results no longer hold, so that they run again."""
        with self._errors():
            for step in steps:
                self._database.execute(
                    "DELETE FROM step WHERE submission = ? AND name = ?", (submission, step)
                )

    def steps(self, submission: str) -> dict[str, StepRecord]:
        """Read the steps of a submission by name, in the order of their start."""
        rows = self._select("step", "WHERE submission = ? ORDER BY started, rowid", submission)
        return {step.name: step for step in map(_step, rows)}

    # Board results ---------------------------------------------------------------------------------------

    def remember(self, competition: str, results: Iterable[BoardResult]) -> None:
        """Store each submission's result on the board, unless it is unchanged."""
        before = {result.bundle: result for result in self.board_results(competition)}
        with self._errors(), self._transaction():
            for result in results:
                known = before.get(result.bundle)
                if known is None or (known.rank, known.score) != (result.rank, result.score):
                    bundle, name, updated, *shown = astuple(result)
                    row = (competition, bundle, name, _utc_text(updated), *shown)
                    self._insert("INSERT OR IGNORE", "place", *row)
                    before[bundle] = result

    def board_results(self, competition: str) -> tuple[BoardResult, ...]:
        """Read all stored board results of submissions, oldest first."""
        rows = self._select("place", "WHERE competition = ? ORDER BY updated, bundle", competition)
        return tuple(BoardResult(b, n, datetime.fromisoformat(u), *shown) for _, b, n, u, *shown in rows)

    def rescue_board_results(self, aside: Path) -> None:
        """Copy the intact board results of a ledger that was set aside, since no server has them."""
        uri = f"{aside.absolute().as_uri()}?mode=ro"
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(uri, uri=True)) as old:
            for *row, checksum in old.execute("SELECT * FROM place"):
                if checksum == _checksum("place", row):
                    self._insert("INSERT OR IGNORE", "place", *row)

    def export(self) -> dict[str, Any]:
        """Export every submission with its steps as plain data; results hold uuids, texts and counts."""
        return {
            "ledger": 1,
            "submissions": [
                {"submission": known.record, "steps": tuple(known.steps.values())}
                for known in self.submissions()
            ],
        }

    # Rows ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # SQLite itself rolls back when the disk is full
                self._database.execute("ROLLBACK")
            raise

    def _put(self, submission: str, step: StepRecord) -> None:
        finished = _utc_text(step.finished) if step.finished else None
        result = json.dumps(dict(step.result), sort_keys=True)
        self._insert(
            "INSERT OR REPLACE", "step", submission, step.name, _utc_text(step.started), finished, result
        )

    def _insert(self, verb: str, table: str, *values: Value) -> bool:
        """Insert a row with its checksum; return whether it was inserted, which ``INSERT OR IGNORE`` may not do."""
        row = (*values, _checksum(table, values))
        places = ",".join("?" * len(row))
        return self._database.execute(f"{verb} INTO {table} VALUES ({places})", row).rowcount > 0

    def _select(self, table: str, which: str = "", *values: str) -> list[tuple[Any, ...]]:
        """Select rows, verify their checksums and return the rows without them."""
        with self._errors():
            rows = self._database.execute(f"SELECT * FROM {table} {which}", values).fetchall()  # noqa: S608
        for *row, checksum in rows:
            if checksum != _checksum(table, row):
                raise self._damaged(f"a row of its table {table} was changed")
        return [tuple(row) for *row, _ in rows]


# What SQLite says in its own numbers and the operating system in others.
_SYSTEM_ERRORS = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
}


def _step(row: Sequence[Any]) -> StepRecord:
    _, name, started, finished, result = row
    return StepRecord(
        name,
        datetime.fromisoformat(started),
        datetime.fromisoformat(finished) if finished else None,
        json.loads(result) if result else {},
    )


def _checksum(table: str, values: Sequence[Value]) -> str:
    """Compute the checksum of a row and its table's name."""
    return hash_bytes(json.dumps([table, *values]))[:16]


def _utc_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


# The file --------------------------------------------------------------------------------------------------


def set_aside(folder: Path) -> Path:
    """Rename the ledger in ``folder`` and its journals, and return its new path.

    Raises:
        StorageError: It can't be moved.
    """
    file = folder / FILE
    aside = folder / f"ledger-set-aside-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.sqlite3"
    with _changing(file):
        # The ledger itself is moved last: a journal left alone would be replayed into the next ledger.
        for part in reversed(_PARTS):
            with contextlib.suppress(FileNotFoundError):
                _beside(file, part).rename(_beside(aside, part))
    return aside


def _require(file: Path, *, shown: Path) -> None:
    """Create an empty ledger if there is none, and refuse a file that can't be one."""
    with storage_errors(shown):
        if not os.access(file, os.F_OK):
            _create(file)
        if not os.access(file, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        status = file.stat()
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        problem = "empty" if stat.S_ISREG(status.st_mode) else "not a file"
        raise LedgerUnusable(f"The ledger {shown} is damaged: it is {problem}.", action=f"Run {_WAY_OUT}")


def _create(file: Path) -> None:
    """Create an empty ledger atomically, so that an empty file always means a lost ledger."""
    with _changing(file), contextlib.closing(sqlite3.connect(":memory:")) as empty:
        if os.access(file, os.F_OK):  # another process has just created it
            return
        for part in _PARTS[1:]:
            _beside(file, part).unlink(missing_ok=True)
        empty.executescript(";".join((*_SCHEMA.values(), *_STAMP)))
        replace_atomically(file, empty.serialize())


@contextlib.contextmanager
def _changing(file: Path) -> Iterator[None]:
    with storage_errors(file), lock(file.with_name(".ledger.lock"), purpose="creating a ledger"):
        yield


def _writable(file: Path) -> bool:
    """Check whether SQLite can write to the ledger, which needs a journal beside it."""
    folder = os.access(file.parent, os.W_OK | os.X_OK)
    return folder and (not os.access(file, os.F_OK) or os.access(file, os.W_OK))


def _copy(file: Path, folder: Path) -> Path:
    """Copy the ledger to ``folder`` with its journals, which SQLite can't replay in a read-only folder."""
    for part in ("", "-journal", "-wal"):
        source = _beside(file, part)
        if os.access(source, os.F_OK):
            with storage_errors(source):
                shutil.copyfile(source, _beside(folder / FILE, part))
    return folder / FILE


def _beside(file: Path, part: str) -> Path:
    return file.with_name(file.name + part)
