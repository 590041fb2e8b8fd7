"""Picture formats that TensorFlow does not read, told by a file's first bytes, so that advice can name them."""

from __future__ import annotations

import re

LONGEST_START = 256
"""Bytes that are enough to tell a format."""

_MAGICS = (
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\1\0", "ICO"),
    (b"icns", "ICNS"),
    (b"8BPS", "Photoshop"),
    (b"DDS ", "DDS"),
    (b"%PDF", "PDF"),
)
# A file of the ISO base media format begins with a box of its length, "ftyp" and four-letter brands.
_BRANDS = (
    (re.compile(rb"avi[fs]"), "AVIF"),
    (re.compile(rb"hei[cxms]|hev[cxms]|mif1|msf1"), "HEIC"),
    (re.compile(rb"crx "), "camera raw"),
)
_NETPBM = re.compile(rb"P[1-7]\s")
_SVG = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!DOCTYPE svg[^>]*>\s*)?<svg\b", re.DOTALL)


def foreign_format(start: bytes) -> str:
    """The name of the picture format that ``start`` begins, such as HEIC; empty if it is none of those known here.

    Args:
        start: The first `LONGEST_START` bytes of a file, or all of it.
    """
    start = start[:LONGEST_START]
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WebP"
    if start[4:8] == b"ftyp":
        brands = start[8 : int.from_bytes(start[:4], "big")]
        return next((name for brand, name in _BRANDS if brand.search(brands)), "")
    if _NETPBM.match(start):
        return "Netpbm"
    if _SVG.match(start.removeprefix(b"\xef\xbb\xbf")):
        return "SVG"
    return next((name for magic, name in _MAGICS if start.startswith(magic)), "")
