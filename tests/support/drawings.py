"""A drawing in every form in which people have theirs, to be held against what a person sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pypdfium2
from PIL import Image, ImageChops, ImageDraw, ImageOps, TiffImagePlugin

DATA = Path(__file__).parents[1] / "data" / "pictures"
# What tests/data/pictures holds too: made by pillow-heif 1.8.1 from this drawing, the second with a rotation.
_SHADE = 20
# EXIF orientations, and what a camera held that way makes of the upright picture.
_HELD = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_ORIENTATION = 0x0112
_WHITE_IS_ZERO = 0


def seen() -> Image.Image:
    """What a person sees: dark strokes on white, no two sides and no mirror image of it alike."""
    image = Image.new("L", (180, 120), 255)
    pen = ImageDraw.Draw(image)
    for stroke in ([(25, 20), (50, 95), (75, 20)], [(100, 20), (100, 95)], [(145, 55), (145, 95)]):
        pen.line(stroke, fill=_SHADE, width=7)
    return image


def _with_exif(orientation: int, **options: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        exif[0x010E] = "a secret"
        seen().convert("RGB").transpose(_HELD[orientation]).save(path, exif=exif.tobytes(), **options)

    return write


def _transparent(ink: int, **options: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        image = Image.merge("LA", (Image.new("L", seen().size, ink), ImageChops.invert(seen())))
        image.convert("RGBA").save(path, **options)

    return write


def _palette(path: Path) -> None:
    # Ink and paper in places of the palette that say nothing of their shades.
    image = seen().point(lambda shade: 7 if shade > 127 else 200).convert("P")
    colours = [123] * 768
    colours[7 * 3 : 8 * 3], colours[200 * 3 : 201 * 3] = [255, 255, 250], [_SHADE, _SHADE, 40]
    image.putpalette(colours)
    image.save(path)


def _deep(most: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        image = Image.new("I;16", seen().size)
        image.putdata([round(shade * most / 255) for shade in seen().tobytes()])
        image.save(path)

    return write


def _moving(path: Path) -> None:
    blank = Image.new("L", seen().size, 255)
    seen().convert("RGB").save(path, save_all=True, append_images=[blank.convert("RGB")] * 2, duration=100)


def _white_is_zero(path: Path) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[262] = _WHITE_IS_ZERO
    ImageOps.invert(seen()).save(path, tiffinfo=tags)


def _pdf(rotation: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        turned = seen().rotate(rotation, expand=True, fillcolor=255)
        turned.save(path, "PDF", resolution=72)
        document = pypdfium2.PdfDocument(path.read_bytes())
        document[0].set_rotation(rotation)
        document.save(path)
        document.close()

    return write


def _photo(path: Path) -> None:
    """Grey paper in a shadow from the left, with the noise of a camera."""
    shadow = Image.linear_gradient("L").rotate(90).resize(seen().size).point(lambda shade: 110 + shade // 3)
    photo = ImageChops.multiply(seen(), shadow)
    noise = Image.effect_noise(seen().size, 12)
    ImageChops.add(photo, noise, offset=-128).convert("RGB").save(path, quality=90)


def _sample(name: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes((DATA / name).read_bytes())

    return write


def _saved(mode: str, **options: Any) -> Callable[[Path], None]:
    return lambda path: seen().convert(mode).save(path, **options)


# Each form by the name of a file of it.
FORMS: Mapping[str, Callable[[Path], None]] = {
    "grey.png": _saved("L"),
    "colour.png": _saved("RGB"),
    "two-shades.png": _saved("1"),
    "palette.png": _palette,
    "palette.gif": _palette,
    "transparent.png": _transparent(_SHADE),
    "white-on-transparent.png": _transparent(255),
    "transparent.webp": _transparent(_SHADE, lossless=True),
    "deep.png": _deep(65535),
    "deep.tif": _deep(65535),
    "twelve-bits.tif": _deep(4095),
    "white-is-zero.tif": _white_is_zero,
    "packed.tif": _saved("L", compression="tiff_lzw"),
    "inverted.png": lambda path: ImageOps.invert(seen()).save(path),
    "print.jpg": _saved("CMYK"),
    "lossy.jpg": _saved("L", quality=60),
    "old.bmp": _saved("RGB"),
    "archive.jp2": _saved("L"),
    "plain.pgm": _saved("L"),
    "web.webp": _saved("RGB", quality=70),
    "new.avif": _saved("RGB", quality=70),
    "turned.avif": _with_exif(6),
    "turned.webp": _with_exif(8),
    "turned.tif": _with_exif(6),
    "upright.heic": _sample("upright.heic"),
    "turned.heic": _sample("turned.heic"),
    "moving.gif": _moving,
    "moving.webp": _moving,
    "moving.png": _moving,
    "page.pdf": _pdf(0),
    "turned.pdf": _pdf(90),
    "photo.jpg": _photo,
    **{f"held-{number}.jpg": _with_exif(number, quality=90) for number in _HELD},
}
