"""A deterministic zip of a validated dataset: the same bytes on every run of one machine."""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

from zlib_ng import zlib_ng

from cldc.errors import InvalidDataset
from cldc.files import private_folder, storage_errors
from cldc.progress import SILENT, Observer

if TYPE_CHECKING:
    from cldc.dataset import Dataset, Image
    from cldc.validation import ValidationReport

# The earliest date that a zip can hold, 1980-01-01 00:00; any fixed one makes the bytes repeatable.
_TIME, _DATE = 0, (1 << 5) | 1
_FILE_ATTRIBUTES = 0o100644 << 16
_FOLDER_ATTRIBUTES = (0o040755 << 16) | 0x10
# Of small PNGs zlib-ng makes at 9 what zlib makes at 6, in the same time, and at 6 a good deal more.
_LEVEL = 9
_STORED, _DEFLATED = 0, 8
_UTF8 = 0x800
_UNIX = 3 << 8
_VERSION = 20
# Signature, version, flags, method, time, date, CRC-32, packed and full size, lengths of name and extra field.
_LOCAL = struct.Struct("<4s5H3I2H")
# The same with who made it, and with comment, disk, attributes and offset at the end.
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
# What the form without its 64-bit extension can tell; a competition's limit is far below.
_MOST_ENTRIES, _MOST_BYTES = 0xFFFF, 0xFFFFFFFF
# Images are read and compressed ahead of the one being written, in bunches worth handing to a thread. So memory holds
# _AHEAD bunches, each larger than _BUNCH_BYTES by one image at most, however large the dataset.
_BUNCH, _BUNCH_BYTES = 64, 1 << 20
_AHEAD = 8


@dataclass(frozen=True, slots=True)
class Package:
    """A zip ready to be uploaded.

    Attributes:
        path: ``NAME.zip``; CodaLab names the bundle after it and keeps its one folder ``NAME``.
        name: NAME.
        dataset_hash: Identity of what is in it.
        images: How many images.
        size: Bytes of the zip.
    """

    path: Path
    name: str
    dataset_hash: str
    images: int
    size: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file or folder of the zip, packed: ``size`` is that of ``content`` before it was."""

    name: bytes
    attributes: int
    method: int
    crc: int
    size: int
    content: bytes


def pack(report: ValidationReport, folder: Path, observer: Observer = SILENT) -> Package:
    """Zip what the script would read of a valid dataset as ``folder/NAME.zip``, put in place when complete.

    Raises:
        InvalidDataset: The dataset has errors, or changed since it was validated, or is too large for a zip.
        StorageError: No space or no permission.
    """
    report.require_valid()
    dataset = report.dataset
    path = private_folder(folder) / f"{dataset.name}.zip"
    observer.start("Packing", total=len(dataset.images), unit="images")
    with storage_errors(path):
        descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb", buffering=1 << 20) as file:
                _write(file, _entries(dataset), observer)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        return Package(path, dataset.name, dataset.hash, len(dataset.images), path.stat().st_size)


def _entries(dataset: Dataset) -> Iterator[_Entry]:
    """Every entry in its fixed order. Reading and compressing leave Python's lock, so threads share it."""
    # A class folder without images must still be there: the script compares folders with classes.
    for split in dataset.splits:
        for label in split.folders:
            if not dataset.count(split.name, label):
                name = f"{dataset.name}/{split.name}/{label}/".encode()
                yield _Entry(name, _FOLDER_ATTRIBUTES, _STORED, 0, 0, b"")
    bunches = _bunches(dataset)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        waiting = [pool.submit(_pack_all, dataset, bunch) for bunch in islice(bunches, _AHEAD)]
        try:
            while waiting:
                yield from waiting.pop(0).result()
                waiting += [pool.submit(_pack_all, dataset, bunch) for bunch in islice(bunches, 1)]
        finally:
            pool.shutdown(cancel_futures=True)


def _bunches(dataset: Dataset) -> Iterator[list[Image]]:
    bunch: list[Image] = []
    size = 0
    for image in dataset.images:
        bunch.append(image)
        size += image.size
        if len(bunch) == _BUNCH or size >= _BUNCH_BYTES:
            yield bunch
            bunch, size = [], 0
    if bunch:
        yield bunch


def _pack_all(dataset: Dataset, images: list[Image]) -> list[_Entry]:
    return [_pack(dataset, image) for image in images]


def _pack(dataset: Dataset, image: Image) -> _Entry:
    # The system's own calls: ten thousand of the layers above them take as long as the compressing.
    descriptor = os.open(dataset.locate(image), os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        content = os.read(descriptor, image.size + 1)
    finally:
        os.close(descriptor)
    if hashlib.sha256(content).hexdigest() != image.sha256:
        raise InvalidDataset(
            f"{image.path} changed while the dataset was being submitted.",
            action="Leave the folder alone and run the command again.",
        )
    packed = _squeezed(content)
    method = _DEFLATED if len(packed) < len(content) else _STORED
    name = f"{dataset.name}/{image.path}".encode()
    kept = packed if method == _DEFLATED else content
    return _Entry(name, _FILE_ATTRIBUTES, method, zlib.crc32(content), len(content), kept)


def _squeezed(content: bytes) -> bytes:
    squeeze = zlib_ng.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return squeeze.compress(content) + squeeze.flush()


def _write(file: IO[bytes], entries: Iterator[_Entry], observer: Observer) -> None:
    """Local entries one after the other, then the central directory that points to them (PKWARE's APPNOTE 4.3)."""
    directory, offset, number = bytearray(), 0, 0
    for number, entry in enumerate(entries, 1):
        flags = 0 if entry.name.isascii() else _UTF8
        common = (entry.method, _TIME, _DATE, entry.crc, len(entry.content), entry.size, len(entry.name), 0)
        file.write(_LOCAL.pack(b"PK\3\4", _VERSION, flags, *common) + entry.name)
        file.write(entry.content)
        directory += _CENTRAL.pack(
            b"PK\1\2", _UNIX | _VERSION, _VERSION, flags, *common, 0, 0, 0, entry.attributes, offset
        )
        directory += entry.name
        offset += _LOCAL.size + len(entry.name) + len(entry.content)
        if number > _MOST_ENTRIES or offset > _MOST_BYTES:
            raise InvalidDataset(
                "The dataset is too large for a zip that CodaLab unpacks: 65,535 entries or 4 GB are the most.",
                action="Take images out of it.",
            )
        observer.advance(number)
    file.write(directory)
    file.write(_END.pack(b"PK\5\6", 0, 0, number, number, len(directory), offset, 0))
