"""Keep the results of checks, so that the next check of a folder reads only the files that changed.

A file counts as unchanged if its size, both times and its inode are the same, as in git's index. The cache can be lost
without harm: whatever goes wrong here only makes a check slower.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

from cldc import __version__
from cldc.competition import Competition
from cldc.dataset import Dataset, Image, SplitState, model
from cldc.files import hash_bytes, private_file
from cldc.validation.inspection_result import Features, Inspection
from cldc.validation.metadata.model import Metadata, MetadataCounts
from cldc.validation.model import Finding, Severity, ValidationReport
from cldc.validation.tensorflow_decoder import Format, Readable, Remark, Verdict

_FILE = "validation-cache.sqlite3"
# A file that changed this shortly before a check may change again within one tick of its clock.
_RACY_NS = 2_000_000_000
_KEPT_SECONDS = 90 * 86_400
# Values are JSON. SQLite does not notice damaged values, so each row has a checksum.
_SCHEMA = """
DROP TABLE IF EXISTS dataset;
DROP TABLE IF EXISTS content;
CREATE TABLE dataset (root BLOB PRIMARY KEY, used REAL, value TEXT, crc INTEGER);
CREATE TABLE content (root BLOB, sha256 TEXT, value TEXT, crc INTEGER, PRIMARY KEY (root, sha256)) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class CachedCheck:
    """Earlier results that still hold for a folder.

    Attributes:
        key: A hash of everything but the images that the report depends on; empty if it must not be used again.
        report: That check's report, if a new one would be the same.
        inspections: Known inspections of the folder's contents, by SHA-256; empty if there is a report.
    """

    key: str
    report: ValidationReport | None = None
    inspections: Mapping[str, Inspection] = field(default_factory=dict)


class ValidationCache:
    """The results of each folder's last check. Open it before you scan the folder, and `close` it."""

    def __init__(self, home: Path | None) -> None:
        """Open the cache in the data folder ``home``; without it, cache nothing."""
        self._began_ns = time.time_ns()
        self._base = _open(home) if home else None

    def close(self) -> None:
        """Close the database."""
        if self._base is not None:
            self._base.close()

    def load(
        self,
        dataset: Dataset,
        competition: Competition,
        book: Dataset | None = None,
        conditions: tuple[object, ...] = (),
    ) -> tuple[Dataset, CachedCheck]:
        """Load what earlier checks stored about a scanned folder; its unchanged images come back with their SHA-256.

        The report depends on ``conditions`` besides folder, competition and label book; without any, load no report.
        """
        last: dict[str, Any] = next(self._values("dataset", dataset), {})
        known = {tuple(state): sha256 for *state, sha256 in last.get("files", ())}
        dataset = replace(
            dataset,
            images=tuple(
                image if image.error else image._replace(sha256=known.get(image.state, ""))
                for image in dataset.images
            ),
        )
        unchanged = known.keys() == {image.state for image in dataset.images if not image.error}
        key = self._report_key(dataset, competition, book, conditions) if conditions else ""
        if key and unchanged and last.get("key") == key:
            return dataset, CachedCheck(key, _report(last, dataset, competition))
        inspections = {value["sha256"]: _inspection(value) for value in self._values("content", dataset)}
        return dataset, CachedCheck(key, inspections=inspections)

    def _report_key(
        self, dataset: Dataset, competition: Competition, book: Dataset | None, conditions: tuple[object, ...]
    ) -> str:
        """Build the `CachedCheck.key` of a scanned folder."""
        # Advice on a missing split depends on the folders around the dataset.
        if any(split.state != SplitState.FOLDER for split in dataset.splits):
            return ""
        if book is not None and not all(map(self._is_stable, book.images)):
            return ""
        unreadable = [(image.path, image.error) for image in dataset.images if image.error]
        pages = book and (book.root, book.images)
        seen = replace(dataset, images=()), unreadable, pages, competition, conditions
        return hash_bytes(repr(seen).encode("utf-8", "surrogatepass"))

    def _is_stable(self, image: Image) -> bool:
        """Check whether the file's last change is so old that its next change will change its times."""
        return max(image.mtime_ns, image.ctime_ns) < self._began_ns - _RACY_NS

    def store(
        self,
        dataset: Dataset,
        cached: CachedCheck,
        report: ValidationReport,
        inspections: Mapping[str, Inspection],
    ) -> None:
        """Store the result of the check that began with ``dataset`` and ``cached``, as `load` returned them."""
        if self._base is None:
            return
        root, now = os.fsencode(dataset.root), time.time()
        # Reading an image updates its size, so that its state is the one that was scanned.
        found = zip(dataset.images, report.dataset.images, strict=True)
        readable = [(scanned, image.sha256) for scanned, image in found if not image.error]
        stable = [(scanned, sha256) for scanned, sha256 in readable if self._is_stable(scanned)]
        value = {
            # If a file that is not kept here vanished, the next check would not notice.
            "key": cached.key if stable == readable else "",
            "files": [(*scanned.state, sha256) for scanned, sha256 in stable],
            "findings": report.findings,
            "metadata": astuple(report.metadata),
            "warped": report.warped_compared,
        }
        gone = cached.inspections.keys() - inspections.keys()
        new = [sha for sha, known in inspections.items() if cached.inspections.get(sha) is not known]
        rows = ((root, sha, *_checked(_value(sha, inspections[sha]))) for sha in new)
        with contextlib.suppress(sqlite3.Error), self._base as base:
            base.execute("DELETE FROM dataset WHERE used < ?", (now - _KEPT_SECONDS,))
            base.execute("DELETE FROM content WHERE root NOT IN (SELECT root FROM dataset)")
            base.execute("INSERT OR REPLACE INTO dataset VALUES (?, ?, ?, ?)", (root, now, *_checked(value)))
            base.executemany(
                "DELETE FROM content WHERE root = ? AND sha256 = ?", ((root, sha) for sha in gone)
            )
            base.executemany("INSERT OR REPLACE INTO content VALUES (?, ?, ?, ?)", rows)

    def _values(self, table: Literal["dataset", "content"], dataset: Dataset) -> Iterator[dict[str, Any]]:
        """Return the undamaged values of a folder."""
        query = f"SELECT value, crc FROM {table} WHERE root = ?"  # noqa: S608 - one of two words
        if self._base is not None:
            with contextlib.suppress(sqlite3.Error):
                for text, crc in self._base.execute(query, (os.fsencode(dataset.root),)):
                    if isinstance(text, str) and crc32(text.encode()) == crc:
                        yield json.loads(text)


def _open(home: Path) -> sqlite3.Connection | None:
    """Open the database, and create it again if it is damaged; None if it can't be used now."""
    path = home / _FILE
    with contextlib.suppress(sqlite3.Error, OSError):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return _connect(path)
        except sqlite3.OperationalError:
            pass  # another process is using it
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
            return _connect(path)
    return None


def _connect(path: Path) -> sqlite3.Connection:
    private_file(path)
    base = sqlite3.connect(path, timeout=2)
    # After a power cut the file may be damaged; then it is created again.
    base.execute("PRAGMA synchronous=off")
    version = _version()
    if base.execute("PRAGMA user_version").fetchone() != (version,):
        base.executescript(f"{_SCHEMA} PRAGMA user_version = {version};")
    return base


def _version() -> int:
    """Return a number that changes with cldc's version, with its source and with Pillow, which computes the features."""
    packages = (Path(__file__).parent, Path(model.__file__).parent)
    newest = max(path.stat().st_mtime_ns for package in packages for path in package.rglob("*.py"))
    # Not its version: importing Pillow takes longer than a second check.
    pillow = find_spec("PIL")
    installed = Path(pillow.origin).stat().st_mtime_ns if pillow and pillow.origin else 0
    return crc32(f"{__version__} {newest} {installed}".encode()) >> 1


def _checked(value: dict[str, Any]) -> tuple[str, int]:
    """Return a value as JSON text, and the text's checksum."""
    text = json.dumps(value)
    return text, crc32(text.encode())


def _report(value: dict[str, Any], dataset: Dataset, competition: Competition) -> ValidationReport:
    findings = tuple(
        Finding(rule, Severity(severity), message, consequence, remedy, tuple(paths), fixable)
        for rule, severity, message, consequence, remedy, paths, fixable in value["findings"]
    )
    metadata = MetadataCounts(*value["metadata"])
    return ValidationReport(dataset, competition, findings, metadata, warped_compared=value["warped"])


def _value(sha256: str, inspection: Inspection) -> dict[str, Any]:
    *verdict, _ = inspection.verdict  # no rows
    value = {**inspection._asdict(), "sha256": sha256, "verdict": verdict}
    if features := inspection.features:
        hexed = {"blocks": features.blocks.hex(), "rows": features.rows.hex()}
        value["features"] = {**features._asdict(), **hexed}
    return value


def _inspection(value: dict[str, Any]) -> Inspection:
    readable, kind, width, height, reason, remarks = value["verdict"]
    remarks = tuple(map(Remark, remarks))
    verdict = Verdict(Readable(readable), kind and Format(kind), width, height, reason, remarks)
    if features := value["features"]:
        features["ink_box"] = tuple(features["ink_box"])
        features["blocks"], features["rows"] = map(bytes.fromhex, (features["blocks"], features["rows"]))
        features = Features(**features)
    return Inspection(verdict, features, tuple(map(Metadata, value["metadata"])))
