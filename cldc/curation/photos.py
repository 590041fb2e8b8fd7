"""Open photos, scans and documents as people see them: upright, on white paper, page by page."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pi_heif
import PIL
import pypdfium2
from PIL import Image, ImageChops, ImageMath, ImageOps, ImageSequence

# More pixels than a phone's photo has; each takes three bytes of memory.
MAX_PIXELS = 120_000_000
# Longest side, in pixels, to which large pictures are reduced before anything else: a stroke keeps several pixels.
_WORKING_SIDE = 2048
_PDF_START = b"%PDF-"
# Exceptions of Pillow for damaged files or files that a plugin can't open.
_DAMAGED = (
    OSError, ValueError, SyntaxError, EOFError, TypeError, KeyError, IndexError, OverflowError, RuntimeError,
)  # fmt: skip
# Formats of photos and scans; Pillow has more, some of which start other programs.
_FORMATS = (
    "PNG", "JPEG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "HEIF", "JPEG2000", "PPM", "TGA", "PCX",
)  # fmt: skip
# Formats with pages, all of which are imported; of animations, only the first picture is.
_PAGED = ("TIFF",)
# Greys with more than 8 bits.
_DEPTHS = tuple(2**bits - 1 for bits in (8, 10, 12, 14, 16))
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")


class NotReadable(Exception):
    """A file, or a page of it, is not a readable picture; the text gives the reason."""


class Picture(NamedTuple):
    """One picture: its page in the file, from 1, or 0 if it is the only one; its grey pixels (mode L); whether the file
    is an animation, of which this is the first picture.
    """

    page: int
    grey: Image.Image
    animated: bool = False


def open_pictures(path: Path) -> Iterator[Picture]:
    """Iterate over the pictures of a file: one, or each page of a PDF or TIFF, at most 2,048 pixels on the longest side.

    Raises:
        NotReadable: It is not a picture, is damaged, or is too large.
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        is_pdf = _PDF_START in file.read(1024)
    try:
        with warnings.catch_warnings():
            # Pillow's warnings are either harmless or reported here.
            warnings.simplefilter("ignore")
            yield from _pages(path) if is_pdf else _pictures(path)
    except PIL.UnidentifiedImageError:
        raise NotReadable("it is not a picture in a known format") from None
    except Image.DecompressionBombError:
        raise NotReadable(f"it has more than {MAX_PIXELS:,} pixels") from None
    except pypdfium2.PdfiumError as error:
        reason = "it needs a password" if "password" in str(error).lower() else "the document is damaged"
        raise NotReadable(reason) from None
    except MemoryError:
        raise NotReadable("it is too large for this machine's memory") from None
    except _DAMAGED as error:
        raise NotReadable(f"it is damaged ({' '.join(str(error).split()) or type(error).__name__})") from None


def _pages(path: Path) -> Iterator[Picture]:
    with contextlib.closing(pypdfium2.PdfDocument(path)) as document:
        count = len(document)
        for number in range(count):
            page = document[number]
            scale = _WORKING_SIDE / max(*page.get_size(), 1.0)
            yield Picture(
                number + 1 if count > 1 else 0, page.render(scale=scale, grayscale=True).to_pil().convert("L")
            )
            page.close()


def _pictures(path: Path) -> Iterator[Picture]:
    Image.init()  # every format, not only the common ones
    pi_heif.register_heif_opener(thumbnails=False)
    with Image.open(path, formats=_FORMATS) as image:
        _check_size(image)
        frames = getattr(image, "n_frames", 1)
        if image.format in _PAGED and frames > 1:
            for number, frame in enumerate(ImageSequence.Iterator(image), 1):
                _check_size(frame)
                yield Picture(number, _grey(frame))
            return
        # Decodes a JPEG at a fraction of its size.
        image.draft(None, (_WORKING_SIDE, _WORKING_SIDE))
        animated = frames > 1 and image.format in ("GIF", "WEBP", "PNG", "AVIF")
        yield Picture(0, _grey(image), animated)


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError


def _grey(image: Image.Image) -> Image.Image:
    """Convert a picture to grey as people see it: upright, with transparency on white."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode in _DEEP:
        grey = _eight_bits(upright)
    elif upright.has_transparency_data:
        grey = _on_paper(upright.convert("RGBA"))
    else:
        grey = upright.convert("RGB" if upright.mode not in ("1", "L") else "L").convert("L")
    grey.thumbnail((_WORKING_SIDE, _WORKING_SIDE), Image.Resampling.BOX, reducing_gap=None)
    plain = Image.new("L", grey.size)
    plain.paste(grey)  # without the file's metadata
    return plain


def _eight_bits(image: Image.Image) -> Image.Image:
    """Reduce greys to 8 bits, by the full range of the fewest bits that hold them; fractions by their own range."""
    values = image.convert("F" if image.mode == "F" else "I")
    low, high = values.getextrema()
    assert isinstance(low, int | float)  # noqa: S101 - one band
    assert isinstance(high, int | float)  # noqa: S101
    if image.mode.startswith("I") and low >= 0 and high <= _DEPTHS[-1]:
        low, high = 0, next(most for most in _DEPTHS if most >= high)
    span = (high - low) or 1
    grey: Image.Image = ImageMath.lambda_eval(
        lambda given: given["convert"]((given["float"](given["values"]) - low) * 255 / span + 0.5, "L"),
        values=values,
    )
    return grey


def _on_paper(image: Image.Image) -> Image.Image:
    """Put a transparent picture on white; if that hides a white drawing, make the drawing black."""
    alpha = image.getchannel("A")
    paper = Image.new("RGBA", image.size, "white")
    paper.alpha_composite(image)
    grey = paper.convert("L")
    low, high = grey.getextrema()
    seen, hidden = int(high) - int(low), alpha.getextrema()  # type: ignore[arg-type]
    if seen < 16 and int(hidden[1]) - int(hidden[0]) >= 128:  # type: ignore[arg-type]
        return ImageChops.invert(alpha)
    return grey
