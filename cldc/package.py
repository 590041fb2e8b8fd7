"""A deterministic zip of a validated dataset: the same bytes on every run."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cldc.errors import InvalidDataset
from cldc.files import private_folder, storage_errors
from cldc.progress import SILENT, Observer

if TYPE_CHECKING:
    from cldc.dataset import Dataset, Image
    from cldc.validation import ValidationReport

# The earliest date that a zip can hold; any fixed one makes the bytes repeatable.
_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_FILE_ATTRIBUTES = 0o100644 << 16
_FOLDER_ATTRIBUTES = (0o040755 << 16) | 0x10
_LEVEL = 6


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


def pack(report: ValidationReport, folder: Path, observer: Observer = SILENT) -> Package:
    """Zip what the script would read of a valid dataset as ``folder/NAME.zip``, put in place when complete.

    Raises:
        InvalidDataset: The dataset has errors, or changed since it was validated.
        StorageError: No space or no permission.
    """
    report.require_valid()
    dataset = report.dataset
    path = private_folder(folder) / f"{dataset.name}.zip"
    observer.start("Packing", total=len(dataset.images), unit="images")
    with storage_errors(path):
        descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                _write(dataset, zipfile.ZipFile(file, "w"), observer)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        return Package(path, dataset.name, dataset.hash, len(dataset.images), path.stat().st_size)


def _write(dataset: Dataset, archive: zipfile.ZipFile, observer: Observer) -> None:
    with archive:
        # A class folder without images must still be there: the script compares folders with classes.
        for split in dataset.splits:
            for label in split.folders:
                if not dataset.count(split.name, label):
                    info = _entry(f"{dataset.name}/{split.name}/{label}/", _FOLDER_ATTRIBUTES)
                    archive.writestr(info, b"", zipfile.ZIP_STORED)
        for number, image in enumerate(dataset.images, 1):
            info = _entry(f"{dataset.name}/{image.path}", _FILE_ATTRIBUTES)
            archive.writestr(info, _content(dataset, image), zipfile.ZIP_DEFLATED, _LEVEL)
            observer.advance(number)


def _entry(name: str, attributes: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system = _UNIX
    info.external_attr = attributes
    return info


def _content(dataset: Dataset, image: Image) -> bytes:
    content = dataset.locate(image).read_bytes()
    if hashlib.sha256(content).hexdigest() != image.sha256:
        raise InvalidDataset(
            f"{image.path} changed while the dataset was being submitted.",
            action="Leave the folder alone and run the command again.",
        )
    return content
