"""Load a file's picture for comparing drawings; the verdict on the file does not need one.

For the commonest kind of PNG Pillow only unfilters the rows that were inflated for the verdict, which halves the time.
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

from cldc.validation.inspection import MAX_PIXELS
from cldc.validation.tensorflow_decoder import Remark, Verdict

# Bit depth 8, colour type 0 and no interlacing, as IHDR says it.
_PLAIN_GREY = b"\x08\0\0\0\0"
FORMATS = ("PNG", "JPEG", "GIF", "BMP")
# Deflate's longest stored block, and what stands before one: whether it is the last, its length, and that inverted.
_STORED = 0xFFFF
_BLOCK = struct.Struct("<BHH")


class Picture(NamedTuple):
    """A loaded picture.

    Attributes:
        size: Width and height in pixels, as the file has them or as it was reduced.
        grey: The pixels as TensorFlow would take them, without transparency, as greys.
        opaque: Whether no pixel lets anything through.
        reduced: Whether it had more than `MAX_PIXELS`.
    """

    size: tuple[int, int]
    grey: Image.Image
    opaque: bool = True
    reduced: bool = False


def picture_of(content: bytes, verdict: Verdict) -> Picture | None:
    """The picture of a file that TensorFlow reads, of at most `MAX_PIXELS`; None if Pillow can't load it."""
    if not verdict.width or not verdict.height:
        return None
    size = verdict.width, verdict.height
    if verdict.rows and content[24:29] == _PLAIN_GREY and Remark.ALPHA_DROPPED not in verdict.remarks:
        return Picture(size, Image.frombytes("L", size, stored(verdict.rows), "zip", "L", 0))
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
    """A file as Pillow opens it, silently: its warnings are about what the judge knows better."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content), formats=formats) as image:
            yield image


def is_opaque(picture: Image.Image) -> bool:
    """Whether no pixel of it lets anything through."""
    if picture.mode not in ("RGBA", "LA"):
        if "transparency" not in picture.info:
            return True
        picture = picture.convert("RGBA")
    return picture.getchannel("A").getextrema() == (255, 255)


def stored(rows: bytes) -> bytes:
    """A zlib stream that only stores: Pillow's wheels for Linux inflate with the system's zlib, four times as slow."""
    pieces = [b"\x78\x01"]
    for at in range(0, len(rows), _STORED):
        piece = rows[at : at + _STORED]
        pieces += (_BLOCK.pack(at + _STORED >= len(rows), len(piece), len(piece) ^ 0xFFFF), piece)
    return b"".join((*pieces, zlib_ng.adler32(rows).to_bytes(4, "big")))


def as_grey(image: Image.Image) -> Image.Image:
    """The picture in mode L, as TensorFlow would take it, without transparency."""
    if image.mode == "L":
        return image
    if image.mode.startswith("I;16"):
        upper = image.tobytes()[1 - image.mode.endswith("B") :: 2]
        return Image.frombytes("L", image.size, upper)
    return (image if image.mode in ("1", "RGB") else image.convert("RGB")).convert("L")
