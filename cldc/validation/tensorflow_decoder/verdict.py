"""The verdict on one file."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class RefusedError(Exception):
    """The library that TensorFlow reads with would stop here; the text says why."""


class TooMuchWorkError(Exception):
    """Only TensorFlow can tell, since deciding would take too long; the text says what there is too much of."""


class Readable(StrEnum):
    """Whether TensorFlow reads the file."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unsure"


class Format(StrEnum):
    """The four formats that TensorFlow reads, recognised by the first bytes and never by the name."""

    PNG = "png"
    JPEG = "jpeg"
    GIF = "gif"
    BMP = "bmp"


class Remark(StrEnum):
    """TensorFlow reads the file, but not as people see it; the value is stable, for JSON and SARIF."""

    ANIMATION = "animation"
    ALPHA_DROPPED = "alpha-dropped"
    SIXTEEN_BIT = "sixteen-bit"
    RAW_PALETTE = "raw-palette"
    COLOUR_MASKS = "colour-masks"
    COLOUR_PROFILE = "colour-profile"
    CMYK = "cmyk"
    ORIENTATION_IGNORED = "orientation-ignored"
    TRANSPARENT_GIF = "transparent-gif"
    PARTIAL_FRAME = "partial-frame"
    TRAILING_BYTES = "trailing-bytes"
    DAMAGED = "damaged"
    SEVERAL_PICTURES = "several-pictures"

    @property
    def text(self) -> str:
        """Describe it in one sentence."""
        return _REMARK_TEXTS[self]


_REMARK_TEXTS = {
    Remark.ANIMATION: "An animation: only its first frame is read.",
    Remark.ALPHA_DROPPED: "Transparency is dropped: transparent pixels appear in whatever colour they hide.",
    Remark.SIXTEEN_BIT: "16 bits a channel: only the upper 8 are kept.",
    Remark.RAW_PALETTE: "An 8-bit BMP: palette indices are taken as grey values, the palette is ignored.",
    Remark.COLOUR_MASKS: "A BMP with colour masks: they are ignored, and blue, green and red taken in that order.",
    Remark.COLOUR_PROFILE: "The embedded colour profile or gamma is ignored.",
    Remark.CMYK: "A CMYK picture: it is converted without its colour profile.",
    Remark.ORIENTATION_IGNORED: "The EXIF orientation is ignored: the picture is read as it lies in the file.",
    Remark.TRANSPARENT_GIF: "Transparency of the GIF is dropped: transparent pixels appear in whatever colour they hide.",
    Remark.PARTIAL_FRAME: "The first frame is not as large as the GIF's canvas: only what lies inside is read.",
    Remark.TRAILING_BYTES: "Bytes after the end of the picture are ignored.",
    Remark.DAMAGED: "The file is damaged but is still read: parts of the picture may be wrong.",
    Remark.SEVERAL_PICTURES: "Several pictures in one file: only the first is read.",
}


class Verdict(NamedTuple):
    """Whether `tf.io.decode_image(contents, channels=3, expand_animations=False)` reads a file.

    Attributes:
        readable: YES and NO are TensorFlow 2.4.1's own answer, and 2.5's. TensorFlow 2.9 also refuses some small
            progressive JPEGs with missing scans (remarked as damaged here). UNKNOWN means that only TensorFlow can tell.
        format: The format that the first bytes announce; None if TensorFlow does not know it.
        width: Pixels, if the header could be read.
        height: Pixels, if the header could be read.
        reason: Why it is not YES, with TensorFlow's own message; empty for YES.
        remarks: How the picture differs from what people see, in no particular order; only for YES and UNKNOWN.
        rows: The filtered rows of a PNG that is plainly sound, which `judge` had to inflate; they are not stored.
    """

    readable: Readable
    format: Format | None
    width: int | None = None
    height: int | None = None
    reason: str = ""
    remarks: tuple[Remark, ...] = ()
    rows: bytes = b""
