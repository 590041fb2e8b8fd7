"""A drawing's features do not depend on how the rows of its PNG were filtered."""

from __future__ import annotations

import struct
import zlib
from random import Random

from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from cldc.validation.features import features_of_picture
from cldc.validation.pictures import Picture, picture_of
from cldc.validation.tensorflow_decoder import Readable
from cldc.validation.tensorflow_decoder.dispatch import judge_and_inflate


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _filtered(kind: int, row: bytes, above: bytes) -> bytes:
    """A row as PNG's filters 0 to 4 write it (PNG specification, 9.2)."""
    filtered = bytearray([kind])
    for at, value in enumerate(row):
        left, up, corner = (row[at - 1], above[at], above[at - 1]) if at else (0, above[at], 0)
        near = min((left, up, corner), key=lambda one: abs(left + up - corner - one))
        filtered.append((value - (0, left, up, (left + up) // 2, near)[kind]) % 256)
    return bytes(filtered)


def _png(picture: Image.Image, filters: list[int]) -> bytes:
    width, height = picture.size
    pixels, above, rows = picture.tobytes(), bytes(width), b""
    for at in range(height):
        row = pixels[at * width : (at + 1) * width]
        rows += _filtered(filters[at % len(filters)], row, above)
        above = row
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


# Rows that repeat without being a margin, and a margin that is most of the picture.
@example(paper=255, margins=(3, 3, 0, 3), ink=(9, 9), drawing="upright stripes", filters=[2], seed=0)
@example(paper=255, margins=(40, 0, 0, 0), ink=(9, 9), drawing="solid", filters=[1], seed=0)
@given(
    paper=st.sampled_from((255, 255, 0, 128)),
    margins=st.tuples(*(st.sampled_from((0, 0, 1, 3, 40)) for _ in range(4))),
    ink=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    drawing=st.sampled_from(("random", "upright stripes", "solid")),
    filters=st.one_of(st.sampled_from(([1], [2], [4])), st.lists(st.integers(0, 4), min_size=1, max_size=7)),
    seed=st.integers(0, 1000),
)
def test_features_are_those_of_the_whole_picture(
    *,
    paper: int,
    margins: tuple[int, int, int, int],
    ink: tuple[int, int],
    drawing: str,
    filters: list[int],
    seed: int,
) -> None:
    top, right, low, left = margins
    size = max(1, left + ink[0] + right), max(1, top + ink[1] + low)
    whole = Image.new("L", size, paper)
    chance = Random(seed)
    for x in range(ink[0]):
        for y in range(ink[1]):
            if drawing == "random":
                whole.putpixel((left + x, top + y), chance.choice((0, 64, 128, 255)))
            elif drawing == "solid" or x % 4 == 2:  # stripes make rows that repeat without being margins
                whole.putpixel((left + x, top + y), 64)
    content = _png(whole, filters)
    verdict, rows = judge_and_inflate(content)
    assert verdict.readable is Readable.YES
    seen = picture_of(content, verdict, rows)
    assert seen is not None
    assert features_of_picture(seen) == features_of_picture(Picture(size, whole))
