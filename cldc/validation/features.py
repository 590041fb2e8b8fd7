"""A few numbers about a picture by which the same drawing is recognised in another picture.

A drawing that was cropped or padded differently has other bytes, other pixels and, since its place and scale in
the frame changed, other perceptual hashes. Its ink stays the same: so the picture is cropped to its ink, and
rows of ink are compared as they are.
"""

from __future__ import annotations

import struct
from array import array
from hashlib import sha256
from itertools import repeat

from PIL import ImageChops
from PIL.Image import Image, Resampling
from zlib_ng import zlib_ng

from cldc.validation.inspection_result import Features
from cldc.validation.pictures import Picture

_SHAPE = (16, 16)
# Shades closer to the background than this share of the blackest ink are not ink.
_INK_SHARE = 0.4
# Any picture with haze has some of these shades; searching for all would cost more than it is worth.
_FAINT = tuple(bytes((shade,)) for shade in (2, 5, 9, 14, 20, 28))
# One row in four is remembered.
_UNSAMPLED = 3
_MAX_ROWS = 64
_MIN_ROW_PIXELS = 8
# A picture of more pixels is a photo of a drawing.
_PHOTO_PIXELS = 1 << 20
_BLACKEST = b"\xff"
_PALE = 128
# A photo's sides are examined in bands of this share of it. Bands of solid ink are cut off, up to a third; along the
# remaining sides, this share may be ink.
_BANDS = 64
_MOST_BANDS = 21
_SOLID = 0.98
_MOST_ALONG_SIDES = 0.1


def features_of_picture(picture: Picture) -> Features | None:
    """Compute a picture's features; None if Pillow fails, or if the drawing does not stand out from the rest."""
    try:
        corners = _corners(picture.grey)
        ink: Image | None = _ink(picture.grey, corners)
        large = picture.reduced or picture.size[0] * picture.size[1] > _PHOTO_PIXELS
        if ink and large and len(corners) > 1:
            ink = _without_surroundings(ink)
        return _features(ink, picture.size) if ink else None
    except Exception:  # Pillow raises all sorts of things on odd pictures
        return None


def _features(ink: Image, size: tuple[int, int]) -> Features:
    box = ink.getbbox()
    if box is None:
        return Features(*size, ink_pixels=0)
    cut, pixels = _without_haze(ink.crop(box))
    contrast: int = 255 if _BLACKEST in pixels else cut.getextrema()[1]  # type: ignore[assignment]
    # Pale ink is made black first, or the few shades of its blocks would be too coarse to compare.
    pale = contrast < _PALE
    black = cut.point([min(255, v * 255 // contrast) for v in range(256)]) if pale else cut
    blocks = black.resize(_SHAPE, Resampling.BOX).tobytes()
    mean = sum(blocks) / len(blocks)
    digest = sha256(blocks + repr((cut.size, zlib_ng.crc32(pixels))).encode()).hexdigest()
    above = 256 - int(mean) - 1
    return Features(
        *size,
        ink_pixels=max(round(mean / 255 * (contrast / 255 if pale else 1) * len(pixels)), 1),
        ink_box=cut.size,
        ink=digest[:32],
        contrast=contrast,
        blocks=blocks,
        shape=int(blocks.translate(b"0" * (256 - above) + b"1" * above), 2),
        rows=_rows(pixels, cut.width),
    )


def _without_haze(cut: Image) -> tuple[Image, bytes]:
    """Return the ink, and its bytes, without the faint pixels that noise, blur and JPEG add around it."""
    pixels = cut.tobytes()
    if not any(faint in pixels for faint in _FAINT):
        return cut, pixels
    least = _INK_SHARE * cut.getextrema()[1]  # type: ignore[operator]
    clear = cut.point([v if v >= least else 0 for v in range(256)])
    clear = clear.crop(clear.getbbox() or (0, 0, *clear.size))
    return clear, clear.tobytes()


def _corners(image: Image) -> set[object]:
    """Return the shades of the corners: only one if the background is flat."""
    at = image.load()
    right, low = image.width - 1, image.height - 1
    return {at[0, 0], at[right, 0], at[0, low], at[right, low]} if at else set()


def _ink(image: Image, corners: set[object]) -> Image:
    """Return the picture with a background of 0."""
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


def _without_surroundings(ink: Image) -> Image | None:
    """Remove from a photo's ink what fills whole sides, such as a table; None if more runs along the sides.

    Otherwise photos of different drawings on one table would share most of their ink.
    """
    box = [0, 0, *ink.size]
    for side in range(4):  # left, top, right, bottom
        for number in range(_MOST_BANDS):
            band = _band(box, side)
            solid = _inked(ink.crop(band)) >= _SOLID
            if solid or number:  # the last one is in part what was cut off
                box[side] = band[(side + 2) % 4]
            if not solid:
                break
    cut = ink.crop((box[0], box[1], box[2], box[3]))
    whole = [0, 0, *cut.size]
    along = [_inked(cut.crop(_band(whole, side))) for side in range(4)]
    return cut if sum(along) / len(along) <= _MOST_ALONG_SIDES else None


def _band(box: list[int], side: int) -> tuple[int, int, int, int]:
    """Return the part of ``box`` along one side."""
    width = max(1, (box[side % 2 + 2] - box[side % 2]) // _BANDS)
    left, top, right, low = box
    return (
        (left, top, left + width, low),
        (left, top, right, top + width),
        (right - width, top, right, low),
        (left, low - width, right, low),
    )[side]


def _inked(part: Image) -> float:
    """Return the share of pixels that are ink."""
    return 1 - part.histogram()[0] / (part.width * part.height)


def _rows(pixels: bytes, width: int) -> bytes:
    rows = struct.unpack(f"{width}s" * (len(pixels) // width), pixels)
    ink = [*map(bytes.strip, rows, repeat(b"\0"))]
    lengths = [*map(len, ink)][:-3]
    # Sampled by how wide their ink is, so that the same rows are taken wherever they lie in two pictures. Rows
    # through a single stroke are similar in too many drawings: every bar has some of another's widths.
    found = {
        zlib_ng.crc32(b"|".join(ink[at : at + 4]))
        for at, length in enumerate(lengths)
        if not length & _UNSAMPLED and length >= _MIN_ROW_PIXELS and b"\0" in ink[at]
    }
    return array("I", sorted(found)[:_MAX_ROWS]).tobytes()
