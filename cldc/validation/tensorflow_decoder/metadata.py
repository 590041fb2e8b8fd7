"""What TensorFlow ignores and people see: the EXIF orientation and colour profiles."""

from __future__ import annotations

import struct

_ORIENTATION = 0x0112
BYTE_ORDERS = {b"II*\x00": "<", b"MM\x00*": ">"}
"""How a TIFF block begins, and what `struct` calls its order of bytes."""

_MOST_ENTRIES = 512

_WHOLE_NUMBERS = {3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I"}
"""Types of TIFF whose first value Pillow's `exif_transpose` takes for an orientation; EXIF itself requires SHORT, 3."""

TURNED = range(2, 9)
"""Every orientation but upright, which is 1."""


def orientation_of(tiff: bytes) -> int | None:
    """The orientation that a TIFF block asks for, a number from 1, upright, to 8 if it is valid; None without one."""
    order = BYTE_ORDERS.get(tiff[:4])
    if order is None:
        return None
    try:
        (offset,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, offset)
        for entry in range(min(entries, _MOST_ENTRIES)):
            tag, kind, count = struct.unpack_from(order + "HHI", tiff, offset + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return _first_value(tiff, order, kind, count, offset + 10 + 12 * entry)
    except struct.error:  # cut short
        return None
    return None


def _first_value(tiff: bytes, order: str, kind: int, count: int, at: int) -> int | None:
    """The first number of a field; None if it is not whole, or lies elsewhere as it does not fit into the entry."""
    form = order + _WHOLE_NUMBERS.get(kind, "4x")
    if not 1 <= count <= 4 // struct.calcsize(form):
        return None
    return next(iter(struct.unpack_from(form, tiff, at)), None)


def join_profile(segments: list[bytes]) -> bytes:
    """The ICC profile in the bodies of a JPEG's APP2 segments; empty if one is missing: viewers ignore the profile then.

    Annex B.4 of the ICC specification: each begins with ``ICC_PROFILE\\0``, its number and how many there are. As
    Pillow's `JpegImagePlugin.SOF` does, only the first one's word is taken for the latter.
    """
    ordered = sorted(segments)
    if not ordered or len(ordered[0]) < 14 or ordered[0][13] != len(ordered):
        return b""
    return b"".join(segment[14:] for segment in ordered)


def is_srgb(profile: bytes) -> bool:
    """Whether an ICC profile, or the start of one, describes sRGB, the colours that TensorFlow's users assume."""
    return b"sRGB" in profile or b"s\0R\0G\0B" in profile
