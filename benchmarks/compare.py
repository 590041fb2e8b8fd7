"""How often the interval of `cldc compare --repeat` covers the true difference, which is known for simulated models.

    python -m benchmarks.compare [REPETITIONS]

A simulated model is right about an image if a sum of normal variables is positive: how easy the image is, how easy it is for
models of that dataset, how good the seed is, and chance. With the spreads chosen here, accuracies of seeds are as far apart as on
the starting dataset of 2021: 2.4 points on 813 images, 5.4 on 52. Coverage is how often the nominal 95 % interval covers the true
difference; power is how often a dataset that is better by so many points is found better.
The table of docs/comparing.md is from `python -m benchmarks.compare 400`.
"""

from __future__ import annotations

import itertools
import math
import random
import sys
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

from cldc.insight.significance import judge, t_quantile

SEEDS, IMAGES = (3, 5, 10), (52, 500, 2000)
# Standard deviations of the summands; that of chance is 1.
EASE, EASE_FOR_DATASET, SEED = 1.6, 0.45, 0.1
ACCURACY = 0.65


@dataclass(frozen=True)
class Trial:
    """A simulated comparison: its interval and verdict, and whether an interval over seeds alone covers the difference."""

    half: float
    holds: bool
    found: bool
    by_seeds_holds: bool


def answers(level: float, ease: list[float], seeds: int, chance: random.Random) -> list[list[bool]]:
    """Whether each image is right, for each seed."""
    own = [value + level + chance.gauss(0, EASE_FOR_DATASET) for value in ease]
    luck = [chance.gauss(0, SEED) for _ in range(seeds)]
    return [[value + shift + chance.gauss(0, 1) > 0 for value in own] for shift in luck]


def level(accuracy: float) -> float:
    """The summand that gives this accuracy, on average over images, datasets and seeds."""
    return NormalDist().inv_cdf(accuracy) * math.sqrt(1 + EASE**2 + EASE_FOR_DATASET**2 + SEED**2)


def trial(seeds: int, images: int, difference: float, chance: random.Random) -> Trial:
    """One comparison of two datasets whose true accuracies differ by ``difference``."""
    ease = [chance.gauss(0, EASE) for _ in range(images)]
    before = answers(level(ACCURACY), ease, seeds, chance)
    after = answers(level(ACCURACY + difference), ease, seeds, chance)
    found = judge("images", before, after)
    changes = [fmean(b) - fmean(a) for a, b in zip(before, after, strict=True)]
    half = t_quantile(seeds - 1) * stdev(changes) / math.sqrt(seeds)
    return Trial(
        half=(found.high - found.low) / 2,
        holds=found.low <= difference <= found.high,
        found=found.verdict == "better",
        by_seeds_holds=abs(fmean(changes) - difference) <= half,
    )


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    chance = random.Random(1)
    for images in (813, 52):
        ease = [chance.gauss(0, EASE) for _ in range(images)]
        own = answers(level(ACCURACY), ease, 60, chance)
        print(f"{images} images: accuracies of seeds lie {100 * stdev(map(fmean, own)):.1f} points apart")
    print("| images | seeds | coverage | by seeds alone | half-width | finds 3 | finds 6 | finds 12 points |")
    print("|---|---|---|---|---|---|---|---|")
    for images, seeds in itertools.product(IMAGES, SEEDS):
        count = max(20, min(repetitions, repetitions * 1000 // images))
        none = [trial(seeds, images, 0.0, chance) for _ in range(count)]
        power = [
            fmean(trial(seeds, images, difference, chance).found for _ in range(max(20, count // 4)))
            for difference in (0.03, 0.06, 0.12)
        ]
        print(
            f"| {images} | {seeds} | {fmean(t.holds for t in none):.1%} | {fmean(t.by_seeds_holds for t in none):.1%} "
            f"| {100 * fmean(t.half for t in none):.1f} | {' | '.join(f'{p:.0%}' for p in power)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
