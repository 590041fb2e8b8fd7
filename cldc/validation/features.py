"""What a picture shows, in a few numbers by which the same drawing is known again.

A drawing that was cut or padded differently has other bytes, other pixels and, since its place and scale in
the frame changed, other perceptual hashes. What stays is the ink: so the picture is cut to its ink first, and
rows of ink are compared as they are.
"""

from __future__ import annotations

import struct
from array import array
from hashlib import sha256
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from zlib_ng import zlib_ng

from cldc.validation.pictures import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

_SHAPE = (16, 16)
# What is nearer to the background than this share of the blackest ink is no ink.
_INK_SHARE = 0.4
# Any picture with haze has some of these shades; looking for all would cost more than it tells.
_FAINT = tuple(bytes((shade,)) for shade in (2, 5, 9, 14, 20, 28))
# One row in four is remembered.
_UNSAMPLED = 3
_MAX_ROWS = 64
_MIN_ROW_PIXELS = 8


class Features(NamedTuple):
    """A picture's features; the last six are empty or 0 where there is no ink.

    Attributes:
        width: Pixels.
        height: Pixels.
        ink_pixels: How much ink there is, in pixels of full contrast.
        ink_box: Width and height in pixels of the part that holds all ink.
        ink: Hash of that part: equal for the same drawing with other margins.
        blocks: That part scaled to 16 x 16 pixels, a byte each, 0 for no ink.
        shape: Which of these 256 are inkier than their mean, as bits.
        rows: Sampled hashes of four rows of ink on end, four bytes each, the first through more than one stroke:
            shared by pictures that show a part of the same drawing, pixel for pixel.
    """

    width: int
    height: int
    ink_pixels: int
    ink_box: tuple[int, int] = (0, 0)
    ink: str = ""
    blocks: bytes = b""
    shape: int = 0
    rows: bytes = b""

    @property
    def row_hashes(self) -> memoryview[int]:
        """`rows` as numbers."""
        return memoryview(self.rows).cast("I")


def features_of_picture(picture: Picture) -> Features | None:
    """Features of a picture; None where Pillow can't do what that takes."""
    try:
        return _features(picture.grey, picture.size)
    except Exception:  # Pillow raises all sorts of things on odd pictures
        return None


def _features(image: Image, size: tuple[int, int]) -> Features:
    from PIL.Image import Resampling

    ink = _ink(image)
    box = ink.getbbox()
    if box is None:
        return Features(*size, ink_pixels=0)
    cut, pixels = _without_haze(ink.crop(box))
    blocks = cut.resize(_SHAPE, Resampling.BOX).tobytes()
    mean = sum(blocks) / len(blocks)
    digest = sha256(blocks + repr((cut.size, zlib_ng.crc32(pixels))).encode()).hexdigest()
    above = 256 - int(mean) - 1
    return Features(
        *size,
        ink_pixels=max(round(mean / 255 * len(pixels)), 1),
        ink_box=cut.size,
        ink=digest[:32],
        blocks=blocks,
        shape=int(blocks.translate(b"0" * (256 - above) + b"1" * above), 2),
        rows=_rows(pixels, cut.width),
    )


def _without_haze(cut: Image) -> tuple[Image, bytes]:
    """Ink and its bytes without the faint pixels that noise, blur and JPEG put around it."""
    pixels = cut.tobytes()
    if not any(faint in pixels for faint in _FAINT):
        return cut, pixels
    least = _INK_SHARE * cut.getextrema()[1]  # type: ignore[operator]
    clear = cut.point([v if v >= least else 0 for v in range(256)])
    clear = clear.crop(clear.getbbox() or (0, 0, *clear.size))
    return clear, clear.tobytes()


def _ink(image: Image) -> Image:
    """The picture with its background 0. A flat background is known by its corners."""
    from PIL import ImageChops

    at = image.load()
    right, low = image.width - 1, image.height - 1
    corners = {at[0, 0], at[right, 0], at[0, low], at[right, low]} if at else set()
    if corners == {255}:
        return ImageChops.invert(image)
    if corners == {0}:
        return image
    counts = image.histogram()
    background = counts.index(max(counts))
    shades = [shade for shade, count in enumerate(counts) if count]
    least = _INK_SHARE * max(abs(shade - background) for shade in shades)
    return image.point(
        [abs(v - background) if abs(v - background) >= max(least, 1) else 0 for v in range(256)]
    )


def _rows(pixels: bytes, width: int) -> bytes:
    rows = struct.unpack(f"{width}s" * (len(pixels) // width), pixels)
    ink = [*map(bytes.strip, rows, repeat(b"\0"))]
    lengths = [*map(len, ink)][:-3]
    # Sampled by how wide their ink is, so that the same rows are taken wherever they lie in two pictures. Rows
    # through a single stroke are alike in too many drawings: every bar has some of another's widths.
    found = {
        zlib_ng.crc32(b"|".join(ink[at : at + 4]))
        for at, length in enumerate(lengths)
        if not length & _UNSAMPLED and length >= _MIN_ROW_PIXELS and b"\0" in ink[at]
    }
    return array("I", sorted(found)[:_MAX_ROWS]).tobytes()
