"""What earlier checks found, so that a second one reads only what changed.

A file is taken for unchanged where size, both times and inode are what they were, as git's index does; what a
content shows is remembered by its SHA-256. All of it can be lost without harm: whatever goes wrong here makes
a check slower and nothing else.

Contents lie in packs of a thousand: one row for each would take ten times as long to write and to read. A later
check adds a small pack of what is new.
"""

from __future__ import annotations

import contextlib
import functools
import marshal
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cldc import __version__
from cldc.dataset import Entry, Listing

if TYPE_CHECKING:
    import sqlite3

# A file that changed this shortly before it was read may change again within one tick of its clock.
_RACY_NS = 2_000_000_000
_KEPT_SECONDS = 90 * 86_400
_OTHERS_KEPT_SECONDS = 86_400
_MOST_PACKS = 40
_PACK = 1_000
_TABLES = """
create table if not exists packs(root blob, number integer, packed blob, primary key(root, number)) without rowid;
create table if not exists checks(root blob primary key, used real, listing text, files blob, report blob, pairs blob)
    without rowid;
"""


class Memory:
    """What is remembered in one file; use it as a context."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._base: sqlite3.Connection | None = None
        self._began = time.time_ns()
        self._packs = 0
        self._last = 0

    def __enter__(self) -> Memory:
        if self._folder is not None:
            import sqlite3

            # Another program, Python or version of the rules gets another file.
            path = self._folder / f"checks-{_stamp()}.sqlite"
            with contextlib.suppress(sqlite3.Error, OSError):
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._base = self._opened(path)
        return self

    def _opened(self, path: Path) -> sqlite3.Connection:
        import sqlite3

        if not path.exists():
            _forget_others(path)
        try:
            return self._connect(path)
        except sqlite3.OperationalError:
            # Another process has it; it must not be taken away from under that.
            raise
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
            return self._connect(path)

    def _connect(self, path: Path) -> sqlite3.Connection:
        import sqlite3

        base = sqlite3.connect(path, timeout=2, isolation_level=None)
        base.execute("pragma journal_mode=wal")
        # After a power cut the file may be broken; then it is made anew.
        base.execute("pragma synchronous=off")
        base.executescript(_TABLES)
        return base

    def __exit__(self, *_: object) -> None:
        if self._base is not None:
            self._base.close()

    def report(self, listing: Listing, key: str) -> Any:
        """What `keep` was given for the very same listing and key; None where there is none."""
        row = self._row(
            "select report from checks where root = ? and listing = ?", _root(listing), _print(listing, key)
        )
        return _loaded(row[0]) if row else None

    def known_files(self, listing: Listing) -> dict[str, str]:
        """For each path that is unchanged since it was last read, its content's SHA-256."""
        row = self._row("select files from checks where root = ?", _root(listing))
        known: dict[bytes, tuple[Any, ...]] = (row and _loaded(row[0])) or {}
        found = {}
        for entry in listing.entries:
            seen = known.get(os.fsencode(entry.path))
            if seen and seen[:-1] == _status(entry):
                found[entry.path] = seen[-1]
        return found

    def pairs(self, listing: Listing) -> Any:
        """What `keep` was last given as pairs for this folder; None where there is nothing."""
        row = self._row("select pairs from checks where root = ?", _root(listing))
        return _loaded(row[0]) if row else None

    def contents(self, listing: Listing) -> dict[str, Any]:
        """What is remembered of this folder's contents, by SHA-256."""
        import sqlite3

        found: dict[str, Any] = {}
        if self._base is None:
            return found
        with contextlib.suppress(sqlite3.Error):
            query = "select number, packed from packs where root = ? order by number"
            for number, packed in self._base.execute(query, (_root(listing),)):
                found.update(_loaded(packed) or {})
                self._packs += 1
                self._last = number
        return found

    @property
    def scattered(self) -> bool:
        """Whether the contents lie in so many packs that they should all be kept anew, in one."""
        return not 0 < self._packs < _MOST_PACKS

    def keep(
        self,
        listing: Listing,
        *,
        key: str,
        shas: Mapping[str, str],
        contents: Iterable[tuple[str, Any]],
        report: Any,
        pairs: Any,
    ) -> None:
        """Remember a check.

        Args:
            listing: The folder as it was walked.
            key: What else the report depends on.
            shas: For each path that could be read, its content's SHA-256.
            contents: What contents show, by SHA-256: of all if they were `scattered`, else of the new ones.
            report: Plain values that the report can be made of again.
            pairs: Plain values likewise.
        """
        import sqlite3

        if self._base is None:
            return
        calm = [entry for entry in listing.entries if self._calm(entry)]
        files = {
            os.fsencode(entry.path): (*_status(entry), shas[entry.path])
            for entry in calm
            if entry.path in shas
        }
        whole = _print(listing, key) if len(calm) == len(listing.entries) else ""
        check = (_root(listing), time.time(), whole, *map(marshal.dumps, (files, report, pairs)))
        with contextlib.suppress(sqlite3.Error):
            self._base.execute("begin immediate")
            self._base.execute("delete from checks where used < ?", (time.time() - _KEPT_SECONDS,))
            self._base.execute(
                "delete from packs where root not in (select root from checks) or (? and root = ?)",
                (self.scattered, _root(listing)),
            )
            for number, pack in enumerate(_packs(contents), 0 if self.scattered else self._last + 1):
                self._base.execute(
                    "insert into packs values (?, ?, ?)", (_root(listing), number, marshal.dumps(pack))
                )
            self._base.execute("insert or replace into checks values (?, ?, ?, ?, ?, ?)", check)
            self._base.execute("commit")

    def _calm(self, entry: Entry) -> bool:
        return max(entry.mtime_ns, entry.ctime_ns) < self._began - _RACY_NS

    def _row(self, query: str, *values: Any) -> Any:
        import sqlite3

        if self._base is None:
            return None
        try:
            return self._base.execute(query, values).fetchone()
        except sqlite3.Error:
            return None


def _forget_others(path: Path) -> None:
    """Remove what other versions remembered, unless it was used within a day."""
    for other in path.parent.glob("checks-*"):
        with contextlib.suppress(OSError):
            if other.stat().st_mtime < time.time() - _OTHERS_KEPT_SECONDS:
                other.unlink()


def _packs(contents: Iterable[tuple[str, Any]]) -> Iterator[dict[str, Any]]:
    """The contents in parts, each a fraction of the memory that all would take."""
    waiting = iter(contents)
    while pack := dict(islice(waiting, _PACK)):
        yield pack


def _loaded(packed: bytes) -> Any:
    try:
        return marshal.loads(packed)  # noqa: S302 - a file that only this user can write
    except (EOFError, ValueError, TypeError):
        return None


def _root(listing: Listing) -> bytes:
    return os.fsencode(listing.root)


def _status(entry: Entry) -> tuple[Any, ...]:
    return entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode


def _print(listing: Listing, key: str) -> str:
    """A hash of everything that the walk saw, and of ``key``."""
    plain = (
        key,
        [(split.name, split.state.value, split.folders) for split in listing.splits],
        [(entry.path, entry.link, entry.trouble, *_status(entry)) for entry in listing.entries],
        [(other.path, other.reason.value) for other in listing.others],
    )
    return sha256(repr(plain).encode("utf-8", "surrogateescape")).hexdigest()


@functools.cache
def _stamp() -> str:
    """Changes with cldc, with Python's own format of values, and with any change to the rules' source."""
    newest = max(path.stat().st_mtime_ns for path in Path(__file__).parent.rglob("*.py"))
    parts = (__version__, sys.version_info[:2], marshal.version, newest)
    return sha256(repr(parts).encode()).hexdigest()[:16]
