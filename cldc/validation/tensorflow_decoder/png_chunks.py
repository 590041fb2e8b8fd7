"""Follows libpng 1.6.37 chunk by chunk, in the order in which TensorFlow's `png_io.cc` calls it.

Three stages: `png_read_info` up to the first IDAT, the rows, and `png_read_end`. Nearly all complaints about
ancillary chunks, and about what follows the last row, are warnings in libpng ("benign errors"); what is listed here
as a refusal is a `png_error`.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from cldc.validation.tensorflow_decoder.png_header import (
    KNOWN_ANCILLARY,
    PIXEL_LIMIT,
    SIGNATURE,
    Header,
    read_header,
)
from cldc.validation.tensorflow_decoder.png_rows import InflatedRows
from cldc.validation.tensorflow_decoder.remarks import remarks_of_png
from cldc.validation.tensorflow_decoder.verdict import (
    Format,
    Readable,
    RefusedError,
    Remark,
    TooMuchWorkError,
    Verdict,
)

_UINT31_MAX = 2**31 - 1

_LONGEST_CHUNK = 8_000_000
"""`PNG_USER_CHUNK_MALLOC_MAX` of pnglibconf.h, for every chunk but IDAT."""

_MOST_CHUNKS = 1_000_000
_CHUNK = struct.Struct(">I4s")

_NOT_INITIALISED = "TensorFlow: Invalid PNG. Failed to initialize decoder."


class _Chunk(NamedTuple):
    kind: bytes
    position: int
    length: int


class _Reader:
    """A position in the file, and the two flags of `png_struct.mode` that matter."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.position = len(SIGNATURE)
        self.header: Header | None = None
        self.has_palette = False
        self.palette_size = 0
        self._valid: set[bytes] = set()
        self.chunks: dict[bytes, memoryview] = {}
        self._left = _MOST_CHUNKS

    def next_chunk(self) -> _Chunk:
        """Read a chunk's header, as `png_read_chunk_header` does."""
        self._left -= 1
        if self._left < 0:
            raise TooMuchWorkError(f"more than {_MOST_CHUNKS} chunks")
        if self.position + 8 > len(self.content):
            raise RefusedError("the file ends before IEND")
        length, kind = _CHUNK.unpack_from(self.content, self.position)
        if length > _UINT31_MAX:
            raise RefusedError("a chunk's length is out of range")
        if not (kind.isalpha() and kind.isascii()):
            raise RefusedError(f"invalid chunk type {kind!r}")
        limit = _LONGEST_CHUNK
        if kind == b"IDAT" and self.header:
            limit = max(limit, self.header.longest_idat)
        if length > limit:
            raise RefusedError(f"the {kind.decode()} chunk is too large")
        body = memoryview(self.content)[self.position + 8 : self.position + 8 + length]
        self.chunks.setdefault(kind, body)
        return _Chunk(kind, self.position, length)

    def finish(self, chunk: _Chunk) -> bytes | memoryview:
        """Read the body (`png_crc_finish`): it must be complete and, if critical, have the right checksum."""
        start = chunk.position + 8
        if start + chunk.length + 4 > len(self.content):
            raise RefusedError(f"the file ends inside the {chunk.kind.decode()} chunk")
        end = start + chunk.length + self._misread(chunk)
        if end + 4 > len(self.content):
            raise RefusedError(f"the file ends inside the {chunk.kind.decode()} chunk")
        self.position = end + 4
        body = memoryview(self.content)[start:end]
        expected = int.from_bytes(self.content[end : end + 4], "big")
        if chunk.kind[0] & 0x20:
            kept = self._is_right(chunk) and (chunk.kind == b"eXIf" or self.palette_size > 0)
            if kept and zlib.crc32(body, zlib.crc32(chunk.kind)) == expected:
                self._valid.add(chunk.kind)
            return body
        if zlib.crc32(body, zlib.crc32(chunk.kind)) != expected:
            raise RefusedError(f"wrong checksum in the {chunk.kind.decode()} chunk")
        return body

    def _misread(self, chunk: _Chunk) -> int:
        """Return how many bytes too far libpng 1.6.37 reads, or too few if negative; all that follows is then shifted.

        `png_handle_eXIf` skips two more bytes if the two that it has read are not a byte order; `png_handle_hIST` leaves the
        last byte of an odd length unread. Both do so only until one such chunk was right.
        """
        if self.header is None or chunk.kind in self._valid:
            return 0
        if chunk.kind == b"eXIf":
            return 2 if chunk.length >= 2 and not self._is_right(chunk) else 0
        return -1 if chunk.length % 2 and self._is_right(chunk) else 0

    def _is_right(self, chunk: _Chunk) -> bool:
        """Check that an eXIf begins with a byte order, or that an hIST is in its place and fits the palette."""
        if chunk.kind == b"eXIf":
            order = self.content[chunk.position + 8 : chunk.position + 10]
            return chunk.length >= 2 and (order[1] in b"IM" or order[0] == order[1])
        in_place = chunk.kind == b"hIST" and self.has_palette and b"IDAT" not in self.chunks
        return in_place and chunk.length // 2 == self.palette_size

    def next_idat(self) -> bytes | memoryview | None:
        """Return the body of the next chunk if it is an IDAT; leave any other chunk unread."""
        start = self.position
        chunk = self.next_chunk()
        if chunk.kind != b"IDAT":
            self.position = start
            return None
        return self.finish(chunk)


def judge_carefully(content: bytes) -> Verdict:
    """Return libpng's verdict on any PNG; never raise, and work in bounded memory."""
    reader = _Reader(content)
    readable, message = Readable.YES, _NOT_INITIALISED
    try:
        header = _read_info(reader)
        message = f"TensorFlow: PNG size too large for int: {header.width} by {header.height}"
        if header.width * header.height >= PIXEL_LIMIT:
            raise RefusedError("too many pixels")
        message = f"TensorFlow: Invalid PNG data, size {len(content)}"
        InflatedRows(header, reader.next_idat).check()
        _read_end(reader)
        reason = ""
    except RefusedError as refused:
        readable, reason = Readable.NO, f"{message} ({refused})"
    except TooMuchWorkError as work:
        readable, reason = Readable.UNKNOWN, f"Only TensorFlow can tell: {work}."
    if reader.header is None:
        return Verdict(readable, Format.PNG, reason=reason)
    remarks: tuple[Remark, ...] = ()
    if readable is not Readable.NO:
        trailing = readable is Readable.YES and reader.position < len(content)
        remarks = remarks_of_png(reader.header, reader.chunks, trailing=trailing)
    return Verdict(readable, Format.PNG, reader.header.width, reader.header.height, reason, remarks)


def _read_info(reader: _Reader) -> Header:
    """Read up to the first IDAT, whose header is left unread, as `png_read_info` does."""
    while True:
        start = reader.position
        chunk = reader.next_chunk()
        if chunk.kind == b"IDAT":
            reader.position = start
            if reader.header is None:
                raise RefusedError("IDAT before IHDR")
            if reader.header.colour == 3 and not reader.has_palette:
                raise RefusedError("a palette picture without PLTE")
            return reader.header
        if chunk.kind == b"IHDR":
            reader.header = _read_ihdr(reader, chunk)
        elif chunk.kind == b"PLTE":
            _read_palette(reader, chunk)
        elif chunk.kind == b"IEND":
            raise RefusedError("IEND before IDAT")
        else:
            _skip(reader, chunk)


def _read_ihdr(reader: _Reader, chunk: _Chunk) -> Header:
    """Read the header, as `png_handle_IHDR` does."""
    if reader.header is not None:
        raise RefusedError("two IHDR chunks")
    if chunk.length != 13:
        raise RefusedError("IHDR has a wrong length")
    return read_header(reader.finish(chunk))


def _read_palette(reader: _Reader, chunk: _Chunk) -> None:
    """Read a palette before the first IDAT, as `png_handle_PLTE` does."""
    if reader.header is None:
        raise RefusedError("PLTE before IHDR")
    if reader.has_palette:
        raise RefusedError("two PLTE chunks")
    reader.has_palette = True
    reader.finish(chunk)
    if not reader.header.colour & 2:
        return  # ignored in grey pictures
    if chunk.length > 768 or chunk.length % 3:
        if reader.header.colour == 3:
            raise RefusedError("PLTE has a wrong length")
        return
    if chunk.length == 0:
        raise RefusedError("PLTE is empty")
    most = 1 << reader.header.depth if reader.header.colour == 3 else 256
    reader.palette_size = min(chunk.length // 3, most)


def _skip(reader: _Reader, chunk: _Chunk) -> None:
    """Skip an ancillary chunk: libpng's handlers only warn, except about two things."""
    reader.finish(chunk)
    if not chunk.kind[0] & 0x20:
        raise RefusedError(f"unknown critical chunk {chunk.kind.decode()}")
    if reader.header is None and chunk.kind in KNOWN_ANCILLARY:
        raise RefusedError(f"{chunk.kind.decode()} before IHDR")


def _read_end(reader: _Reader) -> None:
    """Skip further IDATs, and check all else as before them, as `png_read_end` does."""
    while True:
        chunk = reader.next_chunk()
        if chunk.kind == b"IHDR":
            raise RefusedError("two IHDR chunks")
        if chunk.kind == b"PLTE" and reader.has_palette:
            raise RefusedError("two PLTE chunks")
        if chunk.kind in {b"IDAT", b"PLTE"}:
            reader.finish(chunk)
        elif chunk.kind == b"IEND":
            reader.finish(chunk)
            return
        else:
            _skip(reader, chunk)
