"""Reduce large pictures while they are decoded, so that they can be compared in bounded memory.

libjpeg decodes a JPEG at a half, a quarter or an eighth of its size, and a PNG is decoded in strips of a few rows. Other
pictures are decoded in full if that fits, and reduced strip by strip.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from zlib_ng import zlib_ng

from cldc.validation.inspection_result import MAX_PIXELS
from cldc.validation.metadata.png import chunk
from cldc.validation.pictures import FORMATS, Picture, as_grey, is_opaque, opened, stored
from cldc.validation.tensorflow_decoder import Format, Verdict, judge
from cldc.validation.tensorflow_decoder.jpeg_markers import MarkerReader
from cldc.validation.tensorflow_decoder.png_header import SAMPLES, SIGNATURE

MOST_PIXELS = 178_956_970
"""Larger pictures are not decoded; Pillow refuses from twice `Image.MAX_IMAGE_PIXELS` on."""

_MOST_BYTES = 42_000_000
"""The most bytes of a picture that a decoder may hold at once."""

_VIEWABLE = (*FORMATS, "WEBP", "TIFF")

STRIP_BYTES = 1 << 20
"""About how many bytes of a picture are decoded at once."""

_MOST_STRIP_BYTES = 1 << 22
_PIECE = 1 << 16
_LENGTH = struct.Struct(">I")
# The mode of pixels by their number of bytes.
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_BYTES_A_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}


def reduced_picture(content: bytes, verdict: Verdict) -> Picture | None:
    """Reduce a picture that TensorFlow reads to at most `MAX_PIXELS`; None if that is not possible."""
    width, height = verdict.width or 0, verdict.height or 0
    if width * height > MOST_PIXELS:
        return None
    try:
        if verdict.format is Format.PNG and not content[28]:
            depth, colour = content[24], content[25]
            # The distance in bytes between a byte and the one that the PNG's filters compare it with.
            distance = max(1, depth * SAMPLES[colour, depth] // 8)
            if distance in _MODES:
                factor = _factor(width, height)
                strips = _strips_of_png(content, width, height, distance, factor)
                return _assembled(strips, width, height, factor)
        with opened(content) as image:
            held = 0
            if isinstance(image, JpegImageFile):
                held = coefficient_bytes(content)
                factor = _factor(*image.size)
                image.draft("L", (max(1, image.width // factor), max(1, image.height // factor)))
            if held + image.width * image.height * _BYTES_A_PIXEL.get(image.mode, 4) > _MOST_BYTES:
                return None
            image.load()
            factor = _factor(*image.size)
            rows = _rows_at_once(4 * image.width, factor)
            strips = (
                image.crop((0, top, image.width, min(top + rows, image.height)))
                for top in range(0, image.height, rows)
            )
            return _assembled(strips, *image.size, factor)
    except Exception:  # Pillow raises all sorts of things on odd files; then there is no picture
        return None


def viewable_picture(content: bytes) -> Image.Image | None:
    """Return a picture to show to people, in mode L or RGB, without transparency; None if it has too many pixels.

    It may be in a format that TensorFlow does not read. Raises whatever Pillow raises if it can't be decoded.
    """
    with opened(content, _VIEWABLE) as image:
        if image.width * image.height > MAX_PIXELS:
            reduced = reduced_picture(content, judge(content))
            return reduced.grey if reduced else None
        if image.mode in ("1", "L") or image.mode.startswith("I;16"):
            return as_grey(image).convert("L")
        return image.convert("RGB")


def _factor(width: int, height: int) -> int:
    """Return the factor that reduces both sides enough for `MAX_PIXELS`."""
    return next(f for f in itertools.count(1) if -(-width // f) * -(-height // f) <= MAX_PIXELS)


def _rows_at_once(row_bytes: int, factor: int) -> int:
    if row_bytes * factor > _MOST_STRIP_BYTES:
        raise ValueError("a strip of this picture would take too much memory")
    return max(1, STRIP_BYTES // (row_bytes * factor)) * factor


def _assembled(strips: Iterator[Image.Image], width: int, height: int, factor: int) -> Picture:
    """Join reduced strips to one picture; all but the last are a multiple of ``factor`` high."""
    grey = Image.new("L", (-(-width // factor), -(-height // factor)))
    top, opaque = 0, True
    for strip in strips:
        part = as_grey(strip).reduce(factor)
        grey.paste(part, (0, top))
        top += part.height
        opaque = opaque and is_opaque(strip)
    return Picture(grey.size, grey, opaque, reduced=True)


def coefficient_bytes(content: bytes) -> int:
    """Return how many bytes libjpeg needs for a JPEG of several scans before it returns the first row."""
    reader = MarkerReader(content)
    reader.read()
    frame, scan = reader.tables.frame, reader.tables.scan
    if not frame or not scan or not (frame.progressive or len(scan.components) < len(frame.components)):
        return 0
    whole = max(c.horizontal for c in frame.components) * max(c.vertical for c in frame.components)
    parts = sum(c.horizontal * c.vertical for c in frame.components)
    return 2 * frame.width * frame.height * parts // whole


def _strips_of_png(
    content: bytes, width: int, height: int, distance: int, factor: int
) -> Iterator[Image.Image]:
    """Decode a PNG in strips of a few rows: Pillow reads a PNG of just these rows.

    A filter refers to the row above: so each strip is unfiltered below the last row of the one before it.
    """
    depth, colour = content[24], content[25]
    stride = (width * depth * SAMPLES[colour, depth] + 7) // 8
    rows = _rows_at_once(max(stride, 4 * width), factor)
    chunks = list(_chunks(content))
    colours = b"".join(chunk(kind, body) for kind, body in chunks if kind in (b"PLTE", b"tRNS"))
    inflated = _inflated(body for kind, body in chunks if kind == b"IDAT")
    above, mode, held = bytes(stride), _MODES[distance], bytearray()
    for top in range(0, height, rows):
        count = min(rows, height - top)
        while len(held) < count * (stride + 1):
            held += next(inflated)  # fails if the stream ends too soon
        filtered = b"\0" + above + held[: count * (stride + 1)]
        del held[: count * (stride + 1)]
        size = (stride // distance, count + 1)
        plain = Image.frombytes(mode, size, stored(filtered), "zip", mode, 0).tobytes()[stride:]
        above = plain[-stride:]
        header = struct.pack(">IIBBBBB", width, count, depth, colour, 0, 0, 0)
        unfiltered = b"".join([b"\0" + plain[at : at + stride] for at in range(0, len(plain), stride)])
        data = chunk(b"IDAT", stored(unfiltered))
        with opened(SIGNATURE + chunk(b"IHDR", header) + colours + data + chunk(b"IEND", b"")) as strip:
            yield strip


def _chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    view, position = memoryview(content), len(SIGNATURE)
    while position + 8 <= len(content):
        (length,) = _LENGTH.unpack_from(content, position)
        yield content[position + 4 : position + 8], view[position + 8 : position + 8 + length]
        position += length + 12


def _inflated(pieces: Iterator[memoryview]) -> Iterator[bytes]:
    """Inflate the pieces of a zlib stream, at most `_PIECE` at a time."""
    inflater = zlib_ng.decompressobj()
    for piece in pieces:
        # Short inputs, since what is not inflated of one is copied each time.
        for at in range(0, len(piece), _PIECE):
            waiting: bytes | memoryview = piece[at : at + _PIECE]
            while part := inflater.decompress(waiting, _PIECE):
                yield part
                waiting = inflater.unconsumed_tail
