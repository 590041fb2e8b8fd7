"""Load a file's picture for comparing drawings; the verdict on the file does not need one.

Unfiltering a PNG's rows takes longest in a check, and most drawings have wide margins. So for the commonest kind of PNG
Pillow unfilters the rows that were inflated for the verdict, without the margins above and below.
"""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image
from zlib_ng import zlib_ng

from cldc.validation.inspection_result import MAX_PIXELS
from cldc.validation.tensorflow_decoder import Remark, Verdict

# Bit depth 8, colour type 0 and no interlacing, as IHDR says it.
_PLAIN_GREY = b"\x08\0\0\0\0"
FORMATS = ("PNG", "JPEG", "GIF", "BMP")
# Deflate's longest stored block, and a block's header: whether it is the last, its length, and that inverted.
_STORED = 0xFFFF
_BLOCK = struct.Struct("<BHH")

_NONE, _SUB, _UP, _PAETH = b"\0", b"\1", b"\2", b"\4"
# This many rows are compared at once, then single ones.
_AT_ONCE = 16
_WHITE, _BLACK = b"\xff", b"\0"


class Picture(NamedTuple):
    """A loaded picture.

    Attributes:
        size: Width and height in pixels, as the file has them or as it was reduced.
        grey: The pixels as TensorFlow would take them, without transparency, as greys; of a margin above or below, all
            of one row that is white or black, one row is left.
        opaque: Whether no pixel lets anything through.
        reduced: Whether it had more than `MAX_PIXELS`.
    """

    size: tuple[int, int]
    grey: Image.Image
    opaque: bool = True
    reduced: bool = False


def picture_of(content: bytes, verdict: Verdict) -> Picture | None:
    """Load a file that TensorFlow reads as a picture of at most `MAX_PIXELS`; None if Pillow can't load it."""
    if not verdict.width or not verdict.height:
        return None
    rows, size = verdict.rows, (verdict.width, verdict.height)
    if rows and content[24:29] == _PLAIN_GREY and Remark.ALPHA_DROPPED not in verdict.remarks:
        return Picture(size, _without_margins(rows, *size) or _unfiltered(rows, *size))
    try:
        with opened(content) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            image.load()
            return Picture(size, as_grey(image), is_opaque(image))
    except Exception:  # Pillow raises all sorts of things on odd files; then there is no picture
        return None


@contextlib.contextmanager
def opened(content: bytes, formats: tuple[str, ...] = FORMATS) -> Iterator[Image.Image]:
    """Open a file with Pillow, silently: its warnings are about what `judge` decides."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content), formats=formats) as image:
            yield image


def is_opaque(picture: Image.Image) -> bool:
    """Check that no pixel is transparent."""
    if picture.mode not in ("RGBA", "LA"):
        if "transparency" not in picture.info:
            return True
        picture = picture.convert("RGBA")
    return picture.getchannel("A").getextrema() == (255, 255)


def _without_margins(rows: bytes, width: int, height: int) -> Image.Image | None:
    """Crop the margins above and below; None unless it has some, and all corners are of their shade."""
    shade, stride = rows[1:2], width + 1
    if shade not in (_WHITE, _BLACK):
        return None
    plain = _SUB + shade + bytes(width - 1)
    # A row of zeros repeats the one above it.
    flat = (plain, _UP + bytes(width), _NONE + shade * width, _PAETH + bytes(width))
    top, end = 0, len(rows)
    first_is_flat = rows.startswith((plain, flat[2]))
    for several in (_AT_ONCE, 1):
        step, repeated = several * stride, tuple(row * several for row in flat)
        while first_is_flat and rows.startswith(repeated, top):
            top += step
        while end - step >= top and rows.startswith(repeated, end - step):
            end -= step
    # One row of each margin stays.
    kept = rows[top : end + stride]
    if top:
        kept = plain + kept
    count = len(kept) // stride
    if count == height:
        return None
    picture = _unfiltered(kept, width, count)
    at, right, low = picture.load(), width - 1, count - 1
    if not at or {at[0, 0], at[right, 0], at[0, low], at[right, low]} != {*shade}:
        return None
    if end < len(rows) and not rows.startswith((plain, flat[2]), end):
        # The rows below repeat this one, which need not be of a margin.
        return None if picture.crop((0, low, width, count)).tobytes().strip(shade) else picture
    return picture


def _unfiltered(rows: bytes, width: int, height: int) -> Image.Image:
    return Image.frombytes("L", (width, height), stored(rows), "zip", "L", 0)


def stored(rows: bytes) -> bytes:
    """Store rows uncompressed in a zlib stream: Pillow's Linux wheels inflate with the slow system zlib."""
    pieces = [b"\x78\x01"]
    for at in range(0, len(rows), _STORED):
        piece = rows[at : at + _STORED]
        pieces += (_BLOCK.pack(at + _STORED >= len(rows), len(piece), len(piece) ^ 0xFFFF), piece)
    return b"".join((*pieces, zlib_ng.adler32(rows).to_bytes(4, "big")))


def as_grey(image: Image.Image) -> Image.Image:
    """Convert a picture to mode L without transparency, as TensorFlow would."""
    if image.mode == "L":
        return image
    if image.mode.startswith("I;16"):
        upper = image.tobytes()[1 - image.mode.endswith("B") :: 2]
        return Image.frombytes("L", image.size, upper)
    return (image if image.mode in ("1", "RGB") else image.convert("RGB")).convert("L")
