"""The results of earlier checks, so that the next check of a folder reads only the files that changed.

A file counts as unchanged if its size, both times and its inode are the same, as in git's index. The cache can be lost
without harm: whatever goes wrong here only makes a check slower.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self
from zlib import crc32

from cldc import __version__
from cldc.dataset import Image, ImageFile, Listing, model
from cldc.files import private_file
from cldc.validation.features import Features
from cldc.validation.inspection import Inspection
from cldc.validation.metadata.model import NO_METADATA, Metadata, MetadataCounts
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


@dataclass(frozen=True, slots=True)
class CachedCheck:
    """What is known of a scanned folder from its last check.

    Attributes:
        images: For each file of the listing its image; None where the file has changed or is new.
        key: What the report depends on besides the images; empty where the images have changed.
        findings: The report's findings.
        metadata: The report's metadata counts.
    """

    images: tuple[Image | None, ...]
    key: str = ""
    findings: tuple[Finding, ...] = ()
    metadata: MetadataCounts = NO_METADATA


class ValidationCache:
    """The results of earlier checks in one folder; use it as a context manager."""

    def __init__(self, folder: Path | None) -> None:
        """Without ``folder`` nothing is cached."""
        self._folder = folder
        self._base: sqlite3.Connection | None = None
        self._began_ns = time.time_ns()

    def __enter__(self) -> Self:
        if self._folder is not None:
            path = self._folder / _FILE
            with contextlib.suppress(sqlite3.Error, OSError):
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                try:
                    self._base = _open(path)
                except sqlite3.OperationalError:
                    pass  # another process is using it
                except sqlite3.DatabaseError:
                    path.unlink(missing_ok=True)
                    self._base = _open(path)
        return self

    def __exit__(self, *_: object) -> None:
        if self._base is not None:
            self._base.close()

    def load(self, listing: Listing) -> CachedCheck:
        """What is known of the folder; it may be nothing."""
        value: dict[str, Any] = {}
        for text, crc in self._select("SELECT value, crc FROM dataset WHERE root = ?", _root(listing)):
            value = _loads(text, crc) or {}
        known = {path: (stat, sha256) for path, *stat, sha256 in value.get("files", ())}
        images = tuple(_known_image(file, known) for file in listing.files)
        if None in images or len(known) != sum(not image.error for image in images if image):
            return CachedCheck(images)
        findings = tuple(
            Finding(rule, Severity(severity), message, consequence, remedy, tuple(paths), fixable)
            for rule, severity, message, consequence, remedy, paths, fixable in value.get("findings", ())
        )
        return CachedCheck(images, value.get("key", ""), findings, MetadataCounts(*value.get("metadata", ())))

    def load_inspections(self, listing: Listing) -> dict[str, Inspection]:
        """What is known of the folder's contents, by SHA-256."""
        rows = self._select("SELECT sha256, value, crc FROM content WHERE root = ?", _root(listing))
        return {sha256: _inspection(value) for sha256, text, crc in rows if (value := _loads(text, crc))}

    def is_settled(self, file: ImageFile) -> bool:
        """Whether the file's last change is old enough for its times to tell the next change."""
        return max(file.mtime_ns, file.ctime_ns) < self._began_ns - _RACY_NS

    def store(
        self,
        listing: Listing,
        report: ValidationReport,
        *,
        key: str,
        known: Mapping[str, Inspection],
        inspections: Mapping[str, Inspection],
    ) -> None:
        """Keep the result of a check.

        Args:
            listing: The folder as it was scanned.
            report: The result.
            key: What the report depends on besides the images; empty if the report must not be used again.
            known: Inspections that are in the cache already.
            inspections: All inspections, by SHA-256.
        """
        if self._base is None:
            return
        root, now = _root(listing), time.time()
        readable = [
            (file, image)
            for file, image in zip(listing.files, report.dataset.images, strict=True)
            if not image.error
        ]
        settled = [(file, image) for file, image in readable if self.is_settled(file)]
        value = {
            # The next check could not tell whether a file that is not kept here is gone.
            "key": key if settled == readable else "",
            "files": [(file.path, *_stat(file), image.sha256) for file, image in settled],
            "findings": report.findings,
            "metadata": astuple(report.metadata),
        }
        new = [sha for sha, inspection in inspections.items() if known.get(sha) is not inspection]
        with contextlib.suppress(sqlite3.Error), self._base as base:
            base.execute("DELETE FROM dataset WHERE used < ?", (now - _KEPT_SECONDS,))
            base.execute("DELETE FROM content WHERE root NOT IN (SELECT root FROM dataset)")
            base.execute("INSERT OR REPLACE INTO dataset VALUES (?, ?, ?, ?)", (root, now, *_dumps(value)))
            base.executemany(
                "DELETE FROM content WHERE root = ? AND sha256 = ?",
                ((root, sha) for sha in known.keys() - inspections.keys()),
            )
            base.executemany(
                "INSERT OR REPLACE INTO content VALUES (?, ?, ?, ?)",
                ((root, sha, *_dumps(_value(inspections[sha]))) for sha in new),
            )

    def _select(self, query: str, *parameters: object) -> Iterator[Any]:
        if self._base is not None:
            with contextlib.suppress(sqlite3.Error):
                yield from self._base.execute(query, parameters)


def _open(path: Path) -> sqlite3.Connection:
    private_file(path)
    base = sqlite3.connect(path, timeout=2)
    # After a power cut the file may be damaged; then it is made anew.
    base.execute("PRAGMA synchronous=off")
    (version,) = base.execute("PRAGMA user_version").fetchone()
    if version != _version():
        base.executescript(f"{_SCHEMA} PRAGMA user_version = {_version()};")
    return base


@functools.cache
def _version() -> int:
    """Changes with cldc's version, with any change of the rules' source while they are developed, and with Pillow, whose
    decoders and filters make the features."""
    rooms = (Path(__file__).parent, Path(model.__file__).parent)
    newest = max(path.stat().st_mtime_ns for room in rooms for path in room.rglob("*.py"))
    # Not its version: importing Pillow takes longer than a second check.
    pillow = find_spec("PIL")
    installed = Path(pillow.origin).stat().st_mtime_ns if pillow and pillow.origin else 0
    return crc32(f"{__version__} {newest} {installed}".encode()) >> 1


def _root(listing: Listing) -> bytes:
    return os.fsencode(listing.root)


def _stat(file: ImageFile) -> list[Any]:
    return [file.size, file.mtime_ns, file.ctime_ns, file.inode, file.link]


def _known_image(file: ImageFile, known: Mapping[str, tuple[list[Any], str]]) -> Image | None:
    if file.error:
        return Image(file.split, file.label, file.path, file.size, "", file.link, file.error)
    stat, sha = known.get(file.path, ([], ""))
    return (
        Image(file.split, file.label, file.path, file.size, sha, file.link) if stat == _stat(file) else None
    )


def _dumps(value: object) -> tuple[str, int]:
    text = json.dumps(value)
    return text, crc32(text.encode())


def _loads(text: object, crc: object) -> Any:
    """What was given to `_dumps`; None where it is damaged."""
    return json.loads(text) if isinstance(text, str) and crc32(text.encode()) == crc else None


def _value(inspection: Inspection) -> dict[str, Any]:
    features = inspection.features
    return {
        "verdict": inspection.verdict,
        "metadata": inspection.metadata,
        "features": features
        and {**features._asdict(), "blocks": features.blocks.hex(), "rows": features.rows.hex()},
    }


def _inspection(value: dict[str, Any]) -> Inspection:
    readable, kind, width, height, reason, remarks = value["verdict"]
    features = value["features"]
    return Inspection(
        Verdict(
            Readable(readable), kind and Format(kind), width, height, reason, tuple(map(Remark, remarks))
        ),
        features
        and Features(
            **{
                **features,
                "ink_box": tuple(features["ink_box"]),
                "blocks": bytes.fromhex(features["blocks"]),
                "rows": bytes.fromhex(features["rows"]),
            }
        ),
        tuple(map(Metadata, value["metadata"])),
    )


def report_key(*parts: object) -> str:
    """A short form of what a report depends on."""
    return sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()
