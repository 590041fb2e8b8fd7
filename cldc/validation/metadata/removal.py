"""Remove metadata from an image file without changing a pixel: whole parts of the file go, compressed data stay as they are."""

from __future__ import annotations

from cldc.files import hash_bytes
from cldc.validation.metadata.detection import cut_metadata
from cldc.validation.pictures import opened
from cldc.validation.tensorflow_decoder import Readable, Remark, judge


def remove_metadata(content: bytes) -> bytes | None:
    """Return the file without anything that its picture does not need; None if that is not certain.

    Data on colours, transparency, size on paper and animation stay. Of EXIF, the orientation stays, so that people and
    the model see the same picture as before. The result is None if the file is damaged, or if Pillow can't read it or
    would read another picture afterwards.
    """
    before = judge(content)
    if before.readable is not Readable.YES or Remark.DAMAGED in before.remarks:
        return None
    stripped = cut_metadata(content)
    if stripped is None:
        return None
    after = judge(stripped)
    same = before[:4] == after[:4]  # readable, format, width and height
    pixels = _pixels(content)
    return stripped if same and pixels is not None and pixels == _pixels(stripped) else None


def _pixels(content: bytes) -> tuple[str, str] | None:
    """Return the mode and a hash of the pixels of the first frame as Pillow reads them; None if it can't."""
    try:
        with opened(content) as image:
            return image.mode, hash_bytes(image.tobytes())
    except Exception:  # Pillow raises all sorts of things on odd files
        return None
