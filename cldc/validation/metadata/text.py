"""Text in image files: comments, XMP and IPTC.

Sources: Adobe's XMP specification, part 3; IPTC-IIM 4.2.
"""

from __future__ import annotations

import struct

from cldc.validation.metadata.model import Metadata

_LONGEST_TEXT = 1 << 20
_MOST_PARTS = 4096
# Programs write less than this about themselves.
_LONG = 100

# What programs write into a comment about themselves.
_PROGRAMS = (
    b"created with", b"creator: gd-jpeg", b"lavc", b"file written by adobe", b"handmade software", b"lead technologies",
    b"intel(r) jpeg", b"optimized by", b"optimized with", b"compressed by", b"edited with", b"gif optimized", b"applemark",
)  # fmt: skip
_XMP = {
    Metadata.POSITION: (b"GPSLatitude", b"GPSLongitude", b"GPSPosition"),
    Metadata.DEVICE: (b"tiff:Make", b"tiff:Model", b"aux:", b"exifEX:", b"SerialNumber", b"xmpDSA:", b"drone-dji:"),
    Metadata.TEXT: (
        b"dc:creator", b"dc:contributor", b"dc:description", b"dc:title", b"dc:rights", b"dc:subject", b"dc:publisher",
        b"photoshop:AuthorsPosition", b"photoshop:CaptionWriter", b"photoshop:City", b"photoshop:Country",
        b"photoshop:Credit", b"photoshop:Headline", b"photoshop:Instructions", b"photoshop:Source", b"photoshop:State",
        b"photoshop:TextLayers", b"Iptc4xmpCore:", b"Iptc4xmpExt:", b"xmpRights:Owner", b"xmpRights:UsageTerms", b"xmpRights:WebStatement",
        b"exif:UserComment", b"tiff:Artist", b"tiff:ImageDescription", b"mwg-rs:", b"MPReg:", b"plus:", b"lr:",
    ),
    Metadata.EMBEDDED: (b"xmpGImg:image", b"GImage:Data", b"GDepth:Data", b"GAudio:Data"),
}  # fmt: skip
# Of IPTC's second record: versions, urgency, dates and times, the program, orientation and its like.
_HARMLESS_IPTC = frozenset({0, 3, 10, 30, 35, 37, 38, 47, 50, 55, 60, 62, 63, 65, 70, 75, 130, 131})


def is_blank(text: bytes) -> bool:
    """Check whether it holds only spaces, zeros and the name of a character set, as EXIF's comments may."""
    return not text.removeprefix(b"ASCII\0\0\0").removeprefix(b"UNICODE\0").strip(b"\0 \t\r\n\xff")


def kinds_of_comment(text: bytes) -> set[Metadata]:
    """List the kinds of metadata in a comment of a JPEG, a GIF or a PNG."""
    by_program = text.lower().lstrip().startswith(_PROGRAMS)
    return set() if (by_program and len(text) < _LONG) or is_blank(text) else {Metadata.TEXT}


def kinds_of_xmp(packet: bytes) -> set[Metadata]:
    """List the kinds of metadata in an XMP packet, by the usual names of its properties."""
    plain = packet[:_LONGEST_TEXT].replace(b"\0", b"")  # some are UTF-16
    return {kind for kind, names in _XMP.items() if any(name in plain for name in names)}


def kinds_of_iptc(records: bytes) -> set[Metadata]:
    """List the kinds of metadata in IPTC's records."""
    at = 0
    for _ in range(_MOST_PARTS):
        if len(records) < at + 5 or records[at] != 0x1C:
            break
        _, record, number, size = struct.unpack_from(">BBBH", records, at)
        if record == 2 and number not in _HARMLESS_IPTC and not is_blank(records[at + 5 : at + 5 + size]):
            return {Metadata.TEXT}
        at += 5 + size
    return set()
