"""Zip a validated dataset deterministically: every run on one machine gives the same bytes."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

from cldc.dataset import Dataset, Image
from cldc.errors import InvalidDataset
from cldc.files import private_folder, storage_errors, temporary_folder
from cldc.progress import SILENT, Observer
from cldc.validation import ValidationReport

# The earliest date that a zip can hold; any fixed one makes the bytes repeatable.
_DATE = (1980, 1, 1, 0, 0, 0)
_FILE_ATTRIBUTES = 0o100644 << 16
_FOLDER_ATTRIBUTES = (0o040755 << 16) | 0x10
_UNIX = 3


@dataclass(frozen=True, slots=True)
class Package:
    """A zip ready to be uploaded.

    Attributes:
        path: ``NAME.zip``; CodaLab names the bundle after it and keeps the folder ``NAME`` in it.
        name: NAME.
        dataset_hash: The dataset's identity.
        images: Number of images.
        size: Size of the zip in bytes.
    """

    path: Path
    name: str
    dataset_hash: str
    images: int
    size: int


def pack(report: ValidationReport, folder: Path, observer: Observer = SILENT) -> Package:
    """Zip the files that the script reads of a valid dataset as ``folder/NAME.zip``, which appears when it is complete.

    Raises:
        InvalidDataset: The dataset has errors, or changed since it was validated, or is too large for a zip.
        StorageError: The disk is full or not writable.
    """
    report.require_valid()
    dataset = report.dataset
    path = private_folder(folder) / f"{dataset.name}.zip"
    observer.start("Packing", total=len(dataset.images), unit="images")
    with temporary_folder(".packing-", folder) as work, storage_errors(path):
        _write(work / path.name, dataset, observer)
        (work / path.name).replace(path)
        return Package(path, dataset.name, dataset.hash, len(dataset.images), path.stat().st_size)


def _write(path: Path, dataset: Dataset, observer: Observer) -> None:
    """Write the entries in a fixed order, without the 64-bit extension, which some unzip programs don't read."""
    try:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=False) as archive:
            # A class folder without images must still be there: the script compares folders with classes.
            for split in dataset.splits:
                for label in split.folders:
                    if not dataset.count(split.name, label):
                        entry = _entry(f"{dataset.name}/{split.name}/{label}/", _FOLDER_ATTRIBUTES)
                        archive.writestr(entry, b"", zipfile.ZIP_STORED)
            for number, image in enumerate(dataset.images, 1):
                entry = _entry(f"{dataset.name}/{image.path}", _FILE_ATTRIBUTES)
                archive.writestr(entry, _content(dataset, image), zipfile.ZIP_DEFLATED)
                observer.advance(number)
    except zipfile.LargeZipFile as error:
        raise InvalidDataset(
            "The dataset is too large for a zip that CodaLab unpacks, which has at most 65,535 entries and 4 GB.",
            action="Take images out of it.",
        ) from error


def _entry(name: str, attributes: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.create_system = _UNIX
    entry.external_attr = attributes
    return entry


def _content(dataset: Dataset, image: Image) -> bytes:
    with dataset.locate(image).open("rb") as file:
        content = file.read(image.size + 1)  # no more, in case the file has grown
    if hashlib.sha256(content).hexdigest() != image.sha256:
        raise InvalidDataset(
            f"{image.path} changed while the dataset was being submitted.",
            action="Leave the folder alone and run the command again.",
        )
    return content
