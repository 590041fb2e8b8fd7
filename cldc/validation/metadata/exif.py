"""The metadata in EXIF blocks, and their orientation, which image viewers need.

A block is a small TIFF file: a byte order, and lists ("IFDs") of tagged values. Tags are those of EXIF 3.0 and TIFF 6.0.
"""

from __future__ import annotations

import struct

from cldc.validation.metadata.model import Metadata
from cldc.validation.metadata.text import is_blank, kinds_of_iptc, kinds_of_xmp
from cldc.validation.tensorflow_decoder.remarks import BYTE_ORDERS, TURNED, orientation_of

_MOST_ENTRIES = 512
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_LONGEST_VALUE = 1 << 16

_EXIF_IFD, _GPS_IFD, _XMP, _IPTC = 0x8769, 0x8825, 0x02BC, 0x83BB
# Latitude and longitude, of the camera or of what it points at.
_POSITIONS = frozenset({2, 4, 20, 22})
# Make, model, host computer, maker's note, serial numbers, lens.
_DEVICES = frozenset({0x010F, 0x0110, 0x013C, 0x927C, 0xA431, 0xA433, 0xA434, 0xA435, 0xC614, 0xC62F})
# Document, description, artist, copyright, comment, owner, title, photographer; and what Windows writes.
_TEXTS = frozenset(
    {0x010D, 0x010E, 0x013B, 0x8298, 0x9286, 0xA430, 0xA436, 0xA437, 0xA438, *range(0x9C9B, 0x9CA0)}
)
_READ = frozenset({_EXIF_IFD, _GPS_IFD, _XMP, _IPTC}) | _POSITIONS | _DEVICES | _TEXTS

_Values = dict[int, bytes]


class _Tiff:
    """A block; numbers outside it read as 0, and values as empty."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.order = BYTE_ORDERS.get(content[:4], "")

    def number(self, form: str, at: int) -> int:
        try:
            value: int = struct.unpack_from(self.order + form, self._content, at)[0]
        except struct.error:
            return 0
        return value

    def values(self, at: int) -> _Values:
        """Return the values of a list that this module reads, by tag."""
        found: _Values = {}
        for place in range(at + 2, at + 2 + 12 * min(self.number("H", at), _MOST_ENTRIES), 12):
            tag = self.number("H", place)
            if tag not in _READ or tag in found:
                continue
            size = self.number("I", place + 4) * _SIZES.get(self.number("H", place + 2), 1)
            start = place + 8 if size <= 4 else self.number("I", place + 8)
            found[tag] = self._content[start : start + min(size, _LONGEST_VALUE)]
        return found

    def below(self, values: _Values, tag: int) -> _Values:
        """Return the list that a value points to."""
        at = int.from_bytes(values.get(tag, b""), "big" if self.order == ">" else "little")
        return self.values(at) if at else {}


def kinds_of_exif(content: bytes) -> set[Metadata]:
    """List the kinds of metadata in an EXIF block; ``content`` lacks the ``Exif\\0\\0`` that precedes it in a JPEG."""
    tiff = _Tiff(content)
    if not tiff.order:
        return set() if is_blank(content) else {Metadata.DEVICE}
    at = tiff.number("I", 4)
    first = tiff.values(at)
    kinds = _kinds_of(first) | _kinds_of(tiff.below(first, _EXIF_IFD))
    if _any_of(tiff.below(first, _GPS_IFD), _POSITIONS):
        kinds.add(Metadata.POSITION)
    if tiff.number("I", at + 2 + 12 * tiff.number("H", at)):  # a second list, which is that of a preview
        kinds.add(Metadata.EMBEDDED)
    return kinds


def _kinds_of(values: _Values) -> set[Metadata]:
    kinds = kinds_of_xmp(values.get(_XMP, b"")) | kinds_of_iptc(values.get(_IPTC, b""))
    if _any_of(values, _DEVICES):
        kinds.add(Metadata.DEVICE)
    if _any_of(values, _TEXTS):
        kinds.add(Metadata.TEXT)
    return kinds


def _any_of(values: _Values, tags: frozenset[int]) -> bool:
    return any(tag in tags and not is_blank(value) for tag, value in values.items())


def only_orientation(content: bytes) -> bytes:
    """Return an EXIF block with only the orientation of this one; empty if that is upright or missing."""
    orientation = orientation_of(content)
    if orientation not in TURNED:
        return b""
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
