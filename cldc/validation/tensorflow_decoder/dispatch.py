"""Recognise the format by the first bytes, like `ClassifyFileFormat` in TensorFlow's `decode_image_op.cc`."""

from __future__ import annotations

from cldc.validation.tensorflow_decoder.bmp import judge_bmp
from cldc.validation.tensorflow_decoder.foreign import foreign_format
from cldc.validation.tensorflow_decoder.gif import judge_gif
from cldc.validation.tensorflow_decoder.jpeg import judge_jpeg
from cldc.validation.tensorflow_decoder.png import judge_png
from cldc.validation.tensorflow_decoder.verdict import Format, Readable, Verdict

_LONGEST_INPUT = 2**31 - 1
_FORMATS = (
    (b"\x89PNG\r\n\x1a\n", Format.PNG),
    (b"\xff\xd8\xff", Format.JPEG),
    (b"GIF8", Format.GIF),
    (b"BM", Format.BMP),
)
_JUDGES = {Format.JPEG: judge_jpeg, Format.GIF: judge_gif, Format.BMP: judge_bmp}


def judge(content: bytes) -> Verdict:
    """TensorFlow's verdict on a file's content; raises nothing, whatever the content is.

    Time grows with the length of the content and, up to a limit, with the size of the picture that it claims to be;
    beyond that the verdict is UNKNOWN. Besides the content it needs a few megabytes of memory.
    """
    return judge_and_inflate(content)[0]


def judge_and_inflate(content: bytes) -> tuple[Verdict, bytes]:
    """`judge`, and what it had to inflate: the filtered rows of a PNG that is clearly sound, otherwise nothing."""
    if not content:
        return _no("Input is empty."), b""
    if len(content) > _LONGEST_INPUT:
        return _no(f"Input contents are too large for int: {len(content)}"), b""
    kind = format_of(content)
    if kind is Format.PNG:
        return judge_png(content)
    if kind is not None:
        return _JUDGES[kind](content), b""
    foreign = foreign_format(content)
    it_is = f" It is {foreign}." if foreign else ""
    return _no(f"Unknown image file format. One of JPEG, PNG, GIF, BMP required.{it_is}"), b""


def format_of(content: bytes) -> Format | None:
    """The format as TensorFlow recognises it; the first eight bytes of the content are enough."""
    return next((kind for magic, kind in _FORMATS if content.startswith(magic)), None)


def _no(message: str) -> Verdict:
    return Verdict(Readable.NO, None, reason=f"TensorFlow: {message}")
