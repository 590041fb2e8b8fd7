"""Inspect the images of a dataset: TensorFlow's verdict on each, its drawing's features, its metadata, and its copies.

A second check of an unchanged folder does not import this module: importing Pillow takes longer than that check.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from cldc.competition import Competition
from cldc.dataset import Image, ImageFile, Listing, assemble, read_image, read_start, scan
from cldc.errors import ProcessFailed
from cldc.process.pool import map_in_processes
from cldc.progress import SILENT, Observer
from cldc.text import plural
from cldc.validation.cache import ValidationCache
from cldc.validation.features import features_of_picture
from cldc.validation.inspection import MAX_PIXELS, AskTensorFlow, Inspection
from cldc.validation.large_pictures import reduced_picture
from cldc.validation.metadata.finding import find_metadata
from cldc.validation.model import InspectedDataset
from cldc.validation.near_duplicates import (
    FindWarpedCopies,
    Side,
    find_near_duplicates,
    group_pairs,
    has_drawing,
)
from cldc.validation.pictures import picture_of
from cldc.validation.sniffing import find_pointers, formats_of_ignored
from cldc.validation.tensorflow_decoder import Readable, Remark, Verdict, judge_and_inflate
from cldc.validation.tensorflow_decoder.dispatch import format_of

# Two processes stay below 250 MB; starting them takes as long as some hundred drawings.
_PROCESSES = 2
_WORTH_PROCESSES = 600
_CHUNK = 48
# Bytes of a file too large to be judged in which metadata is searched: nearly all of it comes first.
_MOST_SEARCHED = 32 * 1024 * 1024


def inspect_dataset(
    folder: Path,
    competition: Competition,
    observer: Observer = SILENT,
    *,
    find_warped_copies: FindWarpedCopies | None = None,
    cache_folder: Path | None = None,
) -> InspectedDataset:
    """What the images of a folder show; arguments and errors are those of `cldc.validation.validate`."""
    listing = scan(folder, competition.dataset)
    with ValidationCache(cache_folder, listing) as cache:
        return inspect(listing, cache, competition, observer, find_warped_copies=find_warped_copies)


def inspect(
    listing: Listing,
    cache: ValidationCache,
    competition: Competition,
    observer: Observer,
    *,
    ask_tensorflow: AskTensorFlow | None = None,
    find_warped_copies: FindWarpedCopies | None = None,
    book: Listing | None = None,
) -> InspectedDataset:
    """Inspect the images that the cache does not know, and compare all drawings, also with those of the label book."""
    known = cache.load_inspections()
    images, inspections = _inspect_images(listing, cache.images, known, observer)
    if ask_tensorflow is not None:
        inspections |= _ask(ask_tensorflow, listing.root, images, inspections, observer)
    sides = _sides(listing, images, inspections)
    everything = {sha: inspections[sha] for sha in sorted(inspections)}
    label_book: dict[str, tuple[str, ...]] = {}
    if book is not None:
        pages, found = _inspect_images(book, (None,) * len(book.files), known, SILENT)
        for page in pages:
            if page.sha256:
                # The book's folder may be named after a hash.
                path = f"{competition.bundles.label_book.name}/{page.path.partition('/')[2]}"
                label_book[page.sha256] = (*label_book.get(page.sha256, ()), path)
        # After the dataset's: equal ink is linked in a chain, from which pairs with the label book's are taken out again.
        everything |= {sha: found[sha] for sha in sorted(found.keys() - inspections.keys())}
        sides += _sides(book, pages, everything)
    warped = find_warped_copies(sides) if find_warped_copies else None
    pairs = find_near_duplicates({sha: each.features for sha, each in everything.items() if each.features})
    # Warped copies that are also known by stronger evidence are left out.
    other = {pair[:2] for pair in pairs}
    pairs = (*pairs, *(pair for pair in warped or () if pair[:2] not in other))
    return InspectedDataset(
        dataset=assemble(listing, images),
        competition=competition,
        inspections=inspections,
        drawings=group_pairs(p for p in pairs if p.first in inspections and p.second in inspections),
        label_book=label_book,
        book_drawings=tuple(g for g in group_pairs(pairs) if not label_book.keys().isdisjoint(g.contents)),
        ignored_formats=formats_of_ignored(listing, competition.dataset.extensions),
        pointers=find_pointers(listing.root, images, inspections),
        warped_compared=warped is not None,
    )


def _sides(listing: Listing, images: Sequence[Image], inspections: Mapping[str, Inspection]) -> list[Side]:
    """For each split the drawings, each content once."""
    drawn = [i for i in images if i.sha256 in inspections and has_drawing(inspections[i.sha256].features)]
    return [
        [*{i.sha256: listing.root / i.path for i in drawn if i.split == split.name}.items()]
        for split in listing.splits
    ]


def _ask(
    ask_tensorflow: AskTensorFlow,
    root: Path,
    images: Sequence[Image],
    inspections: Mapping[str, Inspection],
    observer: Observer,
) -> dict[str, Inspection]:
    """The inspections whose verdict was unknown, with TensorFlow's own verdict."""
    unknown = {sha for sha, i in inspections.items() if i.verdict.readable is Readable.UNKNOWN}
    if not unknown:
        return {}
    observer.start(f"Asking TensorFlow about {plural(len(unknown), 'image')}")
    verdicts = ask_tensorflow({i.sha256: root / i.path for i in images if i.sha256 in unknown})
    # TensorFlow does not say how the picture differs from what people see.
    return {
        sha: inspections[sha]._replace(
            verdict=verdict._replace(remarks=inspections[sha].verdict.remarks or verdict.remarks)
        )
        for sha, verdict in verdicts.items()
    }


def _inspect_images(
    listing: Listing, images: Sequence[Image | None], known: Mapping[str, Inspection], observer: Observer
) -> tuple[list[Image], dict[str, Inspection]]:
    """All images of a listing, and the inspection of each content by SHA-256.

    ``images`` has for each file its image, or None if it must be read; ``known`` has earlier inspections.
    """
    inspections = {image.sha256: known[image.sha256] for image in images if image and image.sha256 in known}
    new = [
        file
        for file, image in zip(listing.files, images, strict=True)
        if image is None or (image.sha256 and image.sha256 not in inspections)
    ]
    by_path = {image.path: image for image in images if image}
    if new:
        observer.start("Checking images", total=len(new), unit="images")
    read = partial(inspect_file, listing.root)
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    alone = processors == 1 or len(new) < _WORTH_PROCESSES
    for done, (image, inspection) in enumerate(map(read, new) if alone else _in_processes(read, new), 1):
        by_path[image.path] = image
        if inspection is not None:
            inspections.setdefault(image.sha256, inspection)
        if done % _CHUNK == 0 or done == len(new):
            observer.advance(done)
    return [by_path[file.path] for file in listing.files], inspections


def _in_processes(
    read: Callable[[ImageFile], tuple[Image, Inspection | None]], files: Sequence[ImageFile]
) -> Iterator[tuple[Image, Inspection | None]]:
    done = 0
    try:
        for result in map_in_processes(read, files, processes=_PROCESSES, chunk=_CHUNK):
            yield result
            done += 1
    except ProcessFailed:  # too little memory, or no more processes are allowed: go on alone
        yield from map(read, files[done:])


def inspect_file(root: Path, file: ImageFile) -> tuple[Image, Inspection | None]:
    """Read a file once: its hash and what its content shows; None if it can't be read."""
    image, content = read_image(root, file)
    if image.error:
        return image, None
    if content is None:
        reason = f"it is {image.size / 1e6:,.0f} MB large, too large to be checked without TensorFlow"
        start = read_start(root / file.path, _MOST_SEARCHED)
        metadata = find_metadata(start, format_of(start))
        return image, Inspection(Verdict(Readable.UNKNOWN, None, reason=reason), metadata=metadata)
    return image, inspect_content(content)


def inspect_content(content: bytes) -> Inspection:
    """What a file's content shows; never raises."""
    try:
        verdict, rows = judge_and_inflate(content)
        metadata = () if verdict.readable is Readable.NO else find_metadata(content, verdict.format)
    except Exception as error:  # whatever a file holds, the check of all others must go on
        return Inspection(Verdict(Readable.UNKNOWN, None, reason=f"checking it failed ({error!r})"))
    if verdict.readable is Readable.NO:
        return Inspection(verdict)
    if (verdict.width or 0) * (verdict.height or 0) > MAX_PIXELS:
        picture = reduced_picture(content, verdict)
    else:
        picture = picture_of(content, verdict, rows)
    if picture is None:
        return Inspection(verdict, metadata=metadata)
    if picture.opaque and Remark.ALPHA_DROPPED in verdict.remarks:
        # The file could have transparent pixels and has none.
        remarks = tuple(remark for remark in verdict.remarks if remark is not Remark.ALPHA_DROPPED)
        verdict = verdict._replace(remarks=remarks)
    return Inspection(verdict, features_of_picture(picture), metadata)
