"""BMP as `DecodeBmpV2` in TensorFlow's `decode_image_op.cc` reads it: a few header fields, no palette.

The compression field, the header's version and the masks are never looked at; the size has to match to the byte.
"""

from __future__ import annotations

import struct

from cldc.validation.decoding.verdict import Format, Readable, Remark, Verdict

_SHORTEST = 32
_PIXEL_LIMIT = (2**31 - 1) // 8

_FIELDS = struct.Struct("<10xi4xiixxh")
"""Header size at 10, width at 18, height at 22, bits a pixel at 28: all signed, as TensorFlow reads them."""


def judge_bmp(content: bytes) -> Verdict:
    """The verdict on content that begins with ``BM``."""
    if len(content) < _SHORTEST:
        return _no(
            "Incomplete bmp content, requires at least 32 bytes to find the header size, width, height, and bpp, "
            f"got {len(content)} bytes"
        )
    header_size, width, height, bits = _FIELDS.unpack_from(content)
    channels = int(bits / 8)  # C truncates towards zero
    row_size = (channels * width + 3) // 4 * 4
    difference = len(content) - header_size - row_size * abs(height)
    checks = (
        (
            channels in {1, 3, 4},
            f"Number of channels inherent in the image must be 1, 3 or 4, was {channels}",
        ),
        (width > 0, "Width must be positive"),
        (height != 0, "Height must be nonzero"),
        (header_size >= 0, "header size must be nonnegative"),
        (width * abs(height) < _PIXEL_LIMIT, "Total possible pixel bytes must be less than 2^30"),
        (
            difference == 0,
            f"Input size should match (header_size + row_size * abs_height) but they differ by {difference}",
        ),
    )
    for holds, message in checks:
        if not holds:
            return _no(message, width, abs(height))
    return Verdict(
        Readable.YES, Format.BMP, width, abs(height), remarks=_remarks(content, header_size, channels)
    )


def _remarks(content: bytes, header_size: int, channels: int) -> tuple[Remark, ...]:
    if channels == 4:
        # Bytes 3, 7, 11 ... are the alpha where there is one; most writers leave it at 0 or 255 throughout.
        alpha = content[header_size + 3 :: 4]
        return (Remark.ALPHA_DROPPED,) if len(alpha.translate(None, b"\x00")) not in {0, len(alpha)} else ()
    if channels == 1 and not _is_grey_ramp(content):
        return (Remark.RAW_PALETTE,)
    return ()


def _is_grey_ramp(content: bytes) -> bool:
    """Whether the palette maps every index to the same grey, so that raw indices are what people see."""
    (dib_size,) = struct.unpack_from("<I", content, 14)
    start = 14 + dib_size
    palette = content[start : start + 1024]
    ramp = bytes(range(256))
    return palette[0::4] == ramp and palette[1::4] == ramp and palette[2::4] == ramp


def _no(message: str, width: int | None = None, height: int | None = None) -> Verdict:
    return Verdict(Readable.NO, Format.BMP, width, height, f"TensorFlow: {message}")
