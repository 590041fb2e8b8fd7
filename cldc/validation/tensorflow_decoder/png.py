"""PNG as libpng 1.6.37 reads it on behalf of TensorFlow's `png_io.cc`.

Nearly every file is sound, so a strict check comes first: it answers only YES, and only where libpng can't
disagree. Whatever it does not like goes to `png_careful`, which follows libpng call by call.
"""

from __future__ import annotations

import struct
import zlib
from typing import cast

from zlib_ng import zlib_ng

from cldc.validation.tensorflow_decoder.metadata import TURNED, is_srgb, orientation_of
from cldc.validation.tensorflow_decoder.png_header import (
    DIMENSION_LIMIT,
    KNOWN_ANCILLARY,
    PIXEL_LIMIT,
    SAMPLES,
    SIGNATURE,
)
from cldc.validation.tensorflow_decoder.png_libpng import judge_carefully
from cldc.validation.tensorflow_decoder.verdict import Format, Readable, Remark, Verdict

_START = struct.Struct(">8s8sIIBBBBBI")
_CHUNK = struct.Struct(">I4s")
_CRC = struct.Struct(">I")
_IHDR = b"\x00\x00\x00\x0dIHDR"
_IEND = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_FILTERS = b"\x00\x01\x02\x03\x04"

_INFLATE_ERROR = cast("type[Exception]", zlib_ng.error)  # its stub declares an instance

_LARGEST_ROWS = 4_000_000
"""Inflated bytes up to which one piece of memory is taken; larger pictures are streamed by the careful path."""

_LARGEST_CHUNK = 8_000_000
_MOST_CHUNKS = 1000

_BYTE_ORDERS = (b"II", b"MM")

_NOTED = frozenset({b"tRNS", b"gAMA", b"iCCP", b"eXIf", b"acTL"})
"""Chunks that make TensorFlow's picture differ from what people see."""

_PROFILE_START = 8192

_USUAL_GAMMA = range(45_000, 46_000)
"""1/2.2 in units of 1/100000, with the rounding found in the wild."""


def judge_png(content: bytes) -> Verdict:
    """The verdict on content that begins with PNG's signature."""
    if verdict := _judge_strictly(content):
        return verdict
    readable, header, reason, end, noted = judge_carefully(content)
    width, height = (header.width, header.height) if header else (None, None)
    if readable is Readable.NO or header is None:
        return Verdict(Readable.NO, Format.PNG, width, height, reason)
    remarks = _remarks(content, header.depth, header.colour, noted, trailing=0 < end < len(content))
    return Verdict(readable, Format.PNG, width, height, reason, remarks)


def _judge_strictly(content: bytes) -> Verdict | None:
    """YES with the filtered rows, or None if the file needs a closer look."""
    if len(content) < 57:  # signature, IHDR, an empty IDAT, IEND
        return None
    signature, start, width, height, depth, colour, method, filters, interlaced, crc = _START.unpack_from(
        content
    )
    samples = SAMPLES.get((colour, depth))
    if (
        samples is None
        or method
        or filters
        or interlaced
        or start != _IHDR
        or signature != SIGNATURE
        or not 0 < width <= DIMENSION_LIMIT
        or not 0 < height <= DIMENSION_LIMIT
        or width * height >= PIXEL_LIMIT
        or crc != zlib_ng.crc32(content[12:29])
    ):
        return None
    stride = ((width * depth * samples + 7) >> 3) + 1
    if stride * height > _LARGEST_ROWS:
        return None
    walked = _walk_strictly(content, colour)
    if walked is None:
        return None
    compressed, noted, end = walked
    rows = _sound_rows(compressed, stride, height)
    if rows is None:
        return None
    remarks = _remarks(content, depth, colour, noted, trailing=end < len(content))
    return Verdict(Readable.YES, Format.PNG, width, height, "", remarks, rows)


def _walk_strictly(  # noqa: PLR0911, PLR0912 - one way out for each doubt
    content: bytes, colour: int
) -> tuple[bytes, dict[bytes, int], int] | None:
    """The joined IDATs, where each noted chunk lies, and the end; None for anything that is not plainly right."""
    position = 33
    idats: list[bytes] = []
    noted: dict[bytes, int] = {}
    palette = after = False
    try:
        for _ in range(_MOST_CHUNKS):
            length, kind = _CHUNK.unpack_from(content, position)
            end = position + 8 + length
            if length > _LARGEST_CHUNK:
                return None
            if kind in KNOWN_ANCILLARY:
                # libpng's complaints about these, checksums included, are warnings; two it may misread.
                if (kind == b"hIST" and length & 1) or (
                    kind == b"eXIf" and content[position + 8 : position + 10] not in _BYTE_ORDERS
                ):
                    return None
                after = bool(idats)
                if kind in _NOTED:
                    noted.setdefault(kind, position)
            elif kind == b"IEND":
                complete = idats and (palette or colour != 3)
                if complete and content[position : position + 12] == _IEND:
                    return (idats[0] if len(idats) == 1 else b"".join(idats)), noted, position + 12
                return None
            else:
                if _CRC.unpack_from(content, end)[0] != zlib_ng.crc32(content[position + 4 : end]):
                    return None
                if kind == b"IDAT" and not after and (palette or colour != 3):
                    idats.append(content[position + 8 : end])
                elif kind == b"PLTE" and not palette and not idats and length % 3 == 0 and 0 < length <= 768:
                    palette = True
                else:
                    return None
            position = end + 4
    except struct.error:  # the content ends inside a chunk
        return None
    return None


def _sound_rows(compressed: bytes, stride: int, height: int) -> bytes | None:
    """What the stream inflates to; None unless that is exactly the rows, it ends there and every filter is known.

    A window smaller than the rows is left to the careful path: whether a distance is too far back then
    depends on how libpng cuts its calls to zlib.
    """
    size = stride * height
    if not compressed or (compressed[0] >> 4 != 7 and size > 256 << (compressed[0] >> 4)):
        return None
    inflater = zlib_ng.decompressobj(15)
    try:
        rows = inflater.decompress(compressed, size)
    except _INFLATE_ERROR:
        return None
    sound = inflater.eof and len(rows) == size and not rows[::stride].translate(None, _FILTERS)
    return rows if sound else None


def _remarks(
    content: bytes, depth: int, colour: int, noted: dict[bytes, int], *, trailing: bool
) -> tuple[Remark, ...]:
    remarks = []
    if depth == 16:
        remarks.append(Remark.SIXTEEN_BIT)
    if colour & 4 or b"tRNS" in noted:
        remarks.append(Remark.ALPHA_DROPPED)
    if b"acTL" in noted:
        remarks.append(Remark.ANIMATION)
    if b"iCCP" in noted:
        odd_colours = not is_srgb(_profile(_body(content, noted[b"iCCP"])))
    else:
        gamma = int.from_bytes(_body(content, noted[b"gAMA"])[:4], "big") if b"gAMA" in noted else None
        odd_colours = gamma is not None and gamma not in _USUAL_GAMMA
    if odd_colours:
        remarks.append(Remark.COLOUR_PROFILE)
    if b"eXIf" in noted and orientation_of(_body(content, noted[b"eXIf"])) in TURNED:
        remarks.append(Remark.ORIENTATION_IGNORED)
    if trailing:
        remarks.append(Remark.TRAILING_BYTES)
    return tuple(remarks)


def _body(content: bytes, position: int) -> bytes:
    (length,) = _CRC.unpack_from(content, position)
    return content[position + 8 : position + 8 + length]


def _profile(body: bytes) -> bytes:
    """The name and the start of the profile in an iCCP chunk."""
    name, _, packed = body.partition(b"\0")
    try:
        return name + zlib.decompressobj().decompress(packed[1:], _PROFILE_START)
    except zlib.error:
        return name
