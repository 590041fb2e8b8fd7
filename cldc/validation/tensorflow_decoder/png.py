"""PNG as libpng 1.6.37 reads it on behalf of TensorFlow's `png_io.cc`.

Nearly every file is sound, so a strict check comes first: it answers only YES, and only where libpng can't
disagree. Whatever it does not like goes to `png_chunks`, which follows libpng call by call.
"""

from __future__ import annotations

import re
import struct
from typing import cast

from zlib_ng import zlib_ng

from cldc.validation.tensorflow_decoder.png_chunks import judge_carefully
from cldc.validation.tensorflow_decoder.png_header import (
    FILTERS,
    KNOWN_ANCILLARY,
    SIGNATURE,
    Header,
    read_header,
)
from cldc.validation.tensorflow_decoder.remarks import remarks_of_png
from cldc.validation.tensorflow_decoder.verdict import Format, Readable, RefusedError, Verdict

_CHUNK = struct.Struct(">I4s")
_CRC = struct.Struct(">I")
_INFLATE_ERROR = cast("type[Exception]", zlib_ng.error)  # its stub declares an instance

_LARGEST_ROWS = 4_000_000
"""Inflated bytes up to which one piece of memory is taken; larger pictures are streamed by the careful path."""

_LARGEST_CHUNK = 8_000_000
_MOST_CHUNKS = 1000
_BYTE_ORDERS = (b"II", b"MM")

# For each critical chunk a letter, and how long it may be.
_CRITICAL = {
    b"IHDR": ("H", range(13, 14)),
    b"PLTE": ("P", range(3, 769, 3)),
    b"IDAT": ("D", range(_LARGEST_CHUNK + 1)),
    b"IEND": ("E", range(1)),
}
_ORDER = re.compile("Ha*(Pa*)?D+a*E")
"""The order of a sound file's chunks; "a" is an ancillary one."""


class _DoubtError(Exception):
    """libpng may disagree."""


def judge_png(content: bytes) -> Verdict:
    """Return the verdict on content that begins with PNG's signature."""
    try:
        chunks, end = _sound_chunks(memoryview(content))
        header = read_header(chunks[b"IHDR"])
        if header.colour == 3 and b"PLTE" not in chunks:
            return judge_carefully(content)
        rows = _sound_rows(chunks[b"IDAT"], header)
    except (_DoubtError, RefusedError, _INFLATE_ERROR):
        return judge_carefully(content)
    remarks = remarks_of_png(header, chunks, trailing=end < len(content))
    return Verdict(Readable.YES, Format.PNG, header.width, header.height, "", remarks, rows)


def _sound_chunks(content: memoryview) -> tuple[dict[bytes, bytes | memoryview], int]:
    """Return the first chunk of each kind up to IEND, the IDATs joined, and where IEND ends.

    Raises:
        _DoubtError: A chunk is not plainly right, or out of place.
    """
    end, order = len(SIGNATURE), ""
    chunks: dict[bytes, bytes | memoryview] = {}
    data: list[memoryview] = []
    while not order.endswith("E"):
        start = end + 8
        if start > len(content) or len(order) > _MOST_CHUNKS:
            raise _DoubtError
        length, kind = _CHUNK.unpack_from(content, end)
        body, end = content[start : start + length], start + length + 4
        if end > len(content) or length > _LARGEST_CHUNK:
            raise _DoubtError
        if kind in _CRITICAL:
            letter, lengths = _CRITICAL[kind]
            (checksum,) = _CRC.unpack_from(content, end - 4)
            sound = length in lengths and checksum == zlib_ng.crc32(content[start - 4 : end - 4])
        else:
            letter, sound = "a", kind in KNOWN_ANCILLARY
            # libpng's complaints about these, checksums included, are warnings; two it may misread.
            if (kind == b"hIST" and length % 2) or (kind == b"eXIf" and body[:2] not in _BYTE_ORDERS):
                sound = False
        if not sound:
            raise _DoubtError
        order += letter
        chunks.setdefault(kind, body)
        if kind == b"IDAT":
            data.append(body)
    if not _ORDER.fullmatch(order):
        raise _DoubtError
    chunks[b"IDAT"] = b"".join(data)
    return chunks, end


def _sound_rows(data: bytes | memoryview, header: Header) -> bytes:
    """Inflate the IDATs, if they hold exactly the rows, the stream ends there and every filter is known.

    Raises:
        _DoubtError: It is not, or it is too large. A window smaller than the rows is left to the careful path: whether a
            distance is too far back then depends on how libpng cuts its calls to zlib.
    """
    stride, height = header.groups[0]
    size = stride * height
    if header.interlaced or size > _LARGEST_ROWS or not data:
        raise _DoubtError
    window = data[0] >> 4
    if window != 7 and size > 256 << window:
        raise _DoubtError
    inflater = zlib_ng.decompressobj(15)
    rows: bytes = inflater.decompress(data, size)
    if not inflater.eof or len(rows) != size or rows[::stride].translate(None, FILTERS):
        raise _DoubtError
    return rows
