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
from binascii import crc32
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from functools import cached_property
from hashlib import sha256
from itertools import islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cldc import __version__
from cldc.dataset import Dataset, Image, ImageFile, Listing, model
from cldc.files import private_file
from cldc.validation.columns import Columns, to_columns, to_rows
from cldc.validation.metadata.model import MetadataCounts
from cldc.validation.model import Finding, Severity, ValidationReport

if TYPE_CHECKING:
    import sqlite3

    from cldc.validation.alike import Pair
    from cldc.validation.inspection import Inspection

# A file that changed this shortly before it was read may change again within one tick of its clock.
_RACY_NS = 2_000_000_000
_KEPT_SECONDS = 90 * 86_400
_OTHERS_KEPT_SECONDS = 86_400
_MOST_PACKS = 40
_PACK = 1_000
_CRC = 4
# The last version that does not look for values that are there twice, which takes as long as writing them.
_MARSHAL = 2
# Bytes a page: what is kept is large, and is read and written in half the time that small pages take.
_PAGE = 65_536
_TABLES = """
create table if not exists packs(root blob, number integer, packed blob, primary key(root, number)) without rowid;
create table if not exists checks(root blob primary key, used real, key text, walk blob, report blob, pairs blob)
    without rowid;
"""
# Of what a walk tells of an entry, what is compared: its path, size, times, inode, whether it is a link, its trouble.
_WALKED = slice(2, None)
_MTIME, _CTIME, _TROUBLE = map(ImageFile._fields[_WALKED].index, ("mtime_ns", "ctime_ns", "error"))
# What reading the file told: its size, SHA-256 and trouble.
_TOLD = 3


class Recalled:
    """What is remembered of a folder that has been walked again.

    Attributes:
        key: What else the remembered report depends on; empty where nothing is remembered.
    """

    def __init__(self, listing: Listing, row: tuple[Any, ...] | None) -> None:
        key, walk, self._report, self._pairs = row or ("", b"", b"", b"")
        self._listing = listing
        self._around: Any
        self._walked: Columns
        self._told: Columns
        self._around, self._walked, self._told = _loaded(walk) or (None, [], [()] * _TOLD)
        self.key: str = key if self._around else ""

    def dataset(self) -> Dataset | None:
        """The dataset that the remembered report is on; None where the folder is another now."""
        here = self._listing
        entries = _columns(here)
        if self._around != _around(here) or self._walked != entries[_WALKED] or self._report_on is None:
            return None
        images = tuple(_images(entries, self._told))
        return Dataset(
            here.root, here.name, here.splits, images, here.ignored, self._report_on[0], here.outward_links
        )

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The remembered report's findings."""
        _, findings, _ = self._report_on or ("", [], ())
        return tuple(Finding(rule, Severity(severity), *rest) for rule, severity, *rest in findings)

    @property
    def metadata(self) -> MetadataCounts:
        """The remembered report's counts."""
        _, _, counts = self._report_on or ("", [], ())
        return MetadataCounts(*counts)

    @cached_property
    def _report_on(self) -> Any:
        return _loaded(self._report)

    def images(self) -> list[Image]:
        """For each entry the image; without a SHA-256 where its file is not as it was when it was last read."""
        entries = _columns(self._listing)
        known = dict(zip(zip(*self._walked, strict=True), zip(*self._told, strict=True), strict=True))
        found = map(known.get, zip(*entries[_WALKED], strict=True), repeat((0, "", "")))
        return list(_images(entries, to_columns(found, _TOLD)))

    def pairs(self) -> tuple[set[str], list[Pair]] | None:
        """The contents whose drawings were compared, and those that are the same; None where nothing is remembered."""
        from cldc.validation.alike import Evidence, Pair

        loaded = _loaded(self._pairs)
        if loaded is None:
            return None
        book, pairs = loaded
        _, contents, _ = self._told
        return {*book, *contents}, [Pair(one, other, Evidence(why), far) for one, other, why, far in pairs]


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

        private_file(path)
        base = sqlite3.connect(path, timeout=2, isolation_level=None)
        base.execute(f"pragma page_size={_PAGE}")
        base.execute("pragma journal_mode=wal")
        # After a power cut the file may be broken; then it is made anew.
        base.execute("pragma synchronous=off")
        base.executescript(_TABLES)
        return base

    def __exit__(self, *_: object) -> None:
        if self._base is not None:
            self._base.close()

    def recall(self, listing: Listing) -> Recalled:
        """What is remembered of the folder; it may be nothing."""
        query = "select key, walk, report, pairs from checks where root = ?"
        return Recalled(listing, self._row(query, _root(listing)))

    def contents(self, listing: Listing) -> dict[str, Inspection]:
        """What is remembered of this folder's contents, by SHA-256."""
        import sqlite3

        from cldc.validation.inspection import unpack

        found: dict[str, Inspection] = {}
        if self._base is None:
            return found
        with contextlib.suppress(sqlite3.Error):
            query = "select number, packed from packs where root = ? order by number"
            for number, packed in self._base.execute(query, (_root(listing),)):
                if pack := _loaded(packed):
                    found.update(unpack(pack))
                self._packs += 1
                self._last = number
        return found

    @property
    def scattered(self) -> bool:
        """Whether the contents lie in so many packs that they should all be kept anew, in one."""
        return not 0 < self._packs < _MOST_PACKS

    def keep(
        self,
        report: ValidationReport,
        *,
        key: str,
        listing: Listing,
        contents: Iterable[tuple[str, Inspection]],
        book: Iterable[str],
        pairs: Iterable[Pair],
    ) -> None:
        """Remember a check.

        Args:
            report: What it came to.
            key: What else the report depends on.
            listing: The folder as it was walked.
            contents: What contents show, by SHA-256: of all if they were `scattered`, else of the new ones.
            book: The contents of a label book that were compared with the dataset's.
            pairs: Those of both that show the same drawing.
        """
        import sqlite3

        if self._base is None:
            return
        _, _, _, *told, _, trouble = to_columns(report.dataset.images, len(Image._fields))
        findings = [(rule, how.value, *rest) for rule, how, *rest in report.findings]
        values = (
            (_around(listing), self._walked(listing, trouble), [*told, trouble]),
            (report.dataset.hash, findings, astuple(report.metadata)),
            (list(book), [(one, other, why.value, far) for one, other, why, far in pairs]),
        )
        check = (_root(listing), time.time(), key, *map(_packed, values))
        with contextlib.suppress(sqlite3.Error):
            self._write(self._base, check, contents)

    def _walked(self, listing: Listing, trouble: tuple[str, ...]) -> Columns:
        """What the walk told, with no time for files that must be read again.

        Those may have changed since, or have trouble that only reading them told of, which may pass without a trace.
        """
        walked, limit = _columns(listing)[_WALKED], self._began - _RACY_NS
        rows = zip(walked[_MTIME], walked[_CTIME], walked[_TROUBLE], trouble, strict=True)
        walked[_MTIME] = tuple(
            [m if m < limit and c < limit and t == told else None for m, c, t, told in rows]
        )
        return walked

    def _write(
        self, base: sqlite3.Connection, check: tuple[Any, ...], contents: Iterable[tuple[str, Inspection]]
    ) -> None:
        from cldc.validation.inspection import pack

        root, now, *_ = check
        base.execute("begin immediate")
        base.execute("delete from checks where used < ?", (now - _KEPT_SECONDS,))
        base.execute(
            "delete from packs where root not in (select root from checks) or (? and root = ?)",
            (self.scattered, root),
        )
        for number, part in enumerate(_packs(contents), 0 if self.scattered else self._last + 1):
            base.execute("insert into packs values (?, ?, ?)", (root, number, _packed(pack(part))))
        base.execute("insert or replace into checks values (?, ?, ?, ?, ?, ?)", check)
        base.execute("commit")

    def calm(self, entry: ImageFile) -> bool:
        """Whether a file had not just changed when the check began."""
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


def _packs(contents: Iterable[tuple[str, Inspection]]) -> Iterator[dict[str, Inspection]]:
    """The contents in parts, each a fraction of the memory that all would take."""
    waiting = iter(contents)
    while pack := dict(islice(waiting, _PACK)):
        yield pack


def _packed(value: Any) -> bytes:
    told = marshal.dumps(value, _MARSHAL)
    return crc32(told).to_bytes(_CRC, "big") + told


def _loaded(packed: bytes) -> Any:
    """What `_packed` was given; None where it is damaged, which marshal itself mostly does not notice."""
    try:
        told = memoryview(packed)[_CRC:]
        if crc32(told) != int.from_bytes(packed[:_CRC], "big"):
            return None
        return marshal.loads(told)  # noqa: S302 - a file that only this user can write
    except (EOFError, ValueError, TypeError):
        return None


def _root(listing: Listing) -> bytes:
    return os.fsencode(listing.root)


def _around(listing: Listing) -> Any:
    """What a walk tells besides its entries."""
    splits = [(split.name, split.state.value, split.folders) for split in listing.splits]
    others = [(other.path, other.reason.value) for other in listing.ignored]
    return splits, others, [astuple(link) for link in listing.outward_links]


def _columns(listing: Listing) -> Columns:
    return to_columns(listing.files, len(ImageFile._fields))


def _images(entries: Columns, told: Columns) -> Iterator[Image]:
    """The images of walked entries whose files were read."""
    split, label, path, *_, link, _ = entries
    size, sha256, trouble = told
    return to_rows(Image, (split, label, path, size, sha256, link, trouble))


@functools.cache
def _stamp() -> str:
    """Changes with cldc, with Python's own format of values, and with any change to the rules' source."""
    rooms = (Path(__file__).parent, Path(model.__file__).parent)
    newest = max(path.stat().st_mtime_ns for room in rooms for path in room.rglob("*.py"))
    parts = (__version__, sys.version_info[:2], _MARSHAL, newest)
    return sha256(repr(parts).encode()).hexdigest()[:16]
