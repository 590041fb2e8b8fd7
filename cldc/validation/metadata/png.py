"""The chunks of a PNG file that its picture does not need, and the metadata in them.

All critical chunks stay, and the ancillary ones by which programs show colours, transparency, sizes and animations.
"""

from __future__ import annotations

import struct
from collections.abc import Generator

from zlib_ng import zlib_ng

from cldc.validation.metadata.exif import kinds_of_exif, only_orientation
from cldc.validation.metadata.model import Metadata, OddStructureError, Piece
from cldc.validation.metadata.nested import inflated, kinds_of_keyword
from cldc.validation.tensorflow_decoder.png_header import SIGNATURE

_MOST_CHUNKS = 100_000
_CHUNK = struct.Struct(">I4s")
_FRAME = 12
_SHOWN = frozenset(
    b"tRNS gAMA cHRM sRGB iCCP cICP mDCV mDCv cLLI cLLi sBIT bKGD hIST pHYs sPLT acTL fcTL fdAT".split()
)
# Programs write less than this about themselves.
_LONG = 64


def png_pieces(content: bytes) -> Generator[Piece, None, int]:
    """Find the chunks, in their order, and where the picture ends; errors are those of `find_pieces`."""
    at, size = len(SIGNATURE), len(content)
    for _ in range(_MOST_CHUNKS):
        if at + _FRAME > size:
            raise OddStructureError
        length, kind = _CHUNK.unpack_from(content, at)
        end: int = at + _FRAME + length
        if end > size:
            raise OddStructureError
        if kind[0] & 0x20 and kind not in _SHOWN:
            kinds, instead = _judge(kind, content[at + 8 : end - 4])
            if instead != content[at:end]:
                yield Piece(at, end, kinds, instead)
        elif kind == b"hIST" and length % 2:
            raise OddStructureError  # libpng takes what follows for something else
        if kind == b"IEND":
            return end
        at = end
    raise OddStructureError


def _judge(kind: bytes, body: bytes) -> tuple[set[Metadata], bytes]:
    """Return a chunk's kinds of metadata, and what must replace it."""
    if kind == b"eXIf":
        if body[:2] not in (b"II", b"MM"):
            raise OddStructureError  # libpng takes what follows for something else
        upright = only_orientation(body)
        return kinds_of_exif(body), upright and chunk(kind, upright)
    return _kinds_of(kind, body), b""


def _kinds_of(kind: bytes, body: bytes) -> set[Metadata]:
    keyword, _, rest = body.partition(b"\0")
    if kind == b"tEXt":
        return kinds_of_keyword(keyword, rest)
    if kind == b"zTXt":
        return kinds_of_keyword(keyword, inflated(rest[1:]))
    if kind == b"iTXt":
        # Whether it is compressed and how, then a language and the keyword in it.
        text = rest[2:].split(b"\0", 2)[-1]
        return kinds_of_keyword(keyword, inflated(text) if rest[:1] == b"\1" else text)
    if kind == b"caBX":  # content credentials, which say who made it and how
        return {Metadata.TEXT}
    standard = kind in (b"tIME", b"oFFs", b"pCAL", b"sCAL", b"sTER")
    return set() if standard or len(body) < _LONG else {Metadata.EMBEDDED}


def chunk(kind: bytes, body: bytes | memoryview) -> bytes:
    """Build a PNG chunk, with its length and its checksum."""
    checked = kind + body
    return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib_ng.crc32(checked))
