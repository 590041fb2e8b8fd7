"""What the content of image files shows: TensorFlow's verdict, the features of the drawing, metadata."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cldc.dataset import Image, ImageFile, read_image, read_start
from cldc.errors import ProcessFailed
from cldc.progress import Observer
from cldc.validation.features import Features, features_of_picture
from cldc.validation.large_pictures import reduced_picture
from cldc.validation.metadata.finding import find_metadata
from cldc.validation.metadata.model import Metadata
from cldc.validation.pictures import MAX_PIXELS, picture_of
from cldc.validation.tensorflow_decoder import Readable, Remark, Verdict, judge_and_inflate
from cldc.validation.tensorflow_decoder.dispatch import format_of

# Asks the real TensorFlow about contents: takes the path of one file for each SHA-256.
AskTensorFlow = Callable[[Mapping[str, Path]], Mapping[str, Verdict]]

# Bytes of a file too large to be judged in which metadata is searched: nearly all of it comes first.
_MOST_SEARCHED = 32 * 1024 * 1024
# Two processes stay below 250 MB; starting them takes as long as some hundred drawings.
_PROCESSES = 2
_WORTH_PROCESSES = 600
_CHUNK = 48


class Inspection(NamedTuple):
    """What a content shows, whichever files have it.

    Attributes:
        verdict: Whether TensorFlow reads it.
        features: What the drawing looks like; None where there is no picture to look at.
        metadata: What it carries besides the picture.
    """

    verdict: Verdict
    features: Features | None = None
    metadata: tuple[Metadata, ...] = ()


def inspect_files(
    root: Path, files: Sequence[ImageFile], observer: Observer
) -> Iterator[tuple[Image, Inspection | None]]:
    """`inspect_file` of many files, in their order, on several processors where that is faster."""
    if not files:
        return
    observer.start("Checking images", total=len(files), unit="images")
    inspect, done = partial(inspect_file, str(root)), 0
    for result in _map(inspect, files):
        yield result
        done += 1
        if done % _CHUNK == 0:
            observer.advance(done)
    observer.advance(done)


def _map(
    inspect: Callable[[ImageFile], tuple[Image, Inspection | None]], files: Sequence[ImageFile]
) -> Iterator[tuple[Image, Inspection | None]]:
    done = 0
    if len(files) >= _WORTH_PROCESSES and _processors() > 1:
        # A second check needs no processes, and this takes a fifth of its time to import.
        from cldc.process.pool import map_in_processes

        try:
            for result in map_in_processes(inspect, files, processes=_PROCESSES, chunk=_CHUNK):
                yield result
                done += 1
        except ProcessFailed:
            pass  # too little memory, or no more processes are allowed: go on alone
    yield from map(inspect, files[done:])


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def inspect_file(root: str, file: ImageFile) -> tuple[Image, Inspection | None]:
    """Read a file once: its hash and what its content shows; None where it can't be read."""
    image, content = read_image(root, file)
    if image.error:
        return image, None
    if content is None:
        reason = f"it is {image.size / 1e6:,.0f} MB large, too large to be checked without TensorFlow"
        start = read_start(Path(root, file.path), _MOST_SEARCHED)
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
