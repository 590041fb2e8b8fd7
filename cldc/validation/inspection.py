"""Read every file once: its hash, and what its content shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cldc.dataset import Image, Listing, Read, read_entry
from cldc.progress import Observer
from cldc.validation.decoding import Readable, Verdict, judge
from cldc.validation.features import Features, features_of

# Asks the real TensorFlow about contents; for each SHA-256 the path of a file with it.
Settle = Callable[[Mapping[str, Path]], Mapping[str, Verdict]]
_TOLD_EVERY = 200


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a content shows, whatever files have it; ``features`` are None where no picture can be had of it."""

    verdict: Verdict
    features: Features | None = None


def inspect(listing: Listing, observer: Observer) -> tuple[tuple[Image, ...], dict[str, Inspection]]:
    """Images of a walked folder in its order, and for each content's SHA-256 what it shows."""
    images = []
    inspections: dict[str, Inspection] = {}
    observer.start("Checking images", total=len(listing.entries), unit="images")
    for done, entry in enumerate(listing.entries, 1):
        read = read_entry(listing.root, entry)
        images.append(read.image)
        if not read.image.trouble and read.image.sha256 not in inspections:
            inspections[read.image.sha256] = _inspection(read)
        if done % _TOLD_EVERY == 0:
            observer.advance(done)
    observer.advance(len(images))
    return tuple(images), inspections


def _inspection(read: Read) -> Inspection:
    if read.content is None:
        reason = f"it is {read.image.size / 1e6:,.0f} MB large, too large to be checked without TensorFlow"
        return Inspection(Verdict(Readable.UNSURE, None, reason=reason))
    try:
        verdict = judge(read.content)
        seen = (
            features_of(read.content, verdict.width, verdict.height)
            if verdict.readable != Readable.NO
            else None
        )
        return Inspection(verdict, seen)
    except Exception as error:  # whatever a file holds, it must not end the check of all others
        return Inspection(Verdict(Readable.UNSURE, None, reason=f"checking it failed ({error!r})"))


def settle_unsure(
    root: Path,
    images: tuple[Image, ...],
    inspections: dict[str, Inspection],
    settle: Settle,
    observer: Observer,
) -> None:
    """Replace unsure verdicts by TensorFlow's own, asked for all of them at once."""
    unsure = {sha for sha, found in inspections.items() if found.verdict.readable == Readable.UNSURE}
    if not unsure:
        return
    observer.start(f"Asking TensorFlow about {len(unsure)} of the images")
    files = {image.sha256: root / image.path for image in images if image.sha256 in unsure}
    for sha, verdict in settle(files).items():
        inspections[sha] = Inspection(verdict, inspections[sha].features)
