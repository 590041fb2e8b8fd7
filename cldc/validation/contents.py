"""Inspect the content of one image file. Worker processes import this module, so it imports little."""

from __future__ import annotations

from pathlib import Path

from cldc.dataset import Image, ImageFile, read_image, read_start
from cldc.validation.features import features_of_picture
from cldc.validation.inspection import MAX_PIXELS, Inspection
from cldc.validation.large_pictures import reduced_picture
from cldc.validation.metadata.finding import find_metadata
from cldc.validation.pictures import picture_of
from cldc.validation.tensorflow_decoder import Readable, Remark, Verdict, judge_and_inflate
from cldc.validation.tensorflow_decoder.dispatch import format_of

# Bytes of a file too large to be judged in which metadata is searched: nearly all of it comes first.
_MOST_SEARCHED = 32 * 1024 * 1024


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
