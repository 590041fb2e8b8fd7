"""Find pictures that show the same drawing, each pair with how it was found."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import chain, combinations, pairwise
from typing import NamedTuple

from cldc.validation.inspection_result import Features

# Two pictures must have at least this many of the sampled rows of ink in common, and this share of them.
# The ten conflicts in the 2021 starting dataset share 92 to 100 %, other pictures with two labels at most 19 %.
_MIN_ROWS = 5
_MIN_ROWS_SHARE = 0.6
# A row that more pictures have says nothing about any two of them.
_COMMON_ROW = 12
# Of 256 blocks, how many may be inkier than the mean in only one of the pictures; such pairs are then compared closely.
_MAX_DISTANCE = 12
# How far the blocks may differ on average, as a share of their mean. Different drawings come down to 0.123 in
# ten thousand drawn images and 0.217 in the 2021 starting dataset; noise and JPEG stay below 0.022.
_MAX_DIFFERENCE = 0.12
_BANDS = tuple(
    sum(1 << bit for bit in range(band, 256, _MAX_DISTANCE + 1)) for band in range(_MAX_DISTANCE + 1)
)
_MAX_COMPARISONS = 2_000_000
# Blocks are compared only if the boxes around the ink, and the ink in them, are similar to this factor.
_ASPECT = 1.2
_DENSITY = 1.35
_MIN_INK = 12


class Similarity(StrEnum):
    """Why two pictures are considered the same drawing, the strongest first.

    `benchmarks/near_duplicates.py` measures how often each is right.
    """

    INK = "ink"
    ROWS = "rows"
    SHAPE = "shape"
    WARPED = "warped"


class Pair(NamedTuple):
    """Two contents, by SHA-256 and in order, that show the same drawing.

    ``measure`` is, for ROWS, the share of common rows of ink; for SHAPE, the blocks' mean difference as a share of their
    mean; for WARPED, the difference after alignment as a share of that of other drawings; for INK, 0.
    """

    first: str
    second: str
    similarity: Similarity
    measure: float = 0.0


class DrawingGroup(NamedTuple):
    """Contents, by SHA-256 and sorted, that show one drawing, and the pairs that link them."""

    contents: list[str]
    pairs: list[Pair]


def find_near_duplicates(features: Mapping[str, Features]) -> tuple[Pair, ...]:
    """Find pairs of contents, by SHA-256, that show the same drawing, each with its strongest similarity."""
    found: dict[tuple[str, str], Pair] = {}
    for pair in chain(_by_ink(features), _by_rows(features), _by_shape(features)):  # the strongest first
        first, second = sorted(pair[:2])
        found.setdefault((first, second), pair._replace(first=first, second=second))
    return tuple(found[key] for key in sorted(found))


def has_drawing(features: Features | None) -> bool:
    """Check whether there is enough ink to compare."""
    return features is not None and features.ink_pixels >= _MIN_INK


def _by_ink(features: Mapping[str, Features]) -> Iterator[Pair]:
    groups: dict[str, list[str]] = defaultdict(list)
    for sha, each in features.items():
        if each.ink_pixels >= _MIN_INK:
            groups[each.ink].append(sha)
    for group in groups.values():
        # A chain is enough, because groups are joined later; all pairs of a large group would be too many.
        yield from (Pair(one, other, Similarity.INK) for one, other in pairwise(group))


def _by_rows(features: Mapping[str, Features]) -> Iterator[Pair]:
    # Nearly all rows are in one picture only; sorting finds the others with the least time and memory. Half of the
    # rows are enough to find candidates.
    halves = {sha: each.row_hashes[: bisect_left(each.row_hashes, 1 << 31)] for sha, each in features.items()}
    every = sorted(array("I", b"".join(halves.values())))
    twice = {row for row, following in pairwise(every) if row == following}
    del every
    holders: dict[int, list[str]] = defaultdict(list)
    for sha, half in halves.items():
        for row in twice.intersection(half):
            holders[row].append(sha)
    shared: Counter[tuple[str, str]] = Counter()
    for group in holders.values():
        if 1 < len(group) <= _COMMON_ROW:
            shared.update(combinations(group, 2))
    for (one, other), count in shared.items():
        if count < 2:
            continue
        mine, theirs = features[one].row_hashes, features[other].row_hashes
        common = len({*mine}.intersection(theirs))
        share = common / min(len(mine), len(theirs))
        if common >= _MIN_ROWS and share >= _MIN_ROWS_SHARE:
            yield Pair(one, other, Similarity.ROWS, round(share, 3))


def _by_shape(features: Mapping[str, Features]) -> Iterator[Pair]:
    shapes: dict[int, list[str]] = defaultdict(list)
    for sha, each in features.items():
        if each.ink_pixels >= _MIN_INK:
            shapes[each.shape].append(sha)
    same = chain.from_iterable(pairwise(group) for group in shapes.values())
    near = ((shapes[one][0], shapes[other][0]) for one, other in _near_shapes(list(shapes)))
    for one, other in chain(same, near):
        difference = _shape_difference(features[one], features[other])
        if difference <= _MAX_DIFFERENCE:
            yield Pair(one, other, Similarity.SHAPE, round(difference, 3))


def _near_shapes(shapes: list[int]) -> Iterator[tuple[int, int]]:
    """Find pairs within `_MAX_DISTANCE`: there is one band more than that, so they agree in at least one."""
    left = _MAX_COMPARISONS
    yielded = set()
    for band in _BANDS:
        buckets: dict[int, list[int]] = defaultdict(list)
        for shape in shapes:
            buckets[shape & band].append(shape)
        for bucket in buckets.values():
            left -= len(bucket) ** 2 // 2
            if left < 0:
                return
            for pair in combinations(bucket, 2):
                if (pair[0] ^ pair[1]).bit_count() <= _MAX_DISTANCE and pair not in yielded:
                    yielded.add(pair)
                    yield pair


def _shape_difference(mine: Features, theirs: Features) -> float:
    """Return the blocks' mean difference as a share of their mean; 1 if the boxes or the ink are too different."""
    (width, height), (other_width, other_height) = mine.ink_box, theirs.ink_box
    aspect = (width * other_height) / (other_width * height)
    density = (mine.ink_pixels * other_width * other_height) / (theirs.ink_pixels * width * height)
    # A paler copy has less ink in its box, a blurred one less contrast.
    densities = (density, density * theirs.contrast / mine.contrast)
    if not (1 / _ASPECT <= aspect <= _ASPECT and any(1 / _DENSITY <= each <= _DENSITY for each in densities)):
        return 1.0
    # As shares of their own means, because blurring makes ink paler.
    by, other_by = len(mine.blocks) / sum(mine.blocks), len(theirs.blocks) / sum(theirs.blocks)
    pairs = zip(mine.blocks, theirs.blocks, strict=True)
    return sum(abs(one * by - other * other_by) for one, other in pairs) / len(mine.blocks)


def group_pairs(pairs: Iterable[Pair]) -> tuple[DrawingGroup, ...]:
    """Join pairs that share a content into groups."""
    leader: dict[str, str] = {}

    def lead(sha: str) -> str:
        while leader.setdefault(sha, sha) != sha:
            leader[sha] = leader[leader[sha]]
            sha = leader[sha]
        return sha

    pairs = list(pairs)
    for pair in pairs:
        leader[lead(pair.first)] = lead(pair.second)
    groups: dict[str, tuple[set[str], list[Pair]]] = defaultdict(lambda: (set(), []))
    for pair in pairs:
        contents, links = groups[lead(pair.first)]
        contents.update((pair.first, pair.second))
        links.append(pair)
    return tuple(DrawingGroup(sorted(contents), links) for contents, links in groups.values())
