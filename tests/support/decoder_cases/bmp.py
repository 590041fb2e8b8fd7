"""BMPs of every header, with sizes that fit and sizes that don't."""

from __future__ import annotations

import random
import struct

_BYTES = tuple(0xFF << 8 * number for number in range(4))
_MASKS = (
    (0xFF0000, 0xFF00, 0xFF, 0),
    (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
    (0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000),
    (0xF800, 0x7E0, 0x1F, 0),
    (0, 0, 0, 0),
)


def draw_bmp(rng: random.Random) -> bytes:
    """One BMP; about half of them are what TensorFlow takes."""
    width, height = rng.randrange(1, 12), rng.randrange(1, 12)
    bits = rng.choice((8, 24, 24, 32, 1, 4, 16))
    header = rng.choice((40, 40, 12, 52, 56, 108, 124))
    if header == 12:
        dib = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        top_down = rng.random() < 0.2
        compression = rng.choice((0, 0, 0, 1, 2, 3, 6))
        dib = struct.pack(
            "<IiiHHIIiiII",
            header,
            width,
            -height if top_down else height,
            1,
            bits,
            compression,
            0,
            1,
            1,
            0,
            0,
        )
        if compression in {3, 6} and rng.random() < 0.9:
            # Inside longer headers; behind one of 40 bytes.
            dib += _masks(rng, 3 if header == 52 or (header == 40 and compression == 3) else 4)
        dib = dib.ljust(header, b"\0")
    palette = b"".join(bytes((i, i, i, 0)) for i in range(256)) if bits == 8 and rng.random() < 0.7 else b""
    offset = 14 + len(dib) + len(palette)
    row = (width * bits + 31) // 32 * 4 if rng.random() < 0.9 else width * bits // 8
    pixels = rng.randbytes(row * height)
    content = bytearray(
        struct.pack("<2sIHHI", b"BM", offset + len(pixels), 0, 0, offset) + dib + palette + pixels
    )
    if rng.random() < 0.3:
        _spoil(rng, content)
    return bytes(content)


def _masks(rng: random.Random, count: int) -> bytes:
    """Colour masks: usual ones, bytes in any order, and noise."""
    chance = rng.random()
    if chance < 0.1:
        return rng.randbytes(4 * count)
    masks = rng.sample(_BYTES, 4) if chance < 0.6 else rng.choice(_MASKS)
    return struct.pack(f"<{count}I", *masks[:count])


def _spoil(rng: random.Random, content: bytearray) -> None:
    at, form = rng.choice(((10, "<i"), (14, "<i"), (18, "<i"), (22, "<i"), (28, "<h"), (30, "<i")))
    if at + 4 > len(content):
        return
    (value,) = struct.unpack_from(form, content, at)
    changed = rng.choice(
        (
            0,
            1,
            -1,
            -value,
            value + 1,
            value - 1,
            value + 7,
            8,
            24,
            31,
            32,
            33,
            39,
            40,
            2**15 - 1,
            -(2**15),
            -8,
            -24,
        )
    )
    struct.pack_into(form, content, at, max(-(2**15), min(2**15 - 1, changed)) if form == "<h" else changed)
    if form == "<i" and rng.random() < 0.1:
        struct.pack_into(form, content, at, rng.choice((2**31 - 1, -(2**31), 2**28, 2**27, 65536)))
