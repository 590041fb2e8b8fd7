"""What a picture shows, in a few numbers by which the same drawing is known again.

A drawing that was cut or padded differently has other bytes, other pixels and, since its place and scale in
the frame changed, other perceptual hashes. What stays is the ink: so the picture is cut to its ink first, and
rows of ink are compared as they are.
"""

from __future__ import annotations

import io
import struct
import warnings
from array import array
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, repeat
from typing import TYPE_CHECKING, cast

from zlib_ng import zlib_ng

if TYPE_CHECKING:
    from PIL.Image import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Bit depth 8, colour type 0 and no interlacing, as IHDR says it.
_PLAIN_GREY = b"\x08\0\0\0\0"
_INFLATE_ERROR = cast("type[Exception]", zlib_ng.error)  # its stub declares an instance
# Deflate's longest stored block, and what stands before one: whether it is the last, its length, and that inverted.
_STORED = 0xFFFF
_BLOCK = struct.Struct("<BHH")
# Larger pictures are not turned into pixels: a bomb would cost memory, and no drawing is that large.
MAX_PIXELS = 4_000_000
_SHAPE = (16, 16)
# What is nearer to the background than this share of the blackest ink is no ink.
_INK_SHARE = 0.4
# Any picture with haze has some of these shades; looking for all would cost more than it tells.
_FAINT = tuple(bytes((shade,)) for shade in (2, 5, 9, 14, 20, 28))
# One row in four is remembered.
_UNSAMPLED = 3
_MAX_ROWS = 64
_MIN_ROW_PIXELS = 8


@dataclass(frozen=True, slots=True)
class Features:
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


def features_of(content: bytes, width: int | None, height: int | None) -> Features | None:
    """Features of an image file; None where Pillow can't load it or it is larger than `MAX_PIXELS`.

    Args:
        content: The file, which is known to be read by TensorFlow.
        width: Pixels, as the file's header says.
        height: Likewise.
    """
    picture = picture_of(content, width, height)
    return None if picture is None else features_of_picture(picture)


def picture_of(content: bytes, width: int | None, height: int | None) -> Image | None:
    """The loaded picture that `features_of` looks at; arguments and None as there."""
    if not width or not height or width * height > MAX_PIXELS:
        return None
    return _plain_png(content) or _load(content)


def features_of_picture(picture: Image) -> Features | None:
    """Features of a loaded picture; None where Pillow can't turn it into greys."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _features(_grey(picture))
    except Exception:  # as in _load
        return None


def is_opaque(picture: Image) -> bool:
    """Whether no pixel of it lets anything through."""
    if picture.mode not in ("RGBA", "LA"):
        if "transparency" not in picture.info:
            return True
        picture = picture.convert("RGBA")
    return picture.getchannel("A").getextrema() == (255, 255)


def _plain_png(content: bytes) -> Image | None:
    """The grey values of the commonest kind of PNG, 8 bits a pixel; None for any other, and for any doubt.

    Pillow's decoder alone takes two thirds of the time that it takes behind `Image.open`.
    """
    if not content.startswith(_SIGNATURE) or content[24:29] != _PLAIN_GREY:
        return None
    from PIL import Image

    width, height = struct.unpack_from(">II", content, 16)
    if width * height > MAX_PIXELS:
        return None
    rows, place = [], 33
    while len(head := content[place : place + 8]) == 8:
        end = place + 8 + int.from_bytes(head[:4], "big")
        if head[4:] == b"IDAT":
            rows.append(content[place + 8 : end])
        elif rows:
            break
        elif head[4:] == b"tRNS":
            return None
        place = end + 4
    size = (width + 1) * height
    try:
        inflated = zlib_ng.decompressobj(15).decompress(b"".join(rows), size)
        return Image.frombytes("L", (width, height), _stored(inflated), "zip", "L", 0)
    except (ValueError, OSError, _INFLATE_ERROR):  # fewer rows than there should be, or a broken stream
        return None


def _stored(rows: bytes) -> bytes:
    """A zlib stream that only stores: Pillow's wheels for Linux inflate with the system's zlib, four times as slow."""
    pieces = [b"\x78\x01"]
    for at in range(0, len(rows), _STORED):
        piece = rows[at : at + _STORED]
        pieces += (_BLOCK.pack(at + _STORED >= len(rows), len(piece), len(piece) ^ 0xFFFF), piece)
    return b"".join((*pieces, zlib_ng.adler32(rows).to_bytes(4, "big")))


def _load(content: bytes) -> Image | None:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image: Image.Image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "GIF", "BMP"))
            if image.size[0] * image.size[1] > MAX_PIXELS:
                return None
            image.load()
            return image
    except Exception:  # Pillow raises all sorts of things on odd files; then there are no features
        return None


def _grey(image: Image) -> Image:
    """The picture as grey values, without its transparency, as TensorFlow would take it."""
    from PIL import Image

    if image.mode == "L":
        return image
    if image.mode.startswith("I;16"):
        upper = image.tobytes()[1 - image.mode.endswith("B") :: 2]
        return Image.frombytes("L", image.size, upper)
    return (image if image.mode in ("1", "RGB") else image.convert("RGB")).convert("L")


def _features(image: Image) -> Features:
    from PIL.Image import Resampling

    ink = _ink(image)
    box = ink.getbbox()
    if box is None:
        return Features(*image.size, ink_pixels=0)
    cut, pixels = _without_haze(ink.crop(box))
    blocks = cut.resize(_SHAPE, Resampling.BOX).tobytes()
    mean = sum(blocks) / len(blocks)
    digest = sha256(blocks + repr((cut.size, zlib_ng.crc32(pixels))).encode()).hexdigest()
    above = 256 - int(mean) - 1
    return Features(
        *image.size,
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
    rows = [*chain.from_iterable(struct.iter_unpack(f"{width}s", pixels))]
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
