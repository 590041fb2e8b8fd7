"""What TensorFlow ignores and people see: the EXIF orientation and colour profiles."""

from __future__ import annotations

import struct

_ORIENTATION = 0x0112
_MOST_ENTRIES = 512


def is_turned(tiff: bytes) -> bool:
    """Whether a TIFF block (what follows ``Exif\\0\\0`` in a JPEG) asks for an orientation other than upright."""
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(tiff[:4])
    if order is None:
        return False
    try:
        (offset,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, offset)
        for entry in range(min(entries, _MOST_ENTRIES)):
            tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, offset + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return value in range(2, 9)
    except struct.error:  # cut short
        return False
    return False


def is_srgb(profile: bytes) -> bool:
    """Whether an ICC profile, or the start of one, describes sRGB, the colours that TensorFlow's users assume."""
    return b"sRGB" in profile or b"s\0R\0G\0B" in profile
