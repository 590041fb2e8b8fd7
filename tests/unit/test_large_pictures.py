"""Pictures of many pixels are compared like others, in bounded memory, and those that can't be compared are counted."""

from __future__ import annotations

import io
import itertools
import warnings
import zlib
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from cldc import competition
from cldc.validation import Finding, Severity, large_pictures, validate
from cldc.validation.large_pictures import coefficient_bytes, reduced_picture
from cldc.validation.pictures import as_grey, is_opaque
from cldc.validation.tensorflow_decoder import Format, Readable, Verdict, judge
from cldc.validation.tensorflow_decoder.png_header import SAMPLES
from cldc.validation.thumbnails import thumbnails
from tests.support.folders import CLASSES, make_dataset
from tests.support.images import chunk, filtered_rows, ihdr, saved

COMPETITION = competition.load()
PHOTO = (2800, 2100)


def drawing(number: int = 0) -> Image.Image:
    """A few strokes, black on white; another number gives others."""
    random = Random(number)
    picture = Image.new("L", (240, 180), 255)
    pen = ImageDraw.Draw(picture)
    for _ in range(4):
        pen.line([random.randrange(10, 170) for _ in range(6)], fill=0, width=7)
    return picture


def photo(of: Image.Image, seed: int, *, table: float = 0.0, size: tuple[int, int] = PHOTO) -> bytes:
    """A drawing on paper somewhere in a noisy JPEG, with a table on its left side."""
    random = Random(seed)
    width, height = size
    by = random.uniform(4.0, 7.0)
    grown = of.resize((int(of.width * by), int(of.height * by)), Image.Resampling.BICUBIC)
    page = Image.new("L", size, 255)
    page.paste(
        grown, (random.randrange(width // 4, width - grown.width), random.randrange(height - grown.height))
    )
    page = page.filter(ImageFilter.GaussianBlur(1)).point([v * 205 // 255 for v in range(256)])
    page.paste(60, (0, 0, int(width * table), height))
    noisy = ImageChops.add(page, Image.effect_noise(size, 12), 1, -128)
    return saved(Image.merge("RGB", (noisy, noisy, noisy)), "JPEG", quality=85)


def found(folder: Path, rule: str) -> list[Finding]:
    return [finding for finding in validate(folder, COMPETITION).findings if finding.rule == rule]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "digits")


def test_large_photos_of_one_drawing_under_many_labels_are_one_conflict(folder: Path) -> None:
    for small in folder.glob("train/*/*.png"):
        small.unlink()
    for number, label in enumerate(CLASSES[:5]):
        (folder / "train" / label / "photo.jpg").write_bytes(photo(drawing(), number))
        (folder / "train" / label / "other.jpg").write_bytes(photo(drawing(number + 1), number))
    findings = validate(folder, COMPETITION).findings
    (conflict,) = (finding for finding in findings if finding.rule == "drawing-two-labels")
    assert sorted(conflict.paths) == sorted(f"train/{label}/photo.jpg" for label in CLASSES[:5])
    assert not {finding.rule for finding in findings} & {"not-compared", "outsized-image"}


def test_photos_of_different_drawings_on_one_table_are_not_taken_for_one(folder: Path) -> None:
    for number, label in enumerate(CLASSES[:3]):
        (folder / "train" / label / "photo.jpg").write_bytes(photo(drawing(number), number, table=0.2))
    rules = {finding.rule for finding in validate(folder, COMPETITION).findings}
    assert not rules & {"drawing-two-labels", "not-compared"}


def tilted(picture: bytes) -> bytes:
    """A photo whose table does not fill a whole side."""
    image = Image.open(io.BytesIO(picture)).convert("L")
    ImageDraw.Draw(image).polygon([(0, 0), (image.width, 0), (0, image.height)], fill=60)
    return saved(image, "JPEG")


def test_images_that_cannot_be_compared_are_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "train" / "i" / "table.jpg").write_bytes(tilted(photo(drawing(), 1)))
    (folder / "val" / "i" / "large.png").write_bytes(saved(Image.new("L", (3000, 2000), 255), "PNG"))
    monkeypatch.setattr(large_pictures, "MOST_PIXELS", 5_950_000)
    (finding,) = found(folder, "not-compared")
    assert finding.paths == ("train/i/table.jpg", "val/i/large.png")
    assert finding.message.startswith("2 images could not be compared")
    assert finding.severity is Severity.NOTE


def test_a_large_picture_is_shown_small(folder: Path) -> None:
    for label in ("i", "ii"):
        (folder / "train" / label / "photo.jpg").write_bytes(photo(drawing(), len(label)))
    assert {"train/i/photo.jpg", "train/ii/photo.jpg"} <= thumbnails(validate(folder, COMPETITION)).keys()


LARGE = drawing().resize((2400, 1800))


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        *(("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
        ("JPEG", "L", {}),
        ("JPEG", "RGB", {"progressive": True}),
        ("JPEG", "CMYK", {}),
        ("GIF", "P", {}),
        ("BMP", "L", {}),
        ("BMP", "RGB", {}),
    ],
)
def test_a_large_picture_of_any_kind_is_known_by_a_small_one(
    folder: Path, kind: str, mode: str, options: dict[str, Any]
) -> None:
    picture = LARGE.convert(mode)
    (folder / "train" / "i" / f"large.{kind.lower()}").write_bytes(saved(picture, kind, **options))
    (folder / "train" / "ii" / "small.png").write_bytes(saved(drawing(), "PNG"))
    (conflict,) = found(folder, "drawing-two-labels")
    assert len(conflict.paths) == 2


def random_png(
    random: Random, width: int, height: int, depth: int, colour: int, *, transparent: bool
) -> bytes:
    """A PNG of random pixels, each row by another filter, its data in many chunks."""
    stride = (width * depth * SAMPLES[colour, depth] + 7) // 8
    distance = max(1, depth * SAMPLES[colour, depth] // 8)
    filters = [random.randrange(5) for _ in range(height)]
    rows = filtered_rows(random.randbytes(stride * height), stride, filters, distance)
    packed = zlib.compress(rows)
    pieces = [packed[at : at + 50] for at in range(0, len(packed), 50)]
    parts = [ihdr(width, height, depth, colour)]
    if colour == 3:
        parts.append(chunk(b"PLTE", random.randbytes(3 << depth)))
    if transparent and colour in (0, 2, 3):
        parts.append(chunk(b"tRNS", {0: bytes(2), 2: bytes(6), 3: bytes((255, 128))}[colour]))
    parts += [*(chunk(b"IDAT", piece) for piece in pieces), chunk(b"IEND", b"")]
    return b"".join(parts)


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from([(*form, transparent) for form in sorted(SAMPLES) for transparent in (False, True)]),
    st.integers(8, 2000),
    st.integers(1, 900),
    st.randoms(use_true_random=False),
)
def test_a_png_decoded_in_strips_is_the_whole_picture_reduced(
    size: tuple[int, int], form: tuple[int, int, bool], most_pixels: int, strip_bytes: int, random: Random
) -> None:
    width, height = size
    colour, depth, transparent = form
    content = random_png(random, width, height, depth, colour, transparent=transparent)
    assert judge(content).readable is Readable.YES
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_pictures, "MAX_PIXELS", most_pixels)
        patch.setattr(large_pictures, "STRIP_BYTES", strip_bytes)
        reduced = reduced_picture(content, judge(content))
    assert reduced is not None
    # The smallest factor that is enough.
    factor = next(f for f in itertools.count(1) if -(-width // f) * -(-height // f) <= most_pixels)
    with Image.open(io.BytesIO(content)) as whole, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of palettes with transparency
        assert reduced.grey.tobytes() == as_grey(whole).reduce(factor).tobytes()
        assert reduced.opaque == is_opaque(whole)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_a_damaged_or_cut_picture_has_no_reduced_one(damage: bytes, at: int) -> None:
    content = random_png(Random(1), 30, 30, 8, 2, transparent=False)
    broken = content[:at] + damage
    verdict = Verdict(Readable.YES, Format.PNG, 30, 30)
    assert reduced_picture(broken[:29].ljust(29, b"\0") + broken[29:], verdict) is None


@pytest.mark.parametrize(("subsampling", "held"), [(0, 2 * 3 * 64 * 48), (2, 2 * 64 * 48 * 3 // 2)])
def test_what_libjpeg_holds_of_a_progressive_jpeg_is_counted(subsampling: int, held: int) -> None:
    picture = Image.new("RGB", (64, 48))
    assert coefficient_bytes(saved(picture, "JPEG")) == 0
    content = saved(picture, "JPEG", progressive=True, subsampling=subsampling)
    assert coefficient_bytes(content) == held
