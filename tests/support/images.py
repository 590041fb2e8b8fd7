"""Images byte by byte: what Pillow writes, and the pieces of a PNG."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def saved(picture: Image.Image, form: str, **options: object) -> bytes:
    """What Pillow writes."""
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk with the right checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def ihdr(width: int, height: int, depth: int = 8, colour: int = 0) -> bytes:
    """Signature and IHDR."""
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def filtered_rows(pixels: bytes, stride: int, filters: Sequence[int], distance: int = 1) -> bytes:
    """Rows as PNG's filters 0 to 4 write them (PNG specification, 9.2), one after the other.

    Args:
        pixels: All rows, each of ``stride`` bytes.
        filters: The filter of each row; they are taken again from the first.
        distance: Bytes from a pixel to the next.
    """
    above, rows = bytes(stride), bytearray()
    for number in range(len(pixels) // stride):
        row, kind = pixels[number * stride : (number + 1) * stride], filters[number % len(filters)]
        rows.append(kind)
        for at, value in enumerate(row):
            left, corner = (row[at - distance], above[at - distance]) if at >= distance else (0, 0)
            up = above[at]
            near = min((left, up, corner), key=lambda one: abs(left + up - corner - one))
            rows.append((value - (0, left, up, (left + up) // 2, near)[kind]) % 256)
        above = row
    return bytes(rows)
