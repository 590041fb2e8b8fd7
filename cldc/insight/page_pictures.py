"""Pictures for a page: the image, and the same at the few pixels that the model sees."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from PIL import Image

# Shown unscaled up to this size; larger ones are scaled down for the page.
_MOST_BYTES = 16_384
_SIDE = 160


def pictures(files: Iterable[tuple[str, Path]], *, size: Sequence[int]) -> Mapping[str, tuple[str, str]]:
    """Return for each name its picture and what the model sees, as ``data:`` addresses; skip what can't be drawn.

    Args:
        files: Each picture's name and file.
        size: Height and width in pixels that the training script scales an image to.
    """
    found = {}
    for name, path in files:
        try:
            found[name] = _both(path, size[0], size[1])
        except (OSError, ValueError, SyntaxError):  # Pillow reads fewer odd files than TensorFlow
            continue
    return found


def _both(path: Path, height: int, width: int) -> tuple[str, str]:
    content = path.read_bytes()
    with Image.open(io.BytesIO(content)) as opened:
        kind, image = opened.format, opened.convert("RGB")
    if len(content) <= _MOST_BYTES and kind in ("PNG", "JPEG", "GIF"):
        whole = _address(content, f"image/{kind.lower()}")
    else:
        small = image.copy()
        small.thumbnail((_SIDE, _SIDE))
        whole = _png(small)
    return whole, _png(seen_by_model(image, (height, width)))


def seen_by_model(image: Image.Image, size: Sequence[int]) -> Image.Image:
    """Scale an image of mode L or RGB to a height and width as ``tf.image.resize`` does.

    That is bilinear interpolation of the four nearest pixels, without antialiasing.
    """
    height, width = size
    matrix = (image.width / width, 0, 0, 0, image.height / height, 0)
    return image.transform(
        (width, height), Image.Transform.AFFINE, matrix, resample=Image.Resampling.BILINEAR
    )


def _png(image: Image.Image) -> str:
    held = io.BytesIO()
    image.save(held, "PNG")
    return _address(held.getvalue(), "image/png")


def _address(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
