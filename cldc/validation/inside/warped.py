"""Find copies of drawings that were rotated, sheared, scaled or stretched, between the splits of a dataset and the label book.

    python warped.py JOB RESULT KEPT

JOB is a file with one JSON object: {"sides": [[[CONTENT, PATH], ...], ...]}; each side is compared with all before it. RESULT
becomes one: {"pairs": [[CONTENT, CONTENT, DIFFERENCE], ...]}. KEPT is a file with the drawings of earlier runs, which is
read if it exists, and written. Standard output is one line "done NUMBER" now and then.

Any two pictures of one drawing differ by an affine map, up to noise. Scaling the ink so that its second moments are those of a
disc reduces that to a rotation, small for a small warp. Drawings that then look similar are aligned by Gauss-Newton steps. The
remaining difference is compared with that of other drawings, as plain ones, such as a single stroke, always align well.
"""
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import json
import os
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from scipy import ndimage

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "inside"))

from ink import SPECK, Array, processors, read_ink

# A drawing becomes a square with sides of this many pixels; half a side is this many standard deviations of its ink.
_SIDE, _REACH = 48, 2.4
_COARSE = 20
_ANGLES = np.radians([-12.0, -6.0, 0.0, 6.0, 12.0])
# This many of a drawing's nearest neighbours may be its copies. Those that stand out from the references are aligned.
_NEAREST, _STANDS_OUT = 8, 0.4
# This many neighbours are references: spread evenly in the order of similarity between these two shares of the gallery, or between
# these places if that is further. A tenth of a dataset is of the same class, and other classes don't compare. The reference that
# aligns best may be a copy too, so the next four count.
_REFERENCES, _FIRST_SHARE, _LAST_SHARE, _FIRST, _LAST = 10, 0.0055, 0.024, 3, 13
# Fewer drawings don't show what is usual.
_LEAST = 60
_COUNTED = slice(1, 5)
# The largest difference of a copy after alignment, as a share of the references', times the same share before alignment to this
# power. Different drawings of the 2021 starting dataset reach 0.047 at least; in a set with three warped copies of each, 0.040,
# except two plain strokes by one hand (0.031). Nine in ten warped copies are below (benchmarks/warped_copies.py).
_MOST_DIFFERENT, _UNALIGNED = 0.04, 0.3
# Rounds of alignment: how much both pictures are blurred, and steps.
_ROUNDS = ((1.5, 5), (0.8, 5))
_LARGEST_STEP = np.array([0.1, 0.1, 2.0, 0.1, 0.1, 2.0], np.float32)
_CHUNK, _BATCH = 50, 500
_CENTRE = (_SIDE - 1) / 2
_GRID = (np.mgrid[2 : _SIDE - 2 : 2, 2 : _SIDE - 2 : 2].reshape(2, -1) + 0.5 - _CENTRE).astype(np.float32)


def whitened(path: str) -> Array | None:
    """Scale a drawing to equal variance of its ink in all directions, as bytes in a square; None without ink."""
    try:
        ink = read_ink(path)
    except Exception:  # Pillow raises all sorts of things on odd files
        return None
    if ink is None:
        return None
    strokes = ink.strokes(ink.areas >= min(SPECK * ink.areas.sum(), ink.areas.max()))
    strokes[strokes < 20] = 0
    rows, columns = np.mgrid[: strokes.shape[0], : strokes.shape[1]]
    total = strokes.sum()
    centre = np.array([(rows * strokes).sum(), (columns * strokes).sum()]) / total
    down, right = rows - centre[0], columns - centre[1]
    both = (down * right * strokes).sum()
    moments = np.array([[(down**2 * strokes).sum(), both], [both, (right**2 * strokes).sum()]]) / total
    variances, axes = np.linalg.eigh(moments + 0.3 * np.eye(2))
    matrix = axes @ np.diag(np.sqrt(variances)) @ axes.T * (2 * _REACH / _SIDE)
    smooth = ndimage.gaussian_filter(strokes, max(0.01, 0.5 * np.sqrt(np.linalg.det(matrix))))
    offset = centre - matrix @ np.full(2, _CENTRE)
    found = ndimage.affine_transform(smooth, matrix, offset, (_SIDE, _SIDE), order=1)
    return np.round(255 * found / max(found.max(), 1.0)).astype(np.uint8)


def read_drawings(paths: dict[str, str], kept: str) -> dict[str, Array]:
    """Return the whitened drawing of each content that has one; read only those that no earlier run has stored."""
    known: dict[str, Array] = {}
    try:
        with np.load(kept) as file:
            known = dict(zip(file["contents"].tolist(), file["drawings"]))
    except (OSError, ValueError, KeyError, EOFError):
        pass  # nothing is kept, or it is damaged
    found = {content: known[content] for content in paths if content in known}
    new = [content for content in paths if content not in known]
    if new:
        with ProcessPoolExecutor(processors()) as pool:
            drawings = pool.map(whitened, [paths[content] for content in new], chunksize=_CHUNK)
            for number, (content, drawing) in enumerate(zip(new, drawings)):
                if drawing is not None:
                    found[content] = drawing
                if number % _CHUNK == 0:
                    print("done", len(paths) - len(new) + number, flush=True)
    if found and found.keys() != known.keys():
        with open(kept + ".new", "wb") as file:
            np.savez(file, contents=np.array([*found]), drawings=np.stack([*found.values()]))
        os.replace(kept + ".new", kept)
    return found


def find_pairs(queries: Array, gallery: Array, same: Array) -> list[tuple[int, int, float]]:
    """Find copies: the number of a query, the number of a drawing in the gallery, and how different they are.

    ``same`` has each query's own number in the gallery, or -1.
    """
    if not len(queries) or len(gallery) < _LEAST:
        return []
    near = Neighbours(queries, gallery, same)
    asked, place = near.standing_out()
    if not len(asked):
        return []
    others = near.order[asked, place]
    some, of_some = np.unique(others, return_inverse=True)
    back = Neighbours(gallery[some], gallery, some)
    usual = (near.usual_difference(asked) + back.usual_difference(of_some)) / 2
    share = near.difference(asked, others) / np.maximum(usual, 1e-6)
    # Copies with thicker or thinner strokes differ more after alignment, but less before it than other drawings do.
    unaligned = (1 - near.similarity[asked, others]) / np.sqrt(near.usual[asked] * back.usual[of_some])
    share *= unaligned**_UNALIGNED
    return [
        (int(query), int(other), float(part))
        for query, other, part in zip(asked, others, share)
        if part < _MOST_DIFFERENT
    ]


class Neighbours:
    """The drawings of a gallery in order of similarity to each of some drawings."""

    def __init__(self, drawings: Array, gallery: Array, same: Array) -> None:
        """Compare them, also slightly rotated, but none with itself: ``same`` is its number in the gallery, or -1."""
        turned = [
            ndimage.rotate(drawings, np.degrees(angle), (2, 1), reshape=False, order=1) for angle in _ANGLES
        ]
        described = describe(gallery).T
        similarity = np.stack([describe(each) @ described for each in turned])
        self._drawings, self._gallery = drawings, gallery
        self._angles = _ANGLES[similarity.argmax(0)]
        self.similarity = similarity.max(0)
        self.similarity[np.flatnonzero(same >= 0), same[same >= 0]] = -1
        self.order = np.argsort(-self.similarity, axis=1)
        first, last = max(_FIRST, _FIRST_SHARE * len(gallery)), max(_LAST, _LAST_SHARE * len(gallery))
        self._references = self.order[:, np.linspace(first, last - 1, _REFERENCES).astype(int)]
        self.usual = 1 - np.take_along_axis(self.similarity, self._references, 1).mean(1)

    def standing_out(self) -> tuple[Array, Array]:
        """Find neighbours that are much more similar than the references: drawings, and places in their order."""
        left = 1 - np.take_along_axis(self.similarity, self.order[:, :_NEAREST], 1)
        drawings, places = np.nonzero(left < _STANDS_OUT * self.usual[:, None])
        return drawings, places

    def usual_difference(self, numbers: Array) -> Array:
        """Return how much each of these drawings differs from the references that align best."""
        some, of_some = np.unique(numbers, return_inverse=True)
        rows, others = np.repeat(some, _REFERENCES), self._references[some].ravel()
        found = np.sort(self.difference(rows, others).reshape(len(some), _REFERENCES), axis=1)
        return found[:, _COUNTED].mean(1)[of_some]

    def difference(self, rows: Array, others: Array) -> Array:
        """Return 1 minus the correlation of each pair after alignment; strokes may be thicker or thinner."""
        batches = (slice(start, start + _BATCH) for start in range(0, len(rows), _BATCH))
        return 1 - np.concatenate(
            [
                align(
                    self._drawings[rows[batch]],
                    self._gallery[others[batch]],
                    -self._angles[rows[batch], others[batch]],
                )
                for batch in batches
            ]
        )


def describe(drawings: Array) -> Array:
    """Return a row of unit length for each drawing: its blurred shades minus their mean."""
    points = ((np.arange(_COARSE) + 0.5) * _SIDE / _COARSE).astype(int)
    blurred = ndimage.gaussian_filter(drawings, (0, 1.6, 1.6))[:, points][:, :, points]
    rows = blurred.reshape(len(drawings), -1)
    rows = rows - rows.mean(1, keepdims=True)
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-6)


def align(fixed: Array, moving: Array, angles: Array) -> Array:
    """Return each fixed drawing's best correlation with an affine map of the moving one, starting at ``angles``."""
    still = np.zeros((len(fixed), 2, 3), np.float32)
    still[:, 0, 0] = still[:, 1, 1] = 1
    maps = still.copy()
    maps[:, 0, 0] = maps[:, 1, 1] = np.cos(angles)
    maps[:, 1, 0] = np.sin(angles)
    maps[:, 0, 1] = -np.sin(angles)
    best = np.full(len(fixed), -1.0)
    for blur, steps in _ROUNDS:
        wanted, _, _ = sample(ndimage.gaussian_filter(fixed, (0, blur, blur)), still)
        blurred = ndimage.gaussian_filter(moving, (0, blur, blur))
        best, kept = np.full(len(fixed), -1.0), maps.copy()
        for step in range(steps + 1):
            values, down, right = sample(blurred, maps)
            reached = correlation(wanted, values, np.hypot(down, right))
            # A mirrored drawing may be another class: a mirrored iv is a vi.
            reached[np.linalg.det(maps[:, :, :2]) <= 0] = -1
            better = reached > best
            best[better], kept[better] = reached[better], maps[better]
            if step < steps:
                maps = maps + gauss_newton(wanted, values, down, right)
        maps = kept
    return best


def gauss_newton(wanted: Array, values: Array, down: Array, right: Array) -> Array:
    """Solve one Gauss-Newton step per map, fitting contrast and brightness too."""
    columns = [values, np.ones_like(values)]
    for slope in (down, right):
        columns += [slope * _GRID[0], slope * _GRID[1], slope]
    system = np.stack(columns, 1)
    normal = system @ system.transpose(0, 2, 1) + 1e-3 * np.eye(len(columns), dtype=np.float32)
    solved = np.linalg.solve(normal, system @ wanted[:, :, None])[..., 0]
    step = solved[:, 2:] / np.clip(solved[:, :1], 0.2, 5.0)
    return np.clip(step, -_LARGEST_STEP, _LARGEST_STEP).reshape(-1, 2, 3)


def sample(drawings: Array, maps: Array) -> tuple[Array, Array, Array]:
    """Sample each drawing where its map puts the grid, bilinearly: values, and slopes down and right."""
    at = maps[:, :, :2] @ _GRID + maps[:, :, 2:] + np.float32(_CENTRE)
    corner = np.clip(np.floor(at), 0, _SIDE - 2)
    low, across = np.moveaxis(np.clip(at - corner, 0, 1), 1, 0)
    corner = corner.astype(np.int32)
    first = np.arange(len(drawings), dtype=np.int32)[:, None] * _SIDE**2 + corner[:, 0] * _SIDE + corner[:, 1]
    flat = drawings.ravel()
    a, b, c, d = flat[first], flat[first + 1], flat[first + _SIDE], flat[first + _SIDE + 1]
    top, bottom = a + (b - a) * across, c + (d - c) * across
    return top + (bottom - top) * low, bottom - top, (b - a) * (1 - low) + (d - c) * low


def correlation(wanted: Array, values: Array, edges: Array) -> Array:
    """Correlate each row of ``wanted`` with the best mix of values and edges.

    Thicker strokes are nearly the strokes plus some of their edges; thinner ones, the strokes minus them.
    """
    wanted = wanted - wanted.mean(1, keepdims=True)
    mixed = np.stack([rows - rows.mean(1, keepdims=True) for rows in (values, edges)], 1)
    normal = mixed @ mixed.transpose(0, 2, 1) + 1e-3 * np.eye(2, dtype=np.float32)
    shared = mixed @ wanted[:, :, None]
    explained = (np.linalg.solve(normal, shared) * shared).sum((1, 2))
    return np.sqrt(explained / ((wanted**2).sum(1) + 1e-9))


def main() -> None:
    warnings.simplefilter("ignore")  # of what newer libraries will do otherwise
    with open(sys.argv[1], encoding="utf-8") as file:
        sides = [dict(side) for side in json.load(file)["sides"]]
    drawings = read_drawings({content: path for side in sides for content, path in side.items()}, sys.argv[3])
    pairs = []
    gallery: list[str] = []
    for side in sides:
        queries = [content for content in side if content in drawings]
        if queries and gallery:
            asked, others = (
                np.stack([drawings[content] for content in contents]).astype(np.float32) / 255
                for contents in (queries, gallery)
            )
            places = {content: place for place, content in enumerate(gallery)}
            same = np.array([places.get(content, -1) for content in queries])
            pairs += [
                (queries[query], gallery[other], round(part, 4))
                for query, other, part in find_pairs(asked, others, same)
            ]
        gallery = [*dict.fromkeys([*gallery, *queries])]
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump({"pairs": pairs}, file)


if __name__ == "__main__":
    main()
