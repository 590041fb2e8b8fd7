"""Tells the format by the first bytes, as `ClassifyFileFormat` in TensorFlow's `decode_image_op.cc` does."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable

from cldc.validation.decoding.foreign import foreign_format
from cldc.validation.decoding.verdict import Format, Readable, Verdict

_LONGEST_INPUT = 2**31 - 1
_FORMATS = (
    (b"\x89PNG\r\n\x1a\n", Format.PNG),
    (b"\xff\xd8\xff", Format.JPEG),
    (b"GIF8", Format.GIF),
    (b"BM", Format.BMP),
)


def judge(content: bytes) -> Verdict:
    """TensorFlow's verdict on a file's content; raises nothing, whatever the content is.

    Time grows with the length of the content and, up to a limit, with the size of the picture it claims; beyond
    that the verdict is UNKNOWN. Memory on top of the content stays below some megabytes.
    """
    return judge_and_inflate(content)[0]


def judge_and_inflate(content: bytes) -> tuple[Verdict, bytes]:
    """`judge`, and what it had to inflate: the filtered rows of a PNG that is plainly sound, else nothing."""
    if not content:
        return _no("Input is empty."), b""
    if len(content) > _LONGEST_INPUT:
        return _no(f"Input contents are too large for int: {len(content)}"), b""
    for magic, kind in _FORMATS:
        if content.startswith(magic):
            if kind is Format.PNG:
                return _judge_png()(content)
            return _judge_of(kind)(content), b""
    foreign = foreign_format(content)
    it_is = f" It is {foreign}." if foreign else ""
    return _no(f"Unknown image file format. One of JPEG, PNG, GIF, BMP required.{it_is}"), b""


# Most datasets have one format, and a check that reads no file needs no judge.
@functools.cache
def _judge_of(kind: Format) -> Callable[[bytes], Verdict]:
    module = importlib.import_module(f"cldc.validation.decoding.{kind.value}")
    judge_format: Callable[[bytes], Verdict] = getattr(module, f"judge_{kind.value}")
    return judge_format


@functools.cache
def _judge_png() -> Callable[[bytes], tuple[Verdict, bytes]]:
    from cldc.validation.decoding.png import judge_png

    return judge_png


def format_of(content: bytes) -> Format | None:
    """What TensorFlow takes the content for; its first eight bytes are enough."""
    return next((kind for magic, kind in _FORMATS if content.startswith(magic)), None)


def _no(message: str) -> Verdict:
    return Verdict(Readable.NO, None, reason=f"TensorFlow: {message}")
