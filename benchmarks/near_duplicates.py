"""How many edited copies of drawings are found, and how many of the pairs found are right.

    python -m benchmarks.near_duplicates FOLDER [--edits 150] [--result FILE]

FOLDER is a dataset of drawings, such as the 2021 starting dataset; each kind of edit is applied to some randomly chosen
images. A pair is right if both are made of one image, or of two with the same ink or mostly the same rows of ink.
"""

from __future__ import annotations

import argparse
import hashlib
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from benchmarks.report import publish
from cldc.validation.features import features_of_picture
from cldc.validation.inspection_result import Features
from cldc.validation.near_duplicates import Similarity, find_near_duplicates, group_pairs
from cldc.validation.pictures import picture_of
from cldc.validation.tensorflow_decoder import judge

Edit = Callable[[Image.Image, Random], Image.Image]


def _noise(image: Image.Image, _: Random) -> Image.Image:
    return ImageChops.add(image, Image.effect_noise(image.size, 16), 1, -128)


def _pad(image: Image.Image, random: Random) -> Image.Image:
    left, top, right, low = (random.randint(3, 40) for _ in range(4))
    padded = Image.new("L", (image.width + left + right, image.height + top + low), 255)
    padded.paste(image, (left, top))
    return padded


def _crop(image: Image.Image, random: Random) -> Image.Image:
    def cut(side: int) -> int:
        return random.randint(0, int(side * 0.08))

    box = (
        cut(image.width),
        cut(image.height),
        image.width - cut(image.width),
        image.height - cut(image.height),
    )
    return image.crop(box)


def _cut_ink(image: Image.Image, random: Random) -> Image.Image:
    left, top, right, low = ImageChops.invert(image).getbbox() or (0, 0, *image.size)
    across, down = (right - left) // 10, (low - top) // 10
    boxes = (
        (left + across, top, right, low),
        (left, top + down, right, low),
        (left, top, right - across, low),
        (left, top, right, low - down),
    )
    return image.crop(random.choice(boxes))


def _scale(image: Image.Image, random: Random) -> Image.Image:
    by = random.uniform(0.6, 1.5)
    size = (max(1, int(image.width * by)), max(1, int(image.height * by)))
    return image.resize(size, Image.Resampling.BICUBIC)


def _rotate(image: Image.Image, random: Random) -> Image.Image:
    return image.rotate(random.choice((-4, 4)), fillcolor=255, resample=Image.Resampling.BILINEAR)


def _jpeg(image: Image.Image, _: Random) -> Image.Image:
    held = io.BytesIO()
    image.save(held, "JPEG", quality=70)
    return Image.open(held).convert("L")


def _speck(image: Image.Image, _: Random) -> Image.Image:
    marked = image.copy()
    ImageDraw.Draw(marked).rectangle((1, 1, 3, 3), fill=0)
    return marked


def _contrast(by: float) -> Edit:
    return lambda image, _: ImageEnhance.Contrast(image).enhance(by)


def _paler_ink(by: float) -> Edit:
    return lambda image, _: image.point([round(255 - by * (255 - shade)) for shade in range(256)])


def _photo(image: Image.Image, random: Random) -> Image.Image:
    """A photo of 4.3 million pixels: grey paper, with a camera's noise."""
    by = random.uniform(0.4, 0.7) * min(2400 / image.width, 1800 / image.height)
    grown = image.resize((int(image.width * by), int(image.height * by)), Image.Resampling.BICUBIC)
    page = Image.new("L", (2400, 1800), 255)
    page.paste(grown, (random.randint(0, 2400 - grown.width), random.randint(0, 1800 - grown.height)))
    paper = page.point([shade * 200 // 255 for shade in range(256)])
    return _jpeg(ImageChops.add(paper, Image.effect_noise(page.size, 10), 1, -128), random)


EDITS: dict[str, Edit] = {
    "noise": _noise,
    "padding": _pad,
    "cropping of up to 8 % a side": _crop,
    "a tenth of the ink cut off": _cut_ink,
    "scaling by 0.6 to 1.5": _scale,
    "scaling to 32 x 32": lambda image, _: image.resize((32, 32), Image.Resampling.BILINEAR),
    "blur": lambda image, _: image.filter(ImageFilter.GaussianBlur(1.2)),
    "rotation by 4 degrees": _rotate,
    "JPEG of quality 70": _jpeg,
    "inversion": lambda image, _: ImageChops.invert(image),
    "a speck": _speck,
    "a photo of 4.3 million pixels": _photo,
    "contrast 0.7": _contrast(0.7),
    "contrast 0.5": _contrast(0.5),
    "contrast 0.3": _contrast(0.3),
    "contrast 0.15": _contrast(0.15),
    "ink half as black": _paler_ink(0.5),
    "ink a fifth as black": _paler_ink(0.2),
    "paper less white, 0.6": lambda image, _: ImageEnhance.Brightness(image).enhance(0.6),
    "contrast 0.5, padding, JPEG of quality 70": lambda image, random: _jpeg(
        _pad(_contrast(0.5)(image, random), random), random
    ),
}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--edits", type=int, default=150)
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    report = _report(sorted(options.folder.rglob("*.png")), options.edits)
    publish(report, options.result)


def _report(files: list[Path], edits: int) -> str:
    random = Random(5)
    features: dict[str, Features] = {}
    source: dict[str, str] = {}
    for path in files:
        _add(features, source, path.read_bytes(), "")
    originals = dict(features)
    made: dict[str, list[str]] = {}
    for name, edit in EDITS.items():
        made[name] = []
        for path in random.sample(files, edits):
            content = path.read_bytes()
            picture = Image.open(io.BytesIO(content)).convert("L")
            if ImageChops.invert(picture).getbbox():
                held = io.BytesIO()
                edit(picture, random).save(held, "PNG")
                made[name].append(
                    _add(features, source, held.getvalue(), hashlib.sha256(content).hexdigest())
                )
    return _table(features, originals, source, made)


def _add(features: dict[str, Features], source: dict[str, str], content: bytes, of: str) -> str:
    sha = hashlib.sha256(content + of.encode()).hexdigest()
    picture = picture_of(content, judge(content))
    found = features_of_picture(picture) if picture else None
    if found:
        features[sha] = found
        source[sha] = of or sha
    return sha


def _table(
    features: dict[str, Features],
    originals: dict[str, Features],
    source: dict[str, str],
    made: dict[str, list[str]],
) -> str:
    known = [pair for pair in find_near_duplicates(originals) if pair.similarity != Similarity.SHAPE]
    one = {sha: contents[0] for contents, _ in group_pairs(known) for sha in contents}
    pairs = find_near_duplicates(features)
    right: Counter[tuple[Similarity, bool]] = Counter()
    for pair in pairs:
        first, second = source[pair.first], source[pair.second]
        right[pair.similarity, one.get(first, first) == one.get(second, second)] += 1
    group = {sha: number for number, (contents, _) in enumerate(group_pairs(pairs)) for sha in contents}
    lines = [
        f"# Near duplicates found, {len(originals):,} drawings",
        "",
        "| similarity | right | wrong |",
        "|---|---|---|",
    ]
    lines += [f"| {why} | {right[why, True]} | {right[why, False]} |" for why in Similarity]
    lines += ["", "| edit | found, % |", "|---|---|"]
    for name, shas in made.items():
        found = sum(sha in group and group[sha] == group.get(source[sha]) for sha in shas)
        lines.append(f"| {name} | {100 * found / max(len(shas), 1):.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
