"""Decide whether one dataset trains better models than another, from the difference of their accuracies.

Both are trained from the same seeds, and every model predicts the same images. Other seeds and other images would give another
difference, so its error includes both: the variance of the means of seeds, and that of the means of images. The error is
conservative, since both contain the noise of single predictions. `benchmarks/compare.py` measures its coverage.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Literal

# The probability that the interval contains the true difference.
CONFIDENCE = 0.95
# The most seeds that a person might still train.
_MOST_SEEDS = 200
# The number of seeds for which the smallest detectable difference is reported.
_TYPICAL_SEEDS = 10
_STEPS = 200


@dataclass(frozen=True, slots=True)
class Judgement:
    """The comparison of two datasets, A and B, on a set of images.

    Attributes:
        by: The name of the set of images, for people.
        images: Number of images in the set.
        seeds: Number of models trained on each dataset.
        before: The mean accuracy of A's models, from 0 to 1; ``after`` of B's.
        difference: ``after`` minus ``before``.
        low: Lower end of the 95 % interval of the difference; ``high`` the upper end.
        verdict: Whether B is better or worse; ``unknown`` if the interval contains zero.
        more_seeds: About how many more seeds would give a verdict if the measured difference were the true one; None if the
            verdict is known, or if no number of seeds would.
        smallest: The smallest difference that these images can show with ten seeds.
    """

    by: str
    images: int
    seeds: int
    before: float
    after: float
    difference: float
    low: float
    high: float
    verdict: Literal["better", "worse", "unknown"]
    more_seeds: int | None
    smallest: float


def judge(by: str, before: Sequence[Sequence[bool]], after: Sequence[Sequence[bool]]) -> Judgement:
    """Compare models by whether each image was predicted right, for each seed, with the images in the same order.

    Raises:
        ValueError: There are fewer than two seeds or images, or not the same numbers on both sides.
    """
    changes = [
        [int(new) - int(old) for old, new in zip(a, b, strict=True)]
        for a, b in zip(before, after, strict=True)
    ]
    noise = _Noise.of(changes)
    seeds, images = len(changes), len(changes[0])
    difference = fmean(fmean(row) for row in changes)
    half = noise.half_width(seeds)
    if abs(difference) > half:
        verdict: Literal["better", "worse", "unknown"] = "better" if difference > 0 else "worse"
        more = None
    else:
        verdict = "unknown"
        # The interval only narrows with more seeds.
        candidates = range(seeds + 1, _MOST_SEEDS + 1)
        enough = bisect.bisect_left(candidates, True, key=lambda n: noise.half_width(n) < abs(difference))
        more = enough + 1 if enough < len(candidates) else None
    return Judgement(
        by=by,
        images=images,
        seeds=seeds,
        before=fmean(fmean(row) for row in before),
        after=fmean(fmean(row) for row in after),
        difference=difference,
        low=difference - half,
        high=difference + half,
        verdict=verdict,
        more_seeds=more,
        smallest=noise.half_width(max(seeds, _TYPICAL_SEEDS)),
    )


@dataclass(frozen=True, slots=True)
class _Noise:
    """The noise of a difference by its sources, as variances.

    Attributes:
        seeds: Number of measured seeds; ``images`` is that of images.
        of_seeds: Variance of the means of seeds.
        of_images: Variance of the means of images, as measured.
        of_answers: Variance of a single prediction, beyond what its seed and its image explain.
    """

    seeds: int
    images: int
    of_seeds: float
    of_images: float
    of_answers: float

    @classmethod
    def of(cls, changes: Sequence[Sequence[int]]) -> _Noise:
        """Estimate it from the change of each prediction: a row for each seed, a column for each image."""
        by_seed = [fmean(row) for row in changes]
        by_image = [fmean(column) for column in zip(*changes, strict=True)]
        if len(by_seed) < 2 or len(by_image) < 2:
            raise ValueError("a comparison takes two seeds and two images")
        mean = fmean(by_seed)
        rest = math.fsum(
            (change - seed - image + mean) ** 2
            for row, seed in zip(changes, by_seed, strict=True)
            for change, image in zip(row, by_image, strict=True)
        )
        freedom = (len(by_seed) - 1) * (len(by_image) - 1)
        return cls(len(by_seed), len(by_image), variance(by_seed), variance(by_image), rest / freedom)

    def half_width(self, seeds: int) -> float:
        """Return half the width of the interval, measured or, for another number of seeds, predicted."""
        # With more seeds, the noise of single predictions averages out of the images' means.
        lasting = max(0.0, self.of_images - self.of_answers / self.seeds)
        of_images = self.of_images if seeds == self.seeds else lasting + self.of_answers / seeds
        parts = ((self.of_seeds / seeds, seeds - 1), (of_images / self.images, self.images - 1))
        error = math.fsum(part for part, _ in parts)
        if error == 0:
            return 0.0
        # Welch's and Satterthwaite's number of degrees of freedom.
        freedom = error**2 / math.fsum(part**2 / degrees for part, degrees in parts)
        return t_quantile(freedom) * math.sqrt(error)


def t_quantile(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t for any number of degrees of freedom from 1."""
    low, high = 0.0, 13.0  # with one degree it is 12.7
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < CONFIDENCE else (low, middle)
    return high


def _within(t: float, freedom: float) -> float:
    """Return the probability that Student's t is at most ``t`` away from zero.

    With t = sqrt(freedom) tan(angle), the density is proportional to cos(angle)^(freedom - 1), which Simpson's rule integrates well.
    """
    end = math.atan(t / math.sqrt(freedom))
    step = end / _STEPS
    total = math.fsum(
        (1 if k in (0, _STEPS) else 4 if k % 2 else 2) * math.cos(k * step) ** (freedom - 1)
        for k in range(_STEPS + 1)
    )
    whole = math.sqrt(math.pi) * math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2)) / 2
    return total * step / 3 / whole
