"""How good the ranking of suspicious labels is: on labels that people changed, on labels changed at random, on clean labels.

    python -m benchmarks.labels FOLDER PEOPLE [--seeds 3] [--result FILE]

FOLDER is a dataset of the data-centric competition of 2021. PEOPLE is a tab-separated table with the columns path, sha256 and one
for each person: ``kept``, ``removed``, or the class that this person moved the image to. The ranking was chosen on two thirds of
the images: all but those whose SHA-256, its first four digits as a number, is 2 modulo 3. These are reported separately.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from dataclasses import replace
from pathlib import Path
from random import Random

from benchmarks.report import publish
from cldc.competition import load
from cldc.dataset import Dataset
from cldc.files import data_folder
from cldc.insight.label_search import LabelReport, find_suspicious_labels
from cldc.validation.inspect_images import inspect_dataset

_DEPTHS = (20, 100, 300)
_FLIPPED = 0.05
_CLEAN = 400


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("people", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        # The user's own environment, without results of earlier searches.
        (Path(home) / "environments").symlink_to(data_folder() / "environments")
        text = _report(options.folder, options.people, options.seeds, Path(home))
    publish(text, options.result)


def _report(folder: Path, people: Path, seeds: int, home: Path) -> str:
    competition = load("data-centric-2021")
    classes = competition.dataset.classes
    dataset = inspect_dataset(folder, competition).dataset
    touched = _touched(people)
    found = find_suspicious_labels(dataset, classes, home=home)
    lines = [
        f"# Suspicious labels, {len(found.images):,} images",
        "",
        "| first | changed or removed by two of three people | by chance | by all three | expected wrong |",
        "|---|---|---|---|---|",
    ]
    often = {path for path, times in touched.items() if times >= 2}
    always = {path for path, times in touched.items() if times == 3}
    for depth in _DEPTHS:
        chance, wrong = depth * len(often) / len(found.images), found.expected_wrong(depth)
        lines.append(
            f"| {depth} | {_hits(found, often, depth)} | {chance:.0f} | {_hits(found, always, depth)} | {wrong:.0f} |"
        )
    lines += [
        "",
        "| four in five of the images, drawn at random | of the first 20 | of the first 80 | of the first 240 |",
        "|---|---|---|---|",
    ]
    for seed in range(seeds):
        drawn = Random(seed).sample(dataset.images, round(0.8 * len(dataset.images)))
        report = find_suspicious_labels(replace(dataset, images=tuple(drawn)), classes, home=home)
        lines.append(f"| seed {seed} | {' | '.join(str(_hits(report, often, n)) for n in (20, 80, 240))} |")
    lines += ["", "| as many, of 100 and of 300 | first 100 | first 300 |", "|---|---|---|"]
    for name, held in (("two thirds that the ranking was chosen on", False), ("the other third", True)):
        lines.append(f"| {name} | {' | '.join(_scaled(found, often, held=held))} |")
    lines += [
        "",
        "| labels changed at random | among the first 100 | changed | estimated to be wrong |",
        "|---|---|---|---|",
    ]
    for seed in range(seeds):
        flipped, changed = _flip(dataset, classes, seed)
        report = find_suspicious_labels(flipped, classes, home=home)
        hits = _hits(report, changed, 100)
        lines.append(f"| seed {seed} | {hits} | {len(changed)} | {report.expected_wrong():.0f} |")
    lines += ["", "| images that nobody touched | estimated to be wrong | suspicious |", "|---|---|---|"]
    untouched = [image for image in dataset.images if not touched[image.path]]
    for count in (_CLEAN, len(untouched)):
        clean = replace(dataset, images=tuple(Random(count).sample(untouched, count)))
        report = find_suspicious_labels(clean, classes, home=home)
        lines.append(f"| {count} | {report.expected_wrong():.0f} | {len(report.suspicious)} |")
    return "\n".join(lines) + "\n"


def _touched(people: Path) -> dict[str, int]:
    """How many people changed or removed each image, by path."""
    with people.open(newline="") as file:
        return {
            row.pop("path"): sum(verdict != "kept" for name, verdict in row.items() if name != "sha256")
            for row in csv.DictReader(file, delimiter="\t")
        }


def _hits(report: LabelReport, paths: set[str], depth: int) -> int:
    return sum(image.path in paths for image in report.images[:depth])


def _scaled(found: LabelReport, often: set[str], *, held: bool) -> list[str]:
    """Hits in a part of the images, down to the same share of its ranking, scaled to all images."""
    part = [image for image in found.images if (int(image.sha256[:4], 16) % 3 == 2) == held]
    share = len(part) / len(found.images)
    return [
        f"{sum(image.path in often for image in part[: round(depth * share)]) / share:.0f}"
        for depth in _DEPTHS[1:]
    ]


def _flip(dataset: Dataset, classes: tuple[str, ...], seed: int) -> tuple[Dataset, set[str]]:
    """The dataset with the labels of some images changed, and their paths."""
    random = Random(seed)
    changed = random.sample(range(len(dataset.images)), round(_FLIPPED * len(dataset.images)))
    images = list(dataset.images)
    for number in changed:
        others = [label for label in classes if label != images[number].label]
        images[number] = images[number]._replace(label=random.choice(others))
    return replace(dataset, images=tuple(images)), {images[number].path for number in changed}


if __name__ == "__main__":
    main()
