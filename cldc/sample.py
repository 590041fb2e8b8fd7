"""Draw datasets that look like handwriting, to try cldc out without a real dataset.

Each image shows the name of its class, written with a wobbling pen of random size, position, slant and thickness. Like the 2021
competition's images, it is a PNG of two colours, about 250 pixels square and 2 KB in size, with the same compression.
An image depends only on the seed, its split, its class and its number, so the same call draws the same pixels everywhere.
"""

from __future__ import annotations

import functools
import itertools
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image, ImageChops, ImageDraw

from cldc.competition import Competition
from cldc.errors import UsageError
from cldc.files import storage_errors, temporary_folder
from cldc.progress import SILENT, Observer

Point = tuple[float, float]
Stroke = list[Point]

TRAIN_SHARE = 0.7
LABEL_BOOK_IMAGES = 52
_PAPER = 255
# The two shades of ink of the 2021 images: scanned black, and the grey of a tablet's pen.
_INKS = (0, 64)
_GLYPH_HEIGHT = 6.0

# An alphabet of strokes on a grid of 5 x 7: a space separates strokes, and each point has two digits, x and y.
_ALPHABET = {
    "A": "062046 1434", "B": "060030413303 3344453606", "C": "4130100105163645", "D": "06002042442606",
    "E": "40000646 0333", "F": "400006 0333", "G": "41301001051636454323", "H": "0006 4046 0343", "I": "2026",
    "J": "3035261605", "K": "0006 400346", "L": "000646", "M": "0600234046", "N": "06004640",
    "O": "103041453616050110", "P": "06003041423303", "Q": "103041453616050110 2446", "R": "06003041423303 2346",
    "S": "413010010213334445361605", "T": "0040 2026", "U": "000516364540", "V": "002640", "W": "0016233640",
    "X": "0046 4006", "Y": "002340 2326", "Z": "00400646", "0": "103041453616050110 3115", "1": "112026",
    "2": "01103041420646", "3": "004022324345361605", "4": "36300444", "5": "4000023243453606",
    "6": "30110305163645443304", "7": "004016", "8": "13020110304142331304051636454433",
    "9": "42331302011030414326", "i": "2226 2020", "-": "0343", "_": "0646",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _PlannedImage:
    """An image still to be drawn: its path, its text, and the seed of its random numbers."""

    path: Path
    text: str
    seed: str


def draw(
    folder: Path, competition: Competition, *, images: int = 400, seed: int = 0, observer: Observer = SILENT
) -> Path:
    """Draw a dataset of ``images`` images into the new folder ``folder`` and return it.

    The first split gets about 70 % of them, the others share the rest. In each split every class gets the same number, give or
    take one.

    Raises:
        UsageError: ``folder`` exists already, or the images are too few for each class of each split.
        StorageError: The disk is full or not writable.
    """
    rules = competition.dataset
    least = len(rules.splits) * len(rules.classes)
    if images < least:
        raise UsageError(
            f"{images} images are too few for {len(rules.classes)} classes in {len(rules.splits)} splits.",
            action=f"Ask for {least} or more.",
        )
    rest = max(len(rules.classes), round(images * (1 - TRAIN_SHARE) / (len(rules.splits) - 1)))
    rest = min(rest, (images - len(rules.classes)) // (len(rules.splits) - 1))
    counts = dict.fromkeys(rules.splits[1:], rest)
    counts = {rules.splits[0]: images - sum(counts.values()), **counts}
    plan = [
        planned
        for split, count in counts.items()
        for planned in _class_folders(Path(split), rules.classes, count, seed=f"{seed}/{split}")
    ]
    return _draw_all(folder, plan, observer)


def draw_label_book(
    folder: Path,
    competition: Competition,
    *,
    images: int = LABEL_BOOK_IMAGES,
    seed: int = 1,
    observer: Observer = SILENT,
) -> Path:
    """Draw a label book (or, with another seed, a test set): ``images`` images, shared evenly among the class folders.

    Raises:
        UsageError, StorageError: For the reasons of `draw`.
    """
    if images < len(competition.dataset.classes):
        raise UsageError(
            f"{images} images are too few for {len(competition.dataset.classes)} classes.",
            action=f"Ask for {len(competition.dataset.classes)} or more.",
        )
    plan = list(_class_folders(Path(), competition.dataset.classes, images, seed=f"{seed}/label book"))
    return _draw_all(folder, plan, observer)


def _class_folders(
    parent: Path, classes: tuple[str, ...], count: int, *, seed: str
) -> Iterator[_PlannedImage]:
    """Share ``count`` images evenly among the class folders in ``parent``; the first classes get the remainder."""
    for index, name in enumerate(classes):
        share = count // len(classes) + (index < count % len(classes))
        for number in range(share):
            yield _PlannedImage(parent / name / f"{number:04}.png", name, f"{seed}/{name}/{number}")


def _draw_all(folder: Path, plan: list[_PlannedImage], observer: Observer) -> Path:
    if folder.exists():
        raise UsageError(
            f"{folder} already exists.", action="Name a folder that does not exist yet, or remove that one."
        )
    observer.start("Drawing images", len(plan), "images")
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    # Drawn in a temporary folder and moved when complete: an interruption leaves no partial dataset.
    with temporary_folder(f".{folder.name}.", folder.parent) as draft, storage_errors(folder):
        for parent in {planned.path.parent for planned in plan}:
            (draft / parent).mkdir(parents=True, exist_ok=True)
        for done, planned in enumerate(plan, 1):
            drawn = write_text(planned.text, Random(planned.seed))  # noqa: S311 - drawings, no secrets
            (draft / planned.path).write_bytes(_png(drawn))
            observer.advance(done)
        draft.chmod(0o755)
        draft.rename(folder)
    return folder


def _png(image: Image.Image) -> bytes:
    """Encode a PNG as OpenCV does, like the 2021 competition's: each row filtered by Sub, compressed as run lengths.

    It takes twice as long to read as one that Pillow writes.
    """
    width, height = image.size
    left = ImageChops.offset(image, 1, 0)
    left.paste(0, (0, 0, 1, height))
    filtered = ImageChops.subtract_modulo(image, left).tobytes()
    rows = b"".join(b"\1" + filtered[at : at + width] for at in range(0, len(filtered), width))
    packer = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", packer.compress(rows) + packer.flush()),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def write_text(text: str, chance: Random) -> Image.Image:
    """Write ``text`` as if by hand: a greyscale image (mode L) of about 250 x 250 pixels, dark ink on white paper."""
    width, height = _paper_size(chance)
    image = Image.new("L", (width, height), _PAPER)
    pen = ImageDraw.Draw(image)
    ink, thickness = chance.choice(_INKS), chance.uniform(3.0, 9.0)
    for stroke in _place(_word(text, chance), width, height, chance):
        _stroke(pen, _wobbled(stroke, chance), thickness, ink)
    if chance.random() < 0.2:
        pen.point(
            [(chance.randrange(width), chance.randrange(height)) for _ in range(chance.randrange(60))], ink
        )
    return image


def _paper_size(chance: Random) -> tuple[int, int]:
    """Draw a width and height in pixels: from 120 to 460 with a median of 255, nearly square."""
    side = min(460.0, max(120.0, chance.lognormvariate(math.log(255), 0.2)))
    skew = chance.lognormvariate(0, 0.12)
    return round(side * skew), round(side / skew)


def _word(text: str, chance: Random) -> list[Stroke]:
    """Return the strokes of ``text`` in glyph units, from left to right, at random in capitals or small letters."""
    small = chance.random() < 0.5
    gap, x = chance.uniform(0.8, 2.0), 0.0
    strokes: list[Stroke] = []
    for character in text:
        glyph = _glyph(character.lower() if small and character.lower() in _ALPHABET else character.upper())
        left = min(px for stroke in glyph for px, _ in stroke)
        strokes += [[(px - left + x, py) for px, py in stroke] for stroke in glyph]
        x += max(px for stroke in glyph for px, _ in stroke) - left + gap
    if not small and set(text.upper()) <= set("IVX") and chance.random() < 0.4:  # the bars of a Roman numeral
        strokes += [[(-0.8, y), (x - gap + 0.8, y)] for y in (0.0, _GLYPH_HEIGHT)]
    return strokes


@functools.cache
def _glyph(character: str) -> tuple[tuple[Point, ...], ...]:
    """Return the strokes of a character; one that is not in the alphabet gets a scribble, always the same one."""
    code = _ALPHABET.get(character)
    if code is None:
        chance = Random(character)  # noqa: S311 - a drawing
        return (tuple((float(chance.randrange(5)), float(chance.randrange(7))) for _ in range(5)),)
    return tuple(
        tuple((float(stroke[k]), float(stroke[k + 1])) for k in range(0, len(stroke), 2))
        for stroke in code.split()
    )


def _place(strokes: list[Stroke], width: int, height: int, chance: Random) -> list[Stroke]:
    """Convert glyph units to pixels: rotated, slanted, scaled to a part of the paper and placed at random on it."""
    turn, slant, squeeze = chance.gauss(0, 0.08), chance.gauss(0, 0.15), chance.uniform(0.7, 1.3)
    cos, sin = math.cos(turn), math.sin(turn)
    turned = [
        [
            ((x * squeeze - y * slant) * cos - y * sin, (x * squeeze - y * slant) * sin + y * cos)
            for x, y in stroke
        ]
        for stroke in strokes
    ]
    xs, ys = [x for s in turned for x, _ in s], [y for s in turned for _, y in s]
    ink_width, ink_height = max(max(xs) - min(xs), 0.1), max(max(ys) - min(ys), 0.1)
    scale = min(width / ink_width, height / ink_height) * chance.uniform(0.45, 0.85)
    left = chance.uniform(0.1, 0.9) * (width - ink_width * scale) - min(xs) * scale
    top = chance.uniform(0.1, 0.9) * (height - ink_height * scale) - min(ys) * scale
    return [[(left + x * scale, top + y * scale) for x, y in stroke] for stroke in turned]


def _wobbled(stroke: Stroke, chance: Random) -> Stroke:
    """Bend a stroke as a hand draws it: with its corners a little off, and swaying about the line between them."""
    sway = chance.uniform(0.5, 3.0)
    phase, pace = chance.uniform(0, 2 * math.pi), chance.uniform(0.02, 0.06)
    corners = [(x + chance.gauss(0, 2), y + chance.gauss(0, 2)) for x, y in stroke]
    points, travelled = [corners[0]], 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(corners):
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        steps = max(1, round(length / 12))
        for step in range(1, steps + 1):
            part = step / steps
            off = sway * math.sin(phase + pace * (travelled + part * length))
            points.append(
                (
                    x0 + (x1 - x0) * part - (y1 - y0) / length * off,
                    y0 + (y1 - y0) * part + (x1 - x0) / length * off,
                )
            )
        travelled += length
    return points


def _stroke(pen: ImageDraw.ImageDraw, points: Stroke, thickness: float, ink: int) -> None:
    pen.line(points, fill=ink, width=round(thickness))
    half = thickness / 2
    for x, y in points:  # round joints and ends
        pen.ellipse((x - half, y - half, x + half, y + half), fill=ink)
