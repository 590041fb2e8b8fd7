"""How many warped copies of validation drawings in train are found, and how many of the pairs found are right.

    python -m benchmarks.warped_copies FOLDER [--edits 20] [--seeds 3] [--result FILE]

FOLDER is a dataset of drawings with train/ and val/, such as the 2021 starting dataset, in which no drawing has a warped copy in
another split. Each kind of edit is applied to some validation images, and the results are put among the training images.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

from PIL import Image, ImageFilter

from benchmarks.report import publish
from cldc.environments import ready_analysis
from cldc.files import data_folder
from cldc.validation.warped_copies import search_warped_copies

Edit = Callable[[Image.Image, Random], Image.Image]
# A, B, D, E of the map (x, y) -> (A x + B y, D x + E y) from the result to the picture, around its centre.
Linear = tuple[float, float, float, float]


def _map(image: Image.Image, linear: Linear) -> Image.Image:
    margin = max(image.size) // 4
    wide = Image.new("L", (image.width + 2 * margin, image.height + 2 * margin), 255)
    wide.paste(image, (margin, margin))
    a, b, d, e = linear
    x, y = wide.width / 2, wide.height / 2
    matrix = (a, b, x - a * x - b * y, d, e, y - d * x - e * y)
    return wide.transform(wide.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=255)


def _rotate(degrees: float) -> Edit:
    def edit(image: Image.Image, random: Random) -> Image.Image:
        angle = math.radians(degrees) * random.choice((1, -1))
        return _map(image, (math.cos(angle), math.sin(angle), -math.sin(angle), math.cos(angle)))

    return edit


def _shear(slant: float) -> Edit:
    return lambda image, random: _map(image, (1, slant * random.choice((1, -1)), 0, 1))


def _mix(image: Image.Image, random: Random) -> Image.Image:
    angle, wide, high = (
        math.radians(random.uniform(-6, 6)),
        random.uniform(0.8, 1.25),
        random.uniform(0.8, 1.25),
    )
    slant = random.uniform(-0.1, 0.1)
    a, b, d, e = math.cos(angle), math.sin(angle), -math.sin(angle), math.cos(angle)
    return _map(image, (wide * a, wide * (a * slant + b), high * d, high * (d * slant + e)))


def _crop(image: Image.Image, _: Random) -> Image.Image:
    across, down = image.width // 20, image.height // 20
    return image.crop((across, down, image.width - across, image.height - down))


def _thicker(image: Image.Image, _: Random) -> Image.Image:
    return image.filter(ImageFilter.MinFilter(3))


EDITS: dict[str, Edit] = {
    "rotation by 3 degrees": _rotate(3),
    "rotation by 8 degrees": _rotate(8),
    "shear of 0.05": _shear(0.05),
    "shear of 0.1": _shear(0.1),
    "half the size": lambda image, _: image.resize(
        (max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.BILINEAR
    ),
    "1.5 times as wide": lambda image, _: image.resize(
        (round(1.5 * image.width), image.height), Image.Resampling.BILINEAR
    ),
    "rotation, shear and scale": _mix,
    "cropping and rotation by 4 degrees": lambda image, random: _rotate(4)(_crop(image, random), random),
    "thicker strokes": _thicker,
    "thicker strokes, rotation, shear and scale": lambda image, random: _mix(_thicker(image, random), random),
    "thinner strokes": lambda image, _: image.filter(ImageFilter.MaxFilter(3)),
    "scaling to 32 x 32": lambda image, _: image.resize((32, 32), Image.Resampling.BILINEAR),
}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--edits", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    report = _report(options.folder, options.edits, range(options.seeds))
    publish(report, options.result)


def _report(folder: Path, edits: int, seeds: range) -> str:
    found: Counter[str] = Counter()
    wrong: list[int] = []
    lines = ["# Warped copies found", "", "| seed | found | of | wrong pairs |", "|---|---|---|---|"]
    for seed in seeds:
        with tempfile.TemporaryDirectory() as scratch:
            hits, bad = _run(folder, edits, seed, Path(scratch))
        found += hits
        wrong.append(bad)
        lines.append(f"| {seed} | {hits.total()} | {edits * len(EDITS)} | {bad} |")
    lines += ["", "| edit | found, % |", "|---|---|"]
    lines += [f"| {name} | {100 * found[name] / (edits * len(seeds)):.0f} |" for name in EDITS]
    return "\n".join(lines) + "\n"


def _run(folder: Path, edits: int, seed: int, scratch: Path) -> tuple[Counter[str], int]:
    """How many edited images are found, by edit, and how many other pairs."""
    environment = ready_analysis(data_folder())
    if environment is None:
        raise SystemExit("Run `cldc labels` once: it creates the environment that this needs.")
    random = Random(seed)
    made: dict[str, tuple[str, str]] = {}
    train, val = (_contents(folder / split) for split in ("train", "val"))
    for name, edit in EDITS.items():
        for content in random.sample(sorted(val), edits):
            with Image.open(val[content]) as image:
                path = scratch / f"{len(made)}.png"
                edit(image.convert("L"), random).save(path)
            copy = hashlib.sha256(f"{path.name} {seed}".encode()).hexdigest()
            train[copy], made[copy] = path, (content, name)
    found: Counter[str] = Counter()
    wrong = 0
    for pair in search_warped_copies([train, val], environment, scratch):
        pairs = [made[sha] for sha in (pair.first, pair.second) if sha in made]
        if pairs and pairs[0][0] in (pair.first, pair.second):
            found[pairs[0][1]] += 1
        else:
            wrong += 1
    return found, wrong


def _contents(folder: Path) -> dict[str, Path]:
    return {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in sorted(folder.rglob("*.png"))}


if __name__ == "__main__":
    main()
