"""Tells the format by the first bytes, as `ClassifyFileFormat` in TensorFlow's `decode_image_op.cc` does."""

from __future__ import annotations

from cldc.validation.decoding.bmp import judge_bmp
from cldc.validation.decoding.gif import judge_gif
from cldc.validation.decoding.jpeg import judge_jpeg
from cldc.validation.decoding.png import SIGNATURE, judge_png
from cldc.validation.decoding.verdict import Format, Readable, Verdict

_LONGEST_INPUT = 2**31 - 1
_FORMATS = (
    (SIGNATURE, Format.PNG, judge_png),
    (b"\xff\xd8\xff", Format.JPEG, judge_jpeg),
    (b"GIF8", Format.GIF, judge_gif),
    (b"BM", Format.BMP, judge_bmp),
)


def judge(content: bytes) -> Verdict:
    """TensorFlow's verdict on a file's content; raises nothing, whatever the content is.

    Time grows with the length of the content and, up to a limit, with the size of the picture it claims; beyond
    that the verdict is UNSURE. Memory on top of the content stays below some megabytes.
    """
    if not content:
        return _no("Input is empty.")
    if len(content) > _LONGEST_INPUT:
        return _no(f"Input contents are too large for int: {len(content)}")
    for magic, _, judge_format in _FORMATS:
        if content.startswith(magic):
            return judge_format(content)
    return _no("Unknown image file format. One of JPEG, PNG, GIF, BMP required.")


def format_of(content: bytes) -> Format | None:
    """What TensorFlow takes the content for; its first eight bytes are enough."""
    return next((kind for magic, kind, _ in _FORMATS if content.startswith(magic)), None)


def _no(message: str) -> Verdict:
    return Verdict(Readable.NO, None, reason=f"TensorFlow: {message}")
