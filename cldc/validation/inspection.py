"""What one file's content shows, as a value that can be sent to another process or remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cldc.dataset import Image, ImageFile, read_image, read_start
from cldc.validation.columns import to_columns, to_rows
from cldc.validation.decoding import Format, Readable, Remark, Verdict, judge_and_inflate
from cldc.validation.decoding.dispatch import format_of
from cldc.validation.features import Features, features_of_picture
from cldc.validation.large_pictures import MOST_PIXELS, reduced_picture
from cldc.validation.memory_use import LARGE, give_back_large_blocks
from cldc.validation.metadata.finding import find_metadata
from cldc.validation.metadata.model import Metadata
from cldc.validation.pictures import MAX_PIXELS, Picture, picture_of

# Asks the real TensorFlow about contents: takes the path of one file for each SHA-256.
AskTensorFlow = Callable[[Mapping[str, Path]], Mapping[str, Verdict]]


# Bytes of a file too large to be judged in which metadata is looked for: nearly all of it comes first.
_MOST_SEARCHED = 32 * 1024 * 1024
# Faster than calling the enumerations, ten thousand times over.
_READABLE = {readable.value: readable for readable in Readable}
_FORMATS: dict[str | None, Format | None] = {None: None, **{kind.value: kind for kind in Format}}


class Inspection(NamedTuple):
    """What a content shows, whatever files have it.

    Attributes:
        verdict: Whether TensorFlow reads it.
        features: What the drawing looks like; None where no picture can be had of it.
        metadata: What it carries beside the picture.
    """

    verdict: Verdict
    features: Features | None = None
    metadata: tuple[Metadata, ...] = ()


def inspect_file(
    root: str, entry: ImageFile, *, most_pixels: int = MOST_PIXELS
) -> tuple[Image, Inspection | None]:
    """Read a file once: its hash, TensorFlow's verdict and the picture's features; None where it can't be read.

    Of a picture with more than ``most_pixels`` there are no features, and some remarks may be needless.
    """
    read = read_image(root, entry)
    if read.image.error:
        return read.image, None
    if read.content is None:
        reason = f"it is {read.image.size / 1e6:,.0f} MB large, too large to be checked without TensorFlow"
        start = read_start(Path(root, entry.path), _MOST_SEARCHED)
        metadata = find_metadata(start, format_of(start))
        return read.image, Inspection(Verdict(Readable.UNKNOWN, None, reason=reason), metadata=metadata)
    found = inspect_content(read.content, most_pixels=most_pixels)
    if max(read.image.size, _pixels(found.verdict)) > LARGE:
        give_back_large_blocks()
    return read.image, found


def passed_over(found: Inspection, most_pixels: int) -> bool:
    """Whether there may be features if more than ``most_pixels`` are looked at."""
    return found.features is None and most_pixels < _pixels(found.verdict) <= MOST_PIXELS


def _pixels(verdict: Verdict) -> int:
    return (verdict.width or 0) * (verdict.height or 0)


def inspect_content(content: bytes, *, most_pixels: int = MOST_PIXELS) -> Inspection:
    """The verdict and features of a file's content; raises nothing."""
    try:
        verdict, rows = judge_and_inflate(content)
        metadata = () if verdict.readable is Readable.NO else find_metadata(content, verdict.format)
    except Exception as error:  # whatever a file holds, it must not end the check of all others
        return Inspection(Verdict(Readable.UNKNOWN, None, reason=f"checking it failed ({error!r})"))
    if verdict.readable is Readable.NO:
        return Inspection(verdict)
    picture = None
    if (pixels := _pixels(verdict)) <= most_pixels:
        large = pixels > MAX_PIXELS
        picture = reduced_picture(content, verdict) if large else picture_of(content, verdict, rows)
    if picture is None:
        return Inspection(verdict, metadata=metadata)
    return Inspection(_seen(verdict, picture), features_of_picture(picture), metadata)


def _seen(verdict: Verdict, picture: Picture) -> Verdict:
    """The verdict without the remark on transparency where the file could have some and has none."""
    if Remark.ALPHA_DROPPED not in verdict.remarks or not picture.opaque:
        return verdict
    return verdict._replace(remarks=tuple(r for r in verdict.remarks if r != Remark.ALPHA_DROPPED))


def pack(contents: Mapping[str, Inspection]) -> tuple[Any, ...]:
    """What contents show, by SHA-256, as plain values."""
    verdicts = [
        (
            found.readable.value,
            found.format.value if found.format else None,
            found.width,
            found.height,
            found.reason,
            tuple(remark.value for remark in found.remarks),
        )
        for found, _, _ in contents.values()
    ]
    drawn = {sha: features for sha, (_, features, _) in contents.items() if features}
    metadata = {sha: [kind.value for kind in kinds] for sha, (_, _, kinds) in contents.items() if kinds}
    return (
        tuple(contents),
        to_columns(verdicts, len(Verdict._fields)),
        tuple(drawn),
        to_columns(drawn.values(), len(Features._fields)),
        metadata,
    )


def unpack(packed: tuple[Any, ...]) -> dict[str, Inspection]:
    """What `pack` was given."""
    contents, (readable, kind, width, height, reason, remarks), drawn, columns, metadata = packed
    verdicts = to_rows(
        Verdict,
        (
            map(_READABLE.__getitem__, readable),
            map(_FORMATS.__getitem__, kind),
            width,
            height,
            reason,
            [tuple(map(Remark, told)) if told else () for told in remarks],
        ),
    )
    features = dict(zip(drawn, to_rows(Features, columns), strict=True))
    carried = {sha: tuple(map(Metadata, kinds)) for sha, kinds in metadata.items()}
    metadata_of_each = [carried.get(sha, ()) for sha in contents]
    inspections = to_rows(Inspection, (verdicts, map(features.get, contents), metadata_of_each))
    return dict(zip(contents, inspections, strict=True))
