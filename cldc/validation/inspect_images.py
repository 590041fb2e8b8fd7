"""Inspect the images of a dataset: TensorFlow's verdict on each, its drawing's features, its metadata, and its copies.

A second check of an unchanged folder does not import this module: importing Pillow takes longer than that check.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from cldc.competition import Competition, TensorFlowChoice
from cldc.dataset import Dataset, Image, read_image, read_start, scan
from cldc.process.pool import map_in_processes
from cldc.progress import SILENT, Observer
from cldc.text import plural
from cldc.validation.cache import ValidationCache
from cldc.validation.features import features_of_picture
from cldc.validation.inspection_result import MAX_PIXELS, Inspection
from cldc.validation.large_pictures import reduced_picture
from cldc.validation.metadata.detection import find_metadata
from cldc.validation.model import InspectedDataset, WarpedSearch
from cldc.validation.near_duplicates import find_near_duplicates, has_drawing
from cldc.validation.pictures import picture_of
from cldc.validation.real_tensorflow import ask_tensorflow
from cldc.validation.sniffing import find_pointers, formats_of_ignored
from cldc.validation.tensorflow_decoder import Readable, Remark, Verdict, judge
from cldc.validation.tensorflow_decoder.dispatch import format_of
from cldc.validation.warped_copies import find_warped_copies

# Two processes stay below 250 MB; starting them takes as long as some hundred drawings.
_PROCESSES = 2
_WORTH_PROCESSES = 600
_CHUNK = 48
# Bytes of a file too large to be judged in which metadata is searched: nearly all of it comes first.
_MOST_SEARCHED = 32 * 1024 * 1024


def inspect_dataset(
    folder: Path, competition: Competition, observer: Observer = SILENT, *, home: Path | None = None
) -> InspectedDataset:
    """Inspect the images of a folder; arguments and errors are those of `cldc.validation.validate`."""
    with contextlib.closing(ValidationCache(home)) as cache:
        dataset, cached = cache.load(scan(folder, competition.dataset), competition)
    dataset, inspections = inspect_images(dataset, cached.inspections, observer)
    formats = formats_of_ignored(dataset, competition.dataset.extensions)
    return compare_images(dataset, inspections, formats, competition, observer)


def inspect_images(
    dataset: Dataset, known: Mapping[str, Inspection], observer: Observer
) -> tuple[Dataset, dict[str, Inspection]]:
    """Read all images; return the dataset with them, and the inspection of each content by SHA-256.

    Images that have a SHA-256 among the ``known`` inspections are not read again.
    """
    inspections = {image.sha256: known[image.sha256] for image in dataset.images if image.sha256 in known}
    new = [image for image in dataset.images if not image.error and image.sha256 not in inspections]
    if not new:
        return dataset, inspections
    observer.start("Checking images", total=len(new), unit="images")
    inspect_one = partial(_inspect_file, dataset.root)
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if processors > 1 and len(new) >= _WORTH_PROCESSES:
        results: Iterator[tuple[Image, Inspection | None]] = map_in_processes(
            inspect_one, new, processes=_PROCESSES, chunk=_CHUNK
        )
    else:
        results = map(inspect_one, new)
    read: dict[str, Image] = {}
    for done, (image, inspection) in enumerate(results, 1):
        read[image.path] = image
        if inspection is not None:
            inspections.setdefault(image.sha256, inspection)
        if done % _CHUNK == 0 or done == len(new):
            observer.advance(done)
    images = tuple(read.get(image.path, image) for image in dataset.images)
    return replace(dataset, images=images), inspections


def ask_about_unknown(
    dataset: Dataset,
    inspections: Mapping[str, Inspection],
    choices: Sequence[TensorFlowChoice],
    home: Path,
    observer: Observer,
) -> dict[str, Inspection]:
    """Ask TensorFlow about the images whose verdict is unknown, and return their inspections with its verdict.

    The last three arguments and the errors are those of `ask_tensorflow`.
    """
    unknown = {
        image.sha256: dataset.locate(image)
        for image in dataset.images
        if image.sha256 in inspections and inspections[image.sha256].verdict.readable is Readable.UNKNOWN
    }
    if not unknown:
        return {}
    observer.start(f"Asking TensorFlow about {plural(len(unknown), 'image')}")
    verdicts = ask_tensorflow(unknown, choices, home, observer)
    # TensorFlow does not say how the picture differs from what people see.
    return {
        sha: inspections[sha]._replace(
            verdict=verdict._replace(remarks=inspections[sha].verdict.remarks or verdict.remarks)
        )
        for sha, verdict in verdicts.items()
    }


def compare_images(
    dataset: Dataset,
    inspections: Mapping[str, Inspection],
    ignored_formats: Mapping[str, str],
    competition: Competition,
    observer: Observer,
    *,
    home: Path | None = None,
    warped: WarpedSearch = "no",
    book: Dataset | None = None,
) -> InspectedDataset:
    """Compare the drawings of inspected images, also with those of the label book.

    The first three arguments are those of `InspectedDataset`, and ``book`` is the label book as it was scanned; the other
    arguments and the errors are those of `cldc.validation.validate`.
    """
    sides = [files_with_drawings(dataset, inspections, split.name) for split in dataset.splits]
    everything = {sha: inspections[sha] for sha in sorted(inspections)}
    label_book: dict[str, tuple[str, ...]] = {}
    if book is not None:
        book, found = inspect_images(book, {}, SILENT)
        for page in book.images:
            if page.sha256:
                # The book's folder may be named after a hash.
                path = f"{competition.bundles.label_book.name}/{page.path.partition('/')[2]}"
                label_book[page.sha256] = (*label_book.get(page.sha256, ()), path)
        # Contents with equal ink are linked in a chain. The dataset's come first, so that its part is whole without the book.
        everything |= {sha: found[sha] for sha in sorted(found.keys() - inspections.keys())}
        sides.append(files_with_drawings(book, everything))
    pairs = find_near_duplicates({sha: each.features for sha, each in everything.items() if each.features})
    copies = None
    if warped != "no" and home:
        copies = find_warped_copies(sides, home, observer, required=warped == "required")
    # Warped copies that are also similar in a stronger way are left out.
    other = {pair[:2] for pair in pairs}
    return InspectedDataset(
        dataset=dataset,
        competition=competition,
        inspections=inspections,
        pairs=(*pairs, *(pair for pair in copies or () if pair[:2] not in other)),
        label_book=label_book,
        ignored_formats=ignored_formats,
        pointers=find_pointers(dataset, inspections),
        warped_compared=copies is not None,
    )


def files_with_drawings(
    dataset: Dataset, inspections: Mapping[str, Inspection], split: str | None = None
) -> dict[str, Path]:
    """Return a file for each content with a drawing, in a split or in the whole dataset, by SHA-256."""
    return {
        image.sha256: dataset.locate(image)
        for image in dataset.images
        if split in (None, image.split)
        and image.sha256 in inspections
        and has_drawing(inspections[image.sha256].features)
    }


def _inspect_file(root: Path, image: Image) -> tuple[Image, Inspection | None]:
    """Read and inspect a file of the folder ``root`` once; the inspection is None if it can't be read."""
    image, content = read_image(root, image)
    if image.error:
        return image, None
    if content is None:
        reason = f"it is {image.size / 1e6:,.0f} MB large, too large to be checked without TensorFlow"
        start = read_start(root / image.path, _MOST_SEARCHED)
        metadata = find_metadata(start, format_of(start))
        return image, Inspection(Verdict(Readable.UNKNOWN, None, reason=reason), metadata=metadata)
    try:
        verdict = judge(content)
        metadata = () if verdict.readable is Readable.NO else find_metadata(content, verdict.format)
    except Exception as error:  # whatever a file holds, the check of all others must go on
        return image, Inspection(Verdict(Readable.UNKNOWN, None, reason=f"checking it failed ({error!r})"))
    if verdict.readable is Readable.NO:
        return image, Inspection(verdict)
    if (verdict.width or 0) * (verdict.height or 0) > MAX_PIXELS:
        picture = reduced_picture(content, verdict)
    else:
        picture = picture_of(content, verdict)
    remarks = verdict.remarks
    if picture and picture.opaque:
        # The file could have transparent pixels and has none.
        remarks = tuple(remark for remark in remarks if remark is not Remark.ALPHA_DROPPED)
    features = features_of_picture(picture) if picture else None
    return image, Inspection(verdict._replace(remarks=remarks, rows=b""), features, metadata)
