"""The values that libpng and TensorFlow accept in IHDR, and the names of the chunks they know."""

from __future__ import annotations

import struct
from typing import NamedTuple

from cldc.validation.tensorflow_decoder.verdict import RefusedError

SIGNATURE = b"\x89PNG\r\n\x1a\n"

DIMENSION_LIMIT = 1_000_000
"""`PNG_USER_WIDTH_MAX` and `PNG_USER_HEIGHT_MAX` of pnglibconf.h."""

PIXEL_LIMIT = 1 << 29
"""`DecodePngV2` refuses pictures from this many pixels on."""

_SAMPLES_BY_COLOUR = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS_BY_COLOUR = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
SAMPLES = {
    (colour, depth): _SAMPLES_BY_COLOUR[colour]
    for colour, depths in _DEPTHS_BY_COLOUR.items()
    for depth in depths
}
"""Samples a pixel of every colour type and depth that exists."""

KNOWN_ANCILLARY = frozenset(
    {b"bKGD", b"cHRM", b"eXIf", b"gAMA", b"hIST", b"iCCP", b"iTXt", b"oFFs", b"pCAL", b"pHYs"}
    | {b"sBIT", b"sCAL", b"sPLT", b"sRGB", b"tEXt", b"tIME", b"tRNS", b"zTXt"}
)
"""Chunks libpng 1.6.37 has a handler for; each demands that IHDR came before it."""

FILTERS = b"\x00\x01\x02\x03\x04"
"""The bytes that a row may begin with."""

_IHDR = struct.Struct(">IIBBBBB")
# x and y of the first pixel, and the steps, of Adam7's passes.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


class RowGroup(NamedTuple):
    """Rows of one length that follow each other in the inflated stream.

    Attributes:
        stride: Bytes a row, its filter byte included.
        rows: Number of rows.
    """

    stride: int
    rows: int


class Header(NamedTuple):
    """IHDR's fields, as far as they matter here."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    @property
    def samples(self) -> int:
        """Samples a pixel."""
        return SAMPLES[self.colour, self.depth]

    @property
    def groups(self) -> tuple[RowGroup, ...]:
        """The rows as they come: one group, or one for each pass that has pixels."""
        groups = []
        for x, y, step_x, step_y in _PASSES if self.interlaced else ((0, 0, 1, 1),):
            columns = (self.width - x + step_x - 1) // step_x
            rows = (self.height - y + step_y - 1) // step_y
            if columns > 0 and rows > 0:
                groups.append(RowGroup((columns * self.depth * self.samples + 7) // 8 + 1, rows))
        return tuple(groups)

    @property
    def longest_idat(self) -> int:
        """The longest IDAT `png_check_chunk_length` lets pass, in bytes."""
        factor = self.width * self.samples * (2 if self.depth > 8 else 1) + 1 + (6 if self.interlaced else 0)
        limit = 2**31 - 1 if self.height > (2**32 - 1) // factor else self.height * factor
        limit += 6 + 5 * (limit // min(factor, 32566) + 1)
        return min(limit, 2**31 - 1)


def read_header(body: bytes | memoryview) -> Header:
    """Read the header from the 13 bytes of IHDR.

    Raises:
        RefusedError: `png_check_IHDR` refuses it.
    """
    width, height, depth, colour, method, filters, interlace = _IHDR.unpack(body)
    if not 0 < width <= DIMENSION_LIMIT or not 0 < height <= DIMENSION_LIMIT:
        raise RefusedError(f"{width} x {height} pixels; libpng takes 1 to {DIMENSION_LIMIT}")
    if (colour, depth) not in SAMPLES:
        raise RefusedError(f"no such PNG: colour type {colour} with {depth} bits")
    if method or filters or interlace > 1:
        raise RefusedError("unknown compression, filter or interlace method")
    return Header(width, height, depth, colour, bool(interlace))
