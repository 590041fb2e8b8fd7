"""The results of earlier checks, so that the next check of a folder reads only the files that changed.

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
from dataclasses import astuple, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

from cldc import __version__
from cldc.competition import Competition
from cldc.dataset import Dataset, Image, model
from cldc.files import private_file
from cldc.validation.inspection import Features, Inspection
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


class ValidationCache:
    """The last check of one folder; `close` it.

    Attributes:
        dataset: The dataset; images that have not changed since that check with their SHA-256.
    """

    def __init__(self, home: Path | None, dataset: Dataset) -> None:
        """``home`` is the data folder; without it nothing is cached. ``dataset`` is the folder as it was scanned."""
        self._root = os.fsencode(dataset.root)
        self._began_ns = time.time_ns()
        self._base = _open(home) if home else None
        self._report = next(iter(self._values("dataset")), {})
        known = {tuple(state): sha256 for *state, sha256 in self._report.get("files", ())}
        images = tuple(
            image if image.error else image._replace(sha256=known.get(image.state, ""))
            for image in dataset.images
        )
        self.dataset = replace(dataset, images=images)
        readable = [image for image in images if not image.error]
        if len(known) != len(readable) or not all(image.sha256 for image in readable):
            self._report = {}

    def close(self) -> None:
        """Close the database."""
        if self._base is not None:
            self._base.close()

    def load_report(self, competition: Competition, key: str) -> ValidationReport | None:
        """The report of that check; None if an image has changed, or it was stored with another key or none."""
        value = self._report
        if not key or value.get("key") != key:
            return None
        findings = tuple(
            Finding(rule, Severity(severity), message, consequence, remedy, tuple(paths), fixable)
            for rule, severity, message, consequence, remedy, paths, fixable in value["findings"]
        )
        return ValidationReport(
            self.dataset,
            competition,
            findings,
            MetadataCounts(*value["metadata"]),
            warped_compared=value["warped"],
        )

    @cached_property
    def inspections(self) -> Mapping[str, Inspection]:
        """What is known of the folder's contents, by SHA-256."""
        return {value["sha256"]: _inspection(value) for value in self._values("content")}

    def is_stable(self, image: Image) -> bool:
        """Whether the file's last change is so old that its next change will change its times."""
        return max(image.mtime_ns, image.ctime_ns) < self._began_ns - _RACY_NS

    def store(self, report: ValidationReport, inspections: Mapping[str, Inspection], key: str) -> None:
        """Keep the result of a check; ``key`` is empty if the report must not be used again."""
        if self._base is None:
            return
        root, now = self._root, time.time()
        # Reading an image updates its size, so that its state is the one that was scanned.
        found = zip(self.dataset.images, report.dataset.images, strict=True)
        readable = [(scanned, image.sha256) for scanned, image in found if not image.error]
        stable = [(scanned, sha256) for scanned, sha256 in readable if self.is_stable(scanned)]
        value = {
            # The next check could not tell whether a file that is not kept here is gone.
            "key": key if stable == readable else "",
            "files": [(*scanned.state, sha256) for scanned, sha256 in stable],
            "findings": report.findings,
            "metadata": astuple(report.metadata),
            "warped": report.warped_compared,
        }
        gone = self.inspections.keys() - inspections.keys()
        new = [sha for sha, inspection in inspections.items() if self.inspections.get(sha) is not inspection]
        rows = ((root, sha, *_checked(_value(sha, inspections[sha]))) for sha in new)
        with contextlib.suppress(sqlite3.Error), self._base as base:
            base.execute("DELETE FROM dataset WHERE used < ?", (now - _KEPT_SECONDS,))
            base.execute("DELETE FROM content WHERE root NOT IN (SELECT root FROM dataset)")
            base.execute("INSERT OR REPLACE INTO dataset VALUES (?, ?, ?, ?)", (root, now, *_checked(value)))
            base.executemany(
                "DELETE FROM content WHERE root = ? AND sha256 = ?", ((root, sha) for sha in gone)
            )
            base.executemany("INSERT OR REPLACE INTO content VALUES (?, ?, ?, ?)", rows)

    def _values(self, table: Literal["dataset", "content"]) -> Iterator[dict[str, Any]]:
        """The undamaged values of this folder."""
        query = f"SELECT value, crc FROM {table} WHERE root = ?"  # noqa: S608 - one of two words
        if self._base is not None:
            with contextlib.suppress(sqlite3.Error):
                for text, crc in self._base.execute(query, (self._root,)):
                    if isinstance(text, str) and crc32(text.encode()) == crc:
                        yield json.loads(text)


def _open(home: Path) -> sqlite3.Connection | None:
    """The database, created again if it is damaged; None if it can't be used now."""
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
    """Changes with cldc's version, with any change of the rules' source while they are developed, and with Pillow, whose
    decoders and filters make the features."""
    rooms = (Path(__file__).parent, Path(model.__file__).parent)
    newest = max(path.stat().st_mtime_ns for room in rooms for path in room.rglob("*.py"))
    # Not its version: importing Pillow takes longer than a second check.
    pillow = find_spec("PIL")
    installed = Path(pillow.origin).stat().st_mtime_ns if pillow and pillow.origin else 0
    return crc32(f"{__version__} {newest} {installed}".encode()) >> 1


def _checked(value: dict[str, Any]) -> tuple[str, int]:
    """A value as text, and its checksum."""
    text = json.dumps(value)
    return text, crc32(text.encode())


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
