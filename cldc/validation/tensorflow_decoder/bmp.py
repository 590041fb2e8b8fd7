"""BMP as `DecodeBmpV2` in TensorFlow's `decode_image_op.cc` reads it: a few header fields, no palette.

The compression field, the header's version and the masks are ignored; the size has to match to the byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from cldc.validation.tensorflow_decoder.verdict import Format, Readable, Remark, Verdict

_SHORTEST = 32
_PIXEL_LIMIT = (2**31 - 1) // 8

_FIELDS = struct.Struct("<10xi4xiixxh")
"""Header size at 10, width at 18, height at 22, bits a pixel at 28: all signed, as TensorFlow reads them."""

_VIEWED = struct.Struct("<14xI10xHI")
"""Fields that image viewers use: the size of the header proper at 14, bits a pixel at 28, compression at 30."""

_BITFIELDS, _ALPHA_BITFIELDS = 3, 6
_MASKS_AT = 54
"""Red, green, blue: the end of a header of 40 bytes, after which they come, and inside each longer one."""

_MASKED_HEADERS = frozenset({40, 52, 56, 108, 124})
_ALPHA_SINCE = 56
_AS_READ = (0xFF0000, 0xFF00, 0xFF)
"""The masks with which image viewers show what TensorFlow reads."""

_PIXELS_AT_ONCE = 1 << 14


def judge_bmp(content: bytes) -> Verdict:
    """Return the verdict on content that begins with ``BM``."""
    if len(content) < _SHORTEST:
        reason = (
            "TensorFlow: Incomplete bmp content, requires at least 32 bytes to find the header size, width, height, and bpp, "
            f"got {len(content)} bytes"
        )
        return Verdict(Readable.NO, Format.BMP, reason=reason)
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
            return Verdict(Readable.NO, Format.BMP, width, abs(height), f"TensorFlow: {message}")
    return Verdict(
        Readable.YES, Format.BMP, width, abs(height), remarks=_remarks(content, header_size, channels)
    )


def _remarks(content: bytes, header_size: int, channels: int) -> tuple[Remark, ...]:
    if channels == 4 and (masks := _masks(content)):
        return _masked_remarks(content, header_size, masks)
    if channels == 4:
        # Bytes 3, 7, 11 ... are the alpha if it has one; most writers leave it at 0 or 255 throughout.
        alpha = content[header_size + 3 :: 4]
        return (Remark.ALPHA_DROPPED,) if len(alpha.translate(None, b"\x00")) not in {0, len(alpha)} else ()
    if channels == 1 and not _is_grey_ramp(content):
        return (Remark.RAW_PALETTE,)
    return ()


def _masks(content: bytes) -> tuple[int, int, int, int] | None:
    """Return the masks of red, green, blue and alpha (0 without alpha) that image viewers apply."""
    if len(content) < _MASKS_AT:
        return None
    size, bits, compression = _VIEWED.unpack_from(content)
    if compression not in {_BITFIELDS, _ALPHA_BITFIELDS} or size not in _MASKED_HEADERS or bits != 32:
        return None
    has_alpha = size >= _ALPHA_SINCE or compression == _ALPHA_BITFIELDS
    count = 4 if has_alpha else 3
    if len(content) < _MASKS_AT + 4 * count:
        return None
    red, green, blue, *alpha = struct.unpack_from(f"<{count}I", content, _MASKS_AT)
    if not (red or green or blue):  # Pillow and others take it as BGRA
        return None
    return red, green, blue, alpha[0] if alpha else 0


def _masked_remarks(content: bytes, at: int, masks: tuple[int, int, int, int]) -> tuple[Remark, ...]:
    *colours, alpha = masks
    # A mask of the byte that TensorFlow takes changes nothing; in grey pictures another order doesn't either.
    odd = [(mask, seen) for mask, seen in zip(colours, _AS_READ, strict=True) if mask != seen]
    differs = False
    opacities: set[bool] = set()
    for pixels in _distinct_pixels(content, at) if odd or alpha else ():
        differs = differs or any(
            _scaled(pixel, mask) != _scaled(pixel, seen) for mask, seen in odd for pixel in pixels
        )
        opacities |= {bool(pixel & alpha) for pixel in pixels}
        if (differs or not odd) and (len(opacities) == 2 or not alpha):
            break
    remarks = ((Remark.COLOUR_MASKS, differs), (Remark.ALPHA_DROPPED, len(opacities) == 2))
    return tuple(remark for remark, holds in remarks if holds)


def _distinct_pixels(content: bytes, at: int) -> Iterator[set[int]]:
    """Yield the 32-bit pixels in parts, so that a large picture takes little memory."""
    for start in range(at, len(content), 4 * _PIXELS_AT_ONCE):
        count = min(_PIXELS_AT_ONCE, (len(content) - start) // 4)
        yield set(struct.unpack_from(f"<{count}I", content, start))


def _scaled(pixel: int, mask: int) -> int:
    """Return a pixel's value under a mask, from 0 to 255."""
    if not mask:
        return 0
    lowest = mask & -mask
    most = mask // lowest
    return ((pixel & mask) // lowest * 510 + most) // (2 * most)


def _is_grey_ramp(content: bytes) -> bool:
    """Check that the palette maps every index to the same grey, so that people see the raw indices."""
    (dib_size,) = struct.unpack_from("<I", content, 14)
    start = 14 + dib_size
    palette = content[start : start + 1024]
    ramp = bytes(range(256))
    return palette[0::4] == ramp and palette[1::4] == ramp and palette[2::4] == ramp
