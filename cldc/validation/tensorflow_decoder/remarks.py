"""What remarks are about: the orientation, colour profile and the like that image viewers apply and TensorFlow ignores."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

from cldc.validation.tensorflow_decoder.png_header import Header
from cldc.validation.tensorflow_decoder.verdict import Remark

_ORIENTATION = 0x0112
BYTE_ORDERS = {b"II*\x00": "<", b"MM\x00*": ">"}
"""How a TIFF block begins, and what `struct` calls its order of bytes."""

_MOST_ENTRIES = 512

_WHOLE_NUMBERS = {3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I"}
"""Types of TIFF whose first value Pillow's `exif_transpose` uses as the orientation; EXIF itself requires SHORT, 3."""

_PROFILE_START = 8192
_USUAL_GAMMA = range(45_000, 46_000)
"""1/2.2 in units of 1/100000, with the rounding found in the wild."""

TURNED = range(2, 9)
"""Every orientation but upright, which is 1."""


def orientation_of(tiff: bytes) -> int | None:
    """Read a TIFF block's orientation: from 1, upright, to 8 if it is valid; None without one."""
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
    """Read a field's first number; None if it is not an integer, or is too long for its entry and so stored elsewhere."""
    form = order + _WHOLE_NUMBERS.get(kind, "4x")
    if not 1 <= count <= 4 // struct.calcsize(form):
        return None
    return next(iter(struct.unpack_from(form, tiff, at)), None)


def join_profile(segments: list[bytes]) -> bytes:
    """Join the ICC profile in a JPEG's APP2 segments; empty if one is missing: viewers ignore the profile then.

    By annex B.4 of the ICC specification each begins with ``ICC_PROFILE\\0``, its number and the count of segments.
    Like Pillow's `JpegImagePlugin.SOF`, this uses the first segment's count.
    """
    ordered = sorted(segments)
    if not ordered or len(ordered[0]) < 14 or ordered[0][13] != len(ordered):
        return b""
    return b"".join(segment[14:] for segment in ordered)


def is_srgb(profile: bytes) -> bool:
    """Check whether an ICC profile, or the start of one, describes sRGB, the colours that TensorFlow's users assume."""
    return b"sRGB" in profile or b"s\0R\0G\0B" in profile


def remarks_of_png(
    header: Header, chunks: Mapping[bytes, bytes | memoryview], *, trailing: bool
) -> tuple[Remark, ...]:
    """Find how TensorFlow's picture of a PNG differs from what people see; ``chunks`` are the bodies by kind."""
    remarks = []
    if header.depth == 16:
        remarks.append(Remark.SIXTEEN_BIT)
    if header.colour & 4 or b"tRNS" in chunks:
        remarks.append(Remark.ALPHA_DROPPED)
    if b"acTL" in chunks:
        remarks.append(Remark.ANIMATION)
    if b"iCCP" in chunks:
        odd_colours = not is_srgb(_profile(bytes(chunks[b"iCCP"])))
    else:
        gamma = chunks.get(b"gAMA")
        odd_colours = gamma is not None and int.from_bytes(gamma[:4], "big") not in _USUAL_GAMMA
    if odd_colours:
        remarks.append(Remark.COLOUR_PROFILE)
    if orientation_of(bytes(chunks.get(b"eXIf", b""))) in TURNED:
        remarks.append(Remark.ORIENTATION_IGNORED)
    if trailing:
        remarks.append(Remark.TRAILING_BYTES)
    return tuple(remarks)


def _profile(body: bytes) -> bytes:
    """Return the name and the start of the profile in an iCCP chunk."""
    name, _, packed = body.partition(b"\0")
    try:
        return name + zlib.decompressobj().decompress(packed[1:], _PROFILE_START)
    except zlib.error:
        return name
