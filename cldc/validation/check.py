"""Check a dataset: inspect its images, apply every rule, keep the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cldc.competition import Competition
from cldc.dataset import Image, Listing, SplitState, assemble, scan
from cldc.progress import SILENT, Observer
from cldc.text import plural
from cldc.validation.cache import ValidationCache, report_key
from cldc.validation.inspection import AskTensorFlow, Inspection, inspect_files
from cldc.validation.model import InspectedDataset, ValidationReport
from cldc.validation.near_duplicates import (
    FindWarpedCopies,
    Side,
    find_near_duplicates,
    group_pairs,
    has_drawing,
    with_warped_copies,
)
from cldc.validation.rules import apply_rules
from cldc.validation.silencing import silence
from cldc.validation.sniffing import find_pointers, formats_of_ignored
from cldc.validation.tensorflow_decoder import Readable


def validate(
    folder: Path,
    competition: Competition,
    observer: Observer = SILENT,
    *,
    name: str | None = None,
    ask_tensorflow: AskTensorFlow | None = None,
    find_warped_copies: FindWarpedCopies | None = None,
    label_book: Path | None = None,
    cache_folder: Path | None = None,
) -> ValidationReport:
    """Check ``folder`` against every rule; what ``decisions.csv`` calls correct is left out.

    Args:
        folder: The dataset's folder, whose direct children are the splits.
        competition: Whose rules apply.
        observer: Receives progress.
        name: The dataset's name; by default it is made from the folder's.
        ask_tensorflow: Asks the real TensorFlow where `judge` gives no verdict; without it such images get a warning.
        find_warped_copies: Finds them between splits and the label book; without it they are not looked for.
        label_book: The label book's folder, with one folder for each class, where it is at hand.
        cache_folder: Where the results of checks are kept, so that the next one reads only what changed.

    Raises:
        InvalidDataset: ``folder`` does not exist or is not a folder. Whatever is wrong inside it is a finding instead.
        InvalidTable: A line of ``decisions.csv`` is invalid.
        StorageError: ``folder`` can't be listed.
    """
    listing = _scan(folder, competition, name)
    book = _scan_label_book(label_book, competition) if label_book else None
    with ValidationCache(cache_folder) as cache:
        cached = cache.load(listing)
        key = _report_key(
            listing,
            competition,
            book,
            cache,
            ways=(ask_tensorflow is not None, find_warped_copies is not None),
        )
        if key and cached.key == key:
            dataset = assemble(listing, filter(None, cached.images))
            report = ValidationReport.make(dataset, competition, cached.findings, cached.metadata)
            return replace(silence(report, competition), warped_compared=find_warped_copies is not None)
        known = cache.load_inspections(listing)
        inspected = _inspect(
            listing,
            cached.images,
            known,
            competition=competition,
            observer=observer,
            ask_tensorflow=ask_tensorflow,
            find_warped_copies=find_warped_copies,
            book=book,
        )
        report = apply_rules(inspected)
        # Where the search for warped copies failed, the next check tries again.
        whole = inspected.warped_compared == (find_warped_copies is not None)
        cache.store(listing, report, key=key if whole else "", known=known, inspections=inspected.inspections)
    return replace(silence(report, competition), warped_compared=inspected.warped_compared)


def inspect_dataset(
    folder: Path,
    competition: Competition,
    observer: Observer = SILENT,
    *,
    ask_tensorflow: AskTensorFlow | None = None,
    cache_folder: Path | None = None,
) -> InspectedDataset:
    """What `validate` applies the rules to; arguments and errors are the same."""
    listing = _scan(folder, competition)
    with ValidationCache(cache_folder) as cache:
        images, known = cache.load(listing).images, cache.load_inspections(listing)
    return _inspect(
        listing,
        images,
        known,
        competition=competition,
        observer=observer,
        ask_tensorflow=ask_tensorflow,
        find_warped_copies=None,
        book=None,
    )


def _scan(folder: Path, competition: Competition, name: str | None = None) -> Listing:
    rules = competition.dataset
    return scan(folder, splits=rules.splits, extensions=rules.extensions, name=name)


def _scan_label_book(folder: Path, competition: Competition) -> Listing:
    """The label book, which is laid out like a split, as the only split of the folder that holds it."""
    folder = folder.absolute()
    return scan(folder.parent, splits=[folder.name], extensions=competition.dataset.extensions)


def _report_key(
    listing: Listing,
    competition: Competition,
    book: Listing | None,
    cache: ValidationCache,
    *,
    ways: tuple[bool, bool],
) -> str:
    """What a report depends on besides the images; empty where it depends on more, and must not be used again."""
    # Advice on a missing split depends on the folders around the dataset.
    whole = all(split.state == SplitState.FOLDER for split in listing.splits)
    if not whole or (book and not all(map(cache.is_settled, book.files))):
        return ""
    return report_key(
        competition,
        listing.name,
        listing.splits,
        [(file.path, file.error) for file in listing.files if file.error],
        listing.ignored,
        formats_of_ignored(listing, competition.dataset.extensions),
        listing.outward_links,
        book and (book.root, book.files),
        ways,
    )


def _inspect(
    listing: Listing,
    images: tuple[Image | None, ...],
    known: Mapping[str, Inspection],
    *,
    competition: Competition,
    observer: Observer,
    ask_tensorflow: AskTensorFlow | None,
    find_warped_copies: FindWarpedCopies | None,
    book: Listing | None,
) -> InspectedDataset:
    """Inspect the images that are not known, and compare all drawings.

    Args:
        listing: The folder as it was scanned.
        images: For each of its files the image; None where it must be read.
        known: Inspections of contents, by SHA-256.
        competition: Whose rules apply.
        observer: Receives progress.
        ask_tensorflow: Asks the real TensorFlow about images without a verdict.
        find_warped_copies: Finds them between splits and the label book.
        book: The label book as it was scanned.
    """
    found, inspections = _read(listing, images, known, observer)
    if ask_tensorflow is not None:
        _ask(ask_tensorflow, listing, found, inspections, observer)
    label_book: dict[str, tuple[str, ...]] = {}
    book_images: list[Image] = []
    book_inspections: dict[str, Inspection] = {}
    if book is not None:
        book_images, book_inspections = _read(book, (None,) * len(book.files), known, SILENT)
        for image in book_images:
            if image.sha256:
                # The book's folder may be named after a hash.
                path = f"{competition.bundles.label_book.name}/{image.path.partition('/')[2]}"
                label_book[image.sha256] = (*label_book.get(image.sha256, ()), path)
    # The dataset's own first: equal ink is linked in a chain, from which pairs with the label book's are taken out again.
    order = [*sorted(inspections), *sorted(book_inspections.keys() - inspections.keys())]
    everything = {**book_inspections, **inspections}
    pairs = find_near_duplicates({sha: f for sha in order if (f := everything[sha].features)})
    dataset = assemble(listing, found)
    warped = None
    if find_warped_copies is not None:
        sides = [_side(listing.root, split.name, found, everything) for split in listing.splits]
        if book is not None:
            sides.append(_side(book.root, book.splits[0].name, book_images, everything))
        warped = find_warped_copies(sides)
    pairs = with_warped_copies(pairs, warped or ())
    return InspectedDataset(
        dataset=dataset,
        competition=competition,
        inspections=inspections,
        drawings=group_pairs(p for p in pairs if p.first in inspections and p.second in inspections),
        label_book=label_book,
        book_drawings=tuple(g for g in group_pairs(pairs) if not label_book.keys().isdisjoint(g.contents)),
        ignored_formats=formats_of_ignored(listing, competition.dataset.extensions),
        pointers=find_pointers(dataset.root, dataset.images, inspections),
        warped_compared=warped is not None,
    )


def _side(root: Path, split: str, images: list[Image], inspections: Mapping[str, Inspection]) -> Side:
    """The drawings of a split, each content once."""
    files = {
        image.sha256: root / image.path
        for image in images
        if image.split == split
        and image.sha256 in inspections
        and has_drawing(inspections[image.sha256].features)
    }
    return [*files.items()]


def _read(
    listing: Listing,
    images: tuple[Image | None, ...],
    known: Mapping[str, Inspection],
    observer: Observer,
) -> tuple[list[Image], dict[str, Inspection]]:
    """All images of a listing, and the inspection of each content by SHA-256."""
    inspections = {image.sha256: known[image.sha256] for image in images if image and image.sha256 in known}
    new = [
        file
        for file, image in zip(listing.files, images, strict=True)
        if image is None or (image.sha256 and image.sha256 not in inspections)
    ]
    by_path = {image.path: image for image in images if image}
    for image, inspection in inspect_files(listing.root, new, observer):
        by_path[image.path] = image
        if inspection is not None:
            inspections.setdefault(image.sha256, inspection)
    return [by_path[file.path] for file in listing.files], inspections


def _ask(
    ask_tensorflow: AskTensorFlow,
    listing: Listing,
    images: list[Image],
    inspections: dict[str, Inspection],
    observer: Observer,
) -> None:
    """Replace unknown verdicts with TensorFlow's own, asking for all of them at once."""
    unknown = {sha for sha, i in inspections.items() if i.verdict.readable is Readable.UNKNOWN}
    if not unknown:
        return
    observer.start(f"Asking TensorFlow about {plural(len(unknown), 'image')}")
    files = {image.sha256: listing.root / image.path for image in images if image.sha256 in unknown}
    for sha, verdict in ask_tensorflow(files).items():
        inspection = inspections[sha]
        # TensorFlow does not say how the picture differs from what people see.
        remarks = inspection.verdict.remarks or verdict.remarks
        inspections[sha] = inspection._replace(verdict=verdict._replace(remarks=remarks))
