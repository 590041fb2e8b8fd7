"""Metadata in metadata: Photoshop's resources, and the texts of a PNG by their keywords.

Sources: Adobe's Photoshop file format; the PNG specification, 11.3.3; ImageMagick for its raw profiles.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from cldc.validation.metadata.exif import kinds_of_exif
from cldc.validation.metadata.model import Metadata
from cldc.validation.metadata.text import is_blank, kinds_of_comment, kinds_of_iptc, kinds_of_xmp

_LONGEST_TEXT = 1 << 20
_MOST_RESOURCES = 4096
_RESOURCE_SIGNATURES = (b"8BIM", b"MeSa", b"PHUT", b"AgHg", b"DCSR")
_HARMLESS_KEYWORDS = frozenset({b"software", b"creation time", b"modify time", b"date:create", b"date:modify",
                                b"date:timestamp", b"raw profile type icc", b"raw profile type icm"})  # fmt: skip
_DEVICE_KEYWORDS = frozenset({b"source", b"make", b"model", b"camera", b"exif:make", b"exif:model"})
_XMP_KEYWORD = b"xml:com.adobe.xmp"
_RAW_PROFILE = b"raw profile type "


def kinds_of_photoshop(resources: bytes) -> set[Metadata]:
    """List the kinds of metadata in Photoshop's image resources."""
    kinds: set[Metadata] = set()
    for number, body in _resources(resources):
        if number in {0x0409, 0x040C}:
            kinds.add(Metadata.EMBEDDED)
        elif number == 0x0404:
            kinds |= kinds_of_iptc(body)
        elif number in {0x0422, 0x0423}:
            kinds |= kinds_of_exif(body)
        elif number == 0x0424:
            kinds |= kinds_of_xmp(body)
        elif number == 0x040B:
            kinds |= kinds_of_comment(body)
    return kinds


def _resources(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield numbers and bodies; each has a signature, its number, a name and its size, the last two padded to even."""
    at = 0
    for _ in range(_MOST_RESOURCES):
        if content[at : at + 4] not in _RESOURCE_SIGNATURES or len(content) < at + 7:
            return
        number, name = struct.unpack_from(">HB", content, at + 4)
        start = at + 6 + ((name + 2) & ~1)
        size = int.from_bytes(content[start : start + 4], "big")
        yield number, content[start + 4 : start + 4 + size]
        at = start + 4 + size + (size & 1)


def kinds_of_keyword(keyword: bytes, text: bytes) -> set[Metadata]:
    """List the kinds of metadata in a PNG's text under its keyword."""
    name = keyword.lower()
    if name == _XMP_KEYWORD:
        return kinds_of_xmp(text)
    if name in _HARMLESS_KEYWORDS or is_blank(text):
        return set()
    if name.startswith(_RAW_PROFILE):
        return _kinds_of_raw_profile(text)
    if b"gps" in name and b"version" not in name:
        return {Metadata.POSITION}
    return {Metadata.DEVICE} if name in _DEVICE_KEYWORDS else kinds_of_comment(text)


def _kinds_of_raw_profile(text: bytes) -> set[Metadata]:
    """Read ImageMagick's form: a line each for name and length, then the content in hexadecimal."""
    try:
        content = bytes.fromhex(b"".join(text.strip().split(b"\n")[2:]).decode("ascii"))
    except ValueError:
        return {Metadata.TEXT}
    if content.startswith(b"Exif\0\0"):
        return kinds_of_exif(content[6:])
    if content.startswith(_RESOURCE_SIGNATURES):
        return kinds_of_photoshop(content)
    if content.startswith(b"\x1c"):
        return kinds_of_iptc(content)
    return kinds_of_xmp(content) if b"xmp" in content[:200] else {Metadata.TEXT}


def inflated(packed: bytes) -> bytes:
    """Inflate the text of a PNG, only the first part if it is long; return it unchanged if it can't be inflated."""
    try:
        return zlib.decompressobj().decompress(packed, _LONGEST_TEXT)
    except zlib.error:
        return packed
