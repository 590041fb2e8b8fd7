"""Pictures of many pixels, reduced while they are decoded: they are compared like others, in bounded memory.

libjpeg decodes a JPEG at a half, a quarter or an eighth of its size, and a PNG is decoded in strips of a few rows. Other
pictures are decoded in full where that fits, and reduced strip by strip.
"""

from __future__ import annotations

import io
import itertools
import struct
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from zlib_ng import zlib_ng

from cldc.validation.pictures import FORMATS, MAX_PIXELS, Picture, as_grey, is_opaque, stored
from cldc.validation.tensorflow_decoder import Format, Verdict
from cldc.validation.tensorflow_decoder.png_header import SAMPLES, SIGNATURE

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.JpegImagePlugin import JpegImageFile

MOST_PIXELS = 178_956_970
"""A picture of more is not decoded; from twice `PIL.Image.MAX_IMAGE_PIXELS` on Pillow refuses to."""

_MOST_BYTES = 42_000_000
"""What a decoder may hold of a picture at once."""

_STRIP_BYTES = 1 << 20
_MOST_STRIP_BYTES = 1 << 22
_PIECE = 1 << 16
_LENGTH = struct.Struct(">I")
# By how many bytes lie between a byte and the one that a PNG's filters compare it with, a mode of such pixels.
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_BYTES_A_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}


class _TooLargeError(Exception):
    """Decoding it would take too much memory."""


def reduced_picture(content: bytes, verdict: Verdict) -> Picture | None:
    """A picture that TensorFlow reads, reduced to at most `MAX_PIXELS`; None where that is not possible.

    Args:
        content: The file.
        verdict: What the judge says of it, with the size.
    """
    width, height = verdict.width or 0, verdict.height or 0
    if width * height > MOST_PIXELS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if verdict.format is Format.PNG and (distance := _filter_distance(content)) in _MODES:
                factor = _factor(width, height)
                strips = _strips_of_png(content, width, height, distance, factor)
                return _assembled(strips, width, height, factor)
            image = _decoded(content, verdict)
            factor = _factor(*image.size)
            return _assembled(_strips_of(image, factor), *image.size, factor)
    except Exception:  # Pillow raises all sorts of things on odd files; then there is no picture
        return None


def _factor(width: int, height: int) -> int:
    """By how much to reduce both sides for `MAX_PIXELS`."""
    return next(f for f in itertools.count(1) if -(-width // f) * -(-height // f) <= MAX_PIXELS)


def _assembled(strips: Iterator[Image], width: int, height: int, factor: int) -> Picture:
    """The reduced picture of strips; all but the last are a multiple of ``factor`` high."""
    import PIL.Image

    grey = PIL.Image.new("L", (-(-width // factor), -(-height // factor)))
    top, opaque = 0, True
    for strip in strips:
        part = as_grey(strip).reduce(factor)
        grey.paste(part, (0, top))
        top += part.height
        opaque = opaque and is_opaque(strip)
    return Picture(grey.size, grey, opaque, reduced=True)


def _rows_at_once(row_bytes: int, factor: int) -> int:
    if row_bytes * factor > _MOST_STRIP_BYTES:
        raise _TooLargeError
    return max(1, _STRIP_BYTES // (row_bytes * factor)) * factor


def _strips_of(image: Image, factor: int) -> Iterator[Image]:
    rows = _rows_at_once(4 * image.width, factor)
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def _decoded(content: bytes, verdict: Verdict) -> Image:
    """The picture as Pillow decodes it, a JPEG smaller where libjpeg can reduce it."""
    import PIL.Image

    image: Image = PIL.Image.open(io.BytesIO(content), formats=FORMATS)
    held = 0
    if verdict.format is Format.JPEG:
        held = _coefficient_bytes(content)
        factor = _factor(*image.size)
        jpeg: JpegImageFile = image  # type: ignore[assignment]
        jpeg.draft("L", (max(1, image.width // factor), max(1, image.height // factor)))
    if held + image.width * image.height * _BYTES_A_PIXEL.get(image.mode, 4) > _MOST_BYTES:
        raise _TooLargeError
    image.load()
    return image


def _coefficient_bytes(content: bytes) -> int:
    """What libjpeg holds of a JPEG that has several scans before it gives out the first row."""
    from cldc.validation.tensorflow_decoder.jpeg_input import Input
    from cldc.validation.tensorflow_decoder.jpeg_markers import MarkerReader

    reader = MarkerReader(Input(content))
    reader.first_marker()
    reader.read()
    frame, scan = reader.tables.frame, reader.tables.scan
    if not frame or not scan or not (frame.progressive or len(scan.components) < len(frame.components)):
        return 0
    whole = max(c.horizontal for c in frame.components) * max(c.vertical for c in frame.components)
    parts = sum(c.horizontal * c.vertical for c in frame.components)
    return 2 * frame.width * frame.height * parts // whole


def _filter_distance(content: bytes) -> int:
    """Bytes from one that a PNG's filters compare to the other; 0 where its rows do not follow each other."""
    depth, colour, interlaced = content[24], content[25], content[28]
    return 0 if interlaced else max(1, depth * SAMPLES[colour, depth] // 8)


def _strips_of_png(content: bytes, width: int, height: int, distance: int, factor: int) -> Iterator[Image]:
    """A PNG's rows in pictures of a few, each made by Pillow from a PNG of these rows alone.

    A filter refers to the row above: so each strip is unfiltered below the last row of the one before it.
    """
    import PIL.Image

    depth, colour = content[24], content[25]
    stride = (width * depth * SAMPLES[colour, depth] + 7) // 8
    rows = _rows_at_once(max(stride, 4 * width), factor)
    chunks = list(_chunks(content))
    colours = b"".join(_chunk(kind, body) for kind, body in chunks if kind in (b"PLTE", b"tRNS"))
    inflated = _Inflated(body for kind, body in chunks if kind == b"IDAT")
    above, mode = bytes(stride), _MODES[distance]
    for top in range(0, height, rows):
        count = min(rows, height - top)
        filtered = b"\0" + above + inflated.read(count * (stride + 1))
        size = (stride // distance, count + 1)
        plain = PIL.Image.frombytes(mode, size, stored(filtered), "zip", mode, 0).tobytes()[stride:]
        above = plain[-stride:]
        header = struct.pack(">IIBBBBB", width, count, depth, colour, 0, 0, 0)
        unfiltered = b"".join([b"\0" + plain[at : at + stride] for at in range(0, len(plain), stride)])
        parts = (
            SIGNATURE,
            _chunk(b"IHDR", header),
            colours,
            _chunk(b"IDAT", stored(unfiltered)),
            _chunk(b"IEND", b""),
        )
        yield PIL.Image.open(io.BytesIO(b"".join(parts)), formats=("PNG",))


def _chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    view, position = memoryview(content), len(SIGNATURE)
    while position + 8 <= len(content):
        (length,) = _LENGTH.unpack_from(content, position)
        yield content[position + 4 : position + 8], view[position + 8 : position + 8 + length]
        position += length + 12


def _chunk(kind: bytes, body: bytes | memoryview) -> bytes:
    checked = kind + body
    return _LENGTH.pack(len(body)) + checked + _LENGTH.pack(zlib_ng.crc32(checked))


class _Inflated:
    """What the pieces of a zlib stream inflate to, as much at a time as is asked for."""

    def __init__(self, pieces: Iterator[memoryview]) -> None:
        self._inflater = zlib_ng.decompressobj()
        # Short ones: what is not inflated of one is copied each time.
        self._pieces = (piece[at : at + _PIECE] for piece in pieces for at in range(0, len(piece), _PIECE))
        self._input: bytes | memoryview = b""

    def read(self, count: int) -> bytes:
        """So many bytes; raises ValueError where there are fewer."""
        parts = []
        while count:
            part = self._inflater.decompress(self._input, count)
            self._input = self._inflater.unconsumed_tail
            if not part and not self._input:
                self._input = next(self._pieces, b"")
                if not self._input:
                    raise ValueError("the stream ends before the last row")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)
