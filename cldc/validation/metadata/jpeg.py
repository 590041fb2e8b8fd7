"""The parts of a JPEG file that its picture does not need.

Everything that libjpeg uses stays: all tables, frames and scans, and the application segments of JFIF and Adobe, which decide
on the colours. The ICC profile stays too: TensorFlow ignores it, but image viewers use it.
"""

from __future__ import annotations

import re
from collections.abc import Generator

from cldc.validation.metadata.exif import kinds_of_exif, only_orientation
from cldc.validation.metadata.model import Metadata, OddStructureError, Piece
from cldc.validation.metadata.nested import kinds_of_photoshop
from cldc.validation.metadata.text import is_blank, kinds_of_comment, kinds_of_xmp

_MOST_SEGMENTS = 10_000
# A marker, with the bytes that may fill the space before it.
_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
# What ends the data of a scan: any marker but those within it.
_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_SOS, _EOI, _COM, _APP0, _APP15 = 0xDA, 0xD9, 0xFE, 0xE0, 0xEF
_WITHOUT_BODY = frozenset({0x01, *range(0xD0, 0xD9)})

_JFIF, _JFIF_LENGTH = b"JFIF\0", 14
_ADOBE, _ADOBE_LENGTH = b"Adobe", 12
_EXIF = b"Exif\0\0"
_XMP = (b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0")
_PHOTOSHOP = b"Photoshop 3.0\0"
# Photoshop's own note of the quality, and marks of programs.
_HARMLESS = (b"Ducky", b"Adobe", b"AVI1", b"HDR_RI")


def jpeg_pieces(content: bytes) -> Generator[Piece, None, int]:
    """Find the parts, in their order, and where the picture ends; errors are those of `find_pieces`."""
    at, turned = 2, False
    for _ in range(_MOST_SEGMENTS):
        marker = _MARKER.match(content, at)
        if marker is None:
            raise OddStructureError
        code, start, at = marker[1][0], at, marker.end()
        if code == _EOI:
            return at
        end = at + int.from_bytes(content[at : at + 2], "big")
        if code in _WITHOUT_BODY or not at + 2 <= end <= len(content):
            raise OddStructureError
        if code == _COM or _APP0 <= code <= _APP15:
            segment, body = content[start:end], content[at + 2 : end]
            kinds, instead = _judge(code, body, turned=turned)
            turned |= body.startswith(_EXIF) and bool(instead)
            if instead != segment:
                yield Piece(start, end, kinds, instead)
        at = end
        if code == _SOS:
            after = _SCAN_END.search(content, at)
            if after is None:
                raise OddStructureError
            at = after.start()
    raise OddStructureError


def _judge(code: int, body: bytes, *, turned: bool) -> tuple[set[Metadata], bytes]:
    """Return a segment's kinds of metadata, and what must replace it."""
    if code == _APP0 and body.startswith(_JFIF):
        # After 14 bytes, of which the last two are its size, comes a preview.
        small = len(body) <= _JFIF_LENGTH
        kept = body if small else body[: _JFIF_LENGTH - 2] + b"\0\0"
        return set() if small else {Metadata.EMBEDDED}, _segment(code, kept)
    if code == 0xEE and body.startswith(_ADOBE) and len(body) >= _ADOBE_LENGTH:
        return set(), _segment(code, body[:_ADOBE_LENGTH])
    if code == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
        return set(), _segment(code, body)
    if code == 0xE1 and body.startswith(_EXIF):
        upright = b"" if turned else only_orientation(body[len(_EXIF) :])
        return kinds_of_exif(body[len(_EXIF) :]), upright and _segment(code, _EXIF + upright)
    return _kinds_of(code, body), b""


def _kinds_of(code: int, body: bytes) -> set[Metadata]:
    if code == _COM:
        return kinds_of_comment(body)
    if code == 0xE1 and body.startswith(_XMP):
        return kinds_of_xmp(body)
    if code == 0xED and body.startswith(_PHOTOSHOP):
        return kinds_of_photoshop(body[len(_PHOTOSHOP) :])
    if body.startswith((b"JFXX\0", b"MPF\0")):  # a preview; a list of further pictures
        return {Metadata.EMBEDDED}
    if code == 0xEB:  # content credentials, which say who made it and how
        return {Metadata.TEXT}
    # Camera makers write what they like into the others.
    return set() if body.startswith(_HARMLESS) or is_blank(body) else {Metadata.DEVICE}


def _segment(code: int, body: bytes) -> bytes:
    return bytes((0xFF, code)) + (len(body) + 2).to_bytes(2, "big") + body
