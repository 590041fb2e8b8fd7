"""The blocks of a GIF file that its picture does not need: comments, and data of applications."""

from __future__ import annotations

from collections.abc import Generator

from cldc.validation.metadata.model import Metadata, OddStructureError, Piece
from cldc.validation.metadata.text import is_blank, kinds_of_comment, kinds_of_xmp

_MOST_BLOCKS = 500_000
_IMAGE, _EXTENSION, _TRAILER = 0x2C, 0x21, 0x3B
_PLAIN_TEXT, _GRAPHIC_CONTROL, _COMMENT, _APPLICATION = 0x01, 0xF9, 0xFE, 0xFF
# How often the animation repeats; each is a few bytes.
_LOOPS = (b"\x0bNETSCAPE2.0", b"\x0bANIMEXTS1.0")
_LONGEST_LOOP = 24


def gif_pieces(content: bytes) -> Generator[Piece, None, int]:
    """Find the blocks, in their order, and where the trailer ends; errors are those of `find_pieces`."""
    at = 13 + _table(content[10])
    while (kind := content[at]) != _TRAILER:
        start, label = at, content[at + 1]
        if kind == _IMAGE:
            at = _skip(content, at + 11 + _table(content[at + 9]))
        elif kind == _EXTENSION and label != _PLAIN_TEXT:  # some programs draw that text into the picture
            at = _skip(content, at + 2)
            blocks = content[start + 2 : at]
            loop = label == _APPLICATION and blocks.startswith(_LOOPS) and len(blocks) <= _LONGEST_LOOP
            if label != _GRAPHIC_CONTROL and not loop:
                yield Piece(start, at, _kinds_of(label, blocks))
        else:
            raise OddStructureError
    return at + 1


def _table(flags: int) -> int:
    """Return the length in bytes of the colour table that the flags announce."""
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0


def _skip(content: bytes, at: int) -> int:
    """Find the end of the sub-blocks that begin at ``at``."""
    for _ in range(_MOST_BLOCKS):
        length = content[at]
        at += 1 + length
        if not length:
            return at
    raise OddStructureError


def _kinds_of(label: int, blocks: bytes) -> set[Metadata]:
    if label == _COMMENT:
        return kinds_of_comment(_joined(blocks))
    if blocks.startswith(b"\x0bXMP DataXMP"):
        return kinds_of_xmp(blocks)
    harmless = blocks.startswith((*_LOOPS, b"\x0bICCRGBG1012")) or is_blank(blocks)
    return set() if harmless else {Metadata.TEXT}


def _joined(blocks: bytes) -> bytes:
    parts, at = [], 0
    while at < len(blocks) and (length := blocks[at]):
        parts.append(blocks[at + 1 : at + 1 + length])
        at += 1 + length
    return b"".join(parts)
