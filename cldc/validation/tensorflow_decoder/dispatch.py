"""Recognise a picture's format by its first bytes, and let that format's decoder judge the file."""

from __future__ import annotations

import re

from cldc.validation.tensorflow_decoder.bmp import judge_bmp
from cldc.validation.tensorflow_decoder.gif import judge_gif
from cldc.validation.tensorflow_decoder.jpeg import judge_jpeg
from cldc.validation.tensorflow_decoder.png import judge_png
from cldc.validation.tensorflow_decoder.verdict import Format, Readable, Verdict

_LONGEST_INPUT = 2**31 - 1
_FORMATS = (
    (b"\x89PNG\r\n\x1a\n", Format.PNG, judge_png),
    (b"\xff\xd8\xff", Format.JPEG, judge_jpeg),
    (b"GIF8", Format.GIF, judge_gif),
    (b"BM", Format.BMP, judge_bmp),
)

LONGEST_START = 256
"""Bytes that are enough to recognise a format."""

# Formats that TensorFlow does not read, so that advice can name them.
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


def judge(content: bytes) -> Verdict:
    """Return TensorFlow's verdict on a file's content; never raise, whatever the content is.

    Time grows with the length of the content and, up to a limit, with the size of the picture that it claims to be;
    beyond that the verdict is UNKNOWN. Besides the content it needs a few megabytes of memory.
    """
    if not content:
        problem = "Input is empty."
    elif len(content) > _LONGEST_INPUT:
        problem = f"Input contents are too large for int: {len(content)}"
    else:
        for magic, _, judge_format in _FORMATS:
            if content.startswith(magic):
                return judge_format(content)
        foreign = foreign_format(content)
        it_is = f" It is {foreign}." if foreign else ""
        problem = f"Unknown image file format. One of JPEG, PNG, GIF, BMP required.{it_is}"
    return Verdict(Readable.NO, None, reason=f"TensorFlow: {problem}")


def format_of(content: bytes) -> Format | None:
    """Recognise the format as `ClassifyFileFormat` in `decode_image_op.cc` does; the first eight bytes are enough."""
    return next((kind for magic, kind, _ in _FORMATS if content.startswith(magic)), None)


def foreign_format(start: bytes) -> str:
    """Name the format of a picture that TensorFlow does not read, such as HEIC; empty if it is unknown.

    The first `LONGEST_START` bytes of a file are enough.
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
