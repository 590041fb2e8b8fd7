"""Which pictures show the same drawing, and how sure that is."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import chain, combinations, pairwise
from typing import NamedTuple

from cldc.validation.features import Features

# Pictures that share this many of the rows of ink that were remembered of either, and this share of them.
# The ten conflicts in the 2021 starting dataset share 92 to 100 %, other pictures of two labels at most 19 %.
_MIN_ROWS = 5
_MIN_ROWS_SHARE = 0.6
# A row that this many pictures have says nothing about any two of them.
_COMMON_ROW = 12
# Of 256 blocks, how many may be inkier than the mean in one picture only: what is looked at more closely.
_MAX_DISTANCE = 12
# How far the blocks may be apart on average, in parts of their mean. Different drawings come down to 0.123 in
# ten thousand drawn images and 0.217 in the 2021 starting dataset; noise and JPEG stay below 0.022.
_MAX_DIFFERENCE = 0.12
_BANDS = tuple(
    sum(1 << bit for bit in range(band, 256, _MAX_DISTANCE + 1)) for band in range(_MAX_DISTANCE + 1)
)
_MAX_COMPARISONS = 2_000_000
# Blocks are compared only where the boxes around the ink, and the ink in them, are alike this far.
_ASPECT = 1.2
_DENSITY = 1.35
_MIN_INK = 12


class Evidence(StrEnum):
    """Why two pictures are taken for the same drawing, the surest first."""

    INK = "ink"
    ROWS = "rows"
    SHAPE = "shape"


# How often each evidence was right, of how many pairs of the starting dataset and 3,000 edits of its images (noise,
# padding, cropping, scaling, blur, rotation, JPEG and others): benchmarks/alike.py.
PRECISION = {Evidence.INK: (422, 422), Evidence.ROWS: (350, 350), Evidence.SHAPE: (1928, 1928)}


class Pair(NamedTuple):
    """Two contents, by SHA-256 and in order, that show the same drawing.

    ``measure`` is, for ROWS, the share of the rows of ink they have in common, and for SHAPE, how far their
    blocks are apart on average, in parts of their mean; 0 for INK.
    """

    first: str
    second: str
    evidence: Evidence
    measure: float = 0.0


def same_drawings(features: Mapping[str, Features]) -> tuple[Pair, ...]:
    """Pairs of contents that show the same drawing, each with its surest evidence.

    Args:
        features: For each content's SHA-256 its features.
    """
    return _surest(chain(_by_ink(features), _by_rows(features), _by_shape(features)))


def same_drawings_as(fresh: Collection[str], features: Mapping[str, Features]) -> tuple[Pair, ...]:
    """Those of the pairs that have one of ``fresh``, found without comparing the others with each other."""
    # That nobody shares a row with them is soonest told of all rows at once.
    rows = memoryview(b"".join([seen.rows for sha, seen in features.items() if sha not in fresh])).cast("I")
    return _surest(pair for sha in fresh for pair in _of_one(sha, fresh, rows, features))


def _surest(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    order = list(Evidence)
    found: dict[tuple[str, str], Pair] = {}
    for pair in pairs:
        key = (pair.first, pair.second)
        if key not in found or order.index(pair.evidence) < order.index(found[key].evidence):
            found[key] = pair
    return tuple(found[key] for key in sorted(found))


def _pair(one: str, other: str, evidence: Evidence, measure: float = 0.0) -> Pair:
    return Pair(min(one, other), max(one, other), evidence, measure)


def _of_one(
    sha: str, fresh: Collection[str], known: memoryview[int], features: Mapping[str, Features]
) -> Iterator[Pair]:
    """Pairs that ``sha`` is in; ``known`` are the rows of all contents that are not fresh."""
    mine = features[sha]
    if mine.ink_pixels < _MIN_INK:
        return
    rows, ink, shape = set(mine.row_hashes), mine.ink, mine.shape
    perhaps = fresh if rows.isdisjoint(known) else features
    shares = {other for other in perhaps if not rows.isdisjoint(features[other].row_hashes)}
    near = {
        other
        for other, seen in features.items()
        if (seen.shape ^ shape).bit_count() <= _MAX_DISTANCE or seen.ink == ink
    }
    for other in (shares | near) - {sha}:
        if features[other].ink_pixels < _MIN_INK:
            continue
        pair = _pair(sha, other, Evidence.INK) if features[other].ink == ink else None
        if other in shares:
            pair = pair or _rows_pair(sha, other, features)
        if other in near:
            pair = pair or _shape_pair(sha, other, features)
        if pair:
            yield pair


def _by_ink(features: Mapping[str, Features]) -> Iterator[Pair]:
    groups: dict[str, list[str]] = defaultdict(list)
    for sha, seen in features.items():
        if seen.ink_pixels >= _MIN_INK:
            groups[seen.ink].append(sha)
    for group in groups.values():
        # A chain is enough: groups are joined later, and a group of n has n x n pairs.
        yield from (_pair(one, other, Evidence.INK) for one, other in pairwise(group))


def _by_rows(features: Mapping[str, Features]) -> Iterator[Pair]:
    # Nearly all rows are in one picture only; sorting finds the others in the least time and memory. Half of the
    # rows are enough to find who may share more.
    halves = {sha: seen.row_hashes[: bisect_left(seen.row_hashes, 1 << 31)] for sha, seen in features.items()}
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
        if count >= 2 and (pair := _rows_pair(one, other, features)):
            yield pair


def _rows_pair(one: str, other: str, features: Mapping[str, Features]) -> Pair | None:
    mine, theirs = features[one].row_hashes, features[other].row_hashes
    shared = len({*mine}.intersection(theirs))
    share = shared / min(len(mine), len(theirs))
    if shared < _MIN_ROWS or share < _MIN_ROWS_SHARE:
        return None
    return _pair(one, other, Evidence.ROWS, round(share, 3))


def _by_shape(features: Mapping[str, Features]) -> Iterator[Pair]:
    shapes: dict[int, list[str]] = defaultdict(list)
    for sha, seen in features.items():
        if seen.ink_pixels >= _MIN_INK:
            shapes[seen.shape].append(sha)
    alike = chain.from_iterable(pairwise(group) for group in shapes.values())
    near = ((shapes[one][0], shapes[other][0]) for one, other in _near(list(shapes)))
    for one, other in chain(alike, near):
        if pair := _shape_pair(one, other, features):
            yield pair


def _near(shapes: list[int]) -> Iterator[tuple[int, int]]:
    """Pairs within `_MAX_DISTANCE`: of so many bands plus one, they must agree in one."""
    left = _MAX_COMPARISONS
    told = set()
    for band in _BANDS:
        buckets: dict[int, list[int]] = defaultdict(list)
        for shape in shapes:
            buckets[shape & band].append(shape)
        for bucket in buckets.values():
            left -= len(bucket) ** 2 // 2
            if left < 0:
                return
            for pair in combinations(bucket, 2):
                if (pair[0] ^ pair[1]).bit_count() <= _MAX_DISTANCE and pair not in told:
                    told.add(pair)
                    yield pair


def _shape_pair(one: str, other: str, features: Mapping[str, Features]) -> Pair | None:
    mine, theirs = features[one], features[other]
    if min(mine.ink_pixels, theirs.ink_pixels) < _MIN_INK:
        return None
    (width, height), (other_width, other_height) = mine.ink_box, theirs.ink_box
    aspect = (width * other_height) / (other_width * height)
    density = (mine.ink_pixels * other_width * other_height) / (theirs.ink_pixels * width * height)
    # A paler copy has less ink in its box, a blurred one less contrast.
    densities = (density, density * theirs.contrast / mine.contrast)
    if not (1 / _ASPECT <= aspect <= _ASPECT and any(1 / _DENSITY <= each <= _DENSITY for each in densities)):
        return None
    difference = _difference(mine.blocks, theirs.blocks)
    return _pair(one, other, Evidence.SHAPE, round(difference, 3)) if difference <= _MAX_DIFFERENCE else None


def _difference(one: bytes, other: bytes) -> float:
    # Each in parts of its own mean, since blurring makes ink paler.
    mine, theirs = len(one) / sum(one), len(other) / sum(other)
    return sum(abs(a * mine - b * theirs) for a, b in zip(one, other, strict=True)) / len(one)


def joined(pairs: Iterable[Pair]) -> list[tuple[list[str], list[Pair]]]:
    """Pairs joined into groups: contents, sorted, and the pairs that join them."""
    leader: dict[str, str] = {}

    def lead(sha: str) -> str:
        while leader.setdefault(sha, sha) != sha:
            leader[sha] = leader[leader[sha]]
            sha = leader[sha]
        return sha

    known = list(pairs)
    for pair in known:
        leader[lead(pair.first)] = lead(pair.second)
    groups: dict[str, tuple[set[str], list[Pair]]] = defaultdict(lambda: (set(), []))
    for pair in known:
        members, links = groups[lead(pair.first)]
        members.update((pair.first, pair.second))
        links.append(pair)
    return [(sorted(members), links) for members, links in groups.values()]
