"""Remove metadata from an image file without changing a pixel: whole parts of the file go, compressed data stay as they are."""

from __future__ import annotations

import hashlib
import io
import warnings

from cldc.validation.metadata.finding import find_pieces
from cldc.validation.metadata.model import OddStructureError
from cldc.validation.tensorflow_decoder import Readable, Remark, judge
from cldc.validation.tensorflow_decoder.dispatch import format_of


def remove_metadata(content: bytes) -> bytes | None:
    """The file without anything that its picture does not need; None where that can't be had without a doubt.

    What decides on colours, transparency, size on paper and animation stays. Of EXIF the orientation stays, so that neither
    people nor the model see another picture than before. A file that is damaged, or that Pillow can't read or would read
    as another picture afterwards, is given up.
    """
    before = judge(content)
    if before.readable is not Readable.YES or Remark.DAMAGED in before.remarks:
        return None
    stripped = cut_metadata(content)
    if stripped is None:
        return None
    after = judge(stripped)
    alike = (before.readable, before.format, before.width, before.height) == (
        after.readable,
        after.format,
        after.width,
        after.height,
    )
    pixels = _pixels(content)
    return stripped if alike and pixels is not None and pixels == _pixels(stripped) else None


def cut_metadata(content: bytes) -> bytes | None:
    """What `remove_metadata` makes of a file, unless its structure is odd, but with no other doubt looked into."""
    kept: list[bytes] = []
    at = 0
    try:
        for piece in find_pieces(content, format_of(content)):
            kept += (content[at : piece.start], piece.instead)
            at = piece.end
    except OddStructureError:
        return None
    return b"".join((*kept, content[at:]))


def _pixels(content: bytes) -> tuple[str, str] | None:
    """The mode and a hash of the pixels of the first frame as Pillow reads them; None where it can't."""
    # A second check shows no picture, and Pillow takes a fifth of its time to import.
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "GIF", "BMP"))
            image.load()
            return image.mode, hashlib.sha256(image.tobytes()).hexdigest()
    except Exception:  # Pillow raises all sorts of things on odd files
        return None
