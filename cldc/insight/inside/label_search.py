"""Predict each image's class from all other images, and estimate from that how many labels are wrong.

    python label_search.py JOB RESULT

JOB is a file with one JSON object: {"classes": N, "images": [[PATH, LABEL, CONTENT], ...]}; images of one CONTENT are
copies of each other. RESULT becomes one: {"noise": SHARE, "images": [[PROBABILITIES, WRONG, EVIDENCE, SUSPICION], null, ...]} in
the same order: how probable each class is, how probable it is that the label is wrong, how much the image looks like any
class at all (1 for the median, about 0 for a scribble), and how suspicious it is overall, from 0 to 1. A file
that can't be read has null, one without ink no probabilities. Standard output is one line "done NUMBER" now and then.

The trained model can't tell: it has memorised its wrong labels (docs/preflight.md has the measurement).
"""
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import json
import os
import sys
import warnings
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from scipy import linalg, optimize

sys.path.append(os.path.dirname(os.path.abspath(__file__)))
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "inside"))

from ink import Array, processors
from stroke_features import (
    direction_histograms,
    direction_maps,
    read_drawing,
    scaled,
    stroke_counts,
    upright,
)

_CHUNK = 50
# Regularisation of the fit, where an image's similarity to itself is 1. More than usual, since some labels are wrong.
_RIDGE = 0.2
# A kernel's width: the median squared distance between images divided by this.
_WIDTH = 2.0
_BLOCK = 1000
# Weights of the descriptions, and how sharply the ranking separates predictions: chosen on two thirds of the
# 2021 starting dataset, and confirmed on the other third (benchmarks/labels.py).
_WEIGHTS = (2 / 7, 2 / 7, 2 / 7, 1 / 7)
_RANKING_SHARPNESS = 4.0
# The most suspicious images, this share of all, are ranked anew, as certainty no longer ranks them well: by how little they look
# like their label and, with this weight, like any class. All people who looked at those images agreed.
_HEAD, _ANY_CLASS = 1 / 40, 0.2


def describe(path: str) -> list[Array] | None:
    """Compute the features that each kernel compares: none without ink, None if the file can't be read."""
    try:
        drawing = read_drawing(path)
    except Exception:  # Pillow raises many kinds of exceptions on odd files
        return None
    if drawing is None:
        return []
    proportion = drawing.proportion
    rows = [
        np.append(direction_maps(upright(drawing.strokes, 40)), proportion),
        np.append(direction_histograms(upright(drawing.strokes, 32), cell=4), 2 * proportion),
        np.append(direction_histograms(upright(drawing.strokes, 48), cell=8), 2 * proportion),
        np.append(stroke_counts(scaled(drawing.strokes, 48)), 2 * proportion),
    ]
    return [row.astype(np.float32) for row in rows]


def similarity_matrix(described: list[list[Array]]) -> Array:
    """Return the similarity of any two images, 0 to 1: a weighted mean of one Gaussian kernel for each description."""
    count = len(described)
    total = np.zeros((count, count), np.float32, order="F")
    for weight, columns in zip(_WEIGHTS, zip(*described)):
        rows = np.stack(columns)
        lengths = (rows**2).sum(1)
        usual = None
        for start in range(0, count, _BLOCK):
            block = slice(start, start + _BLOCK)
            distances = lengths[block, None] + lengths[None] - 2 * rows[block] @ rows.T
            if usual is None:
                usual = max(float(np.median(distances)), 1e-6)
            total[block] += weight * np.exp(-_WIDTH / usual * np.maximum(distances, 0))
    return total


def predict(similarities: Array, labels: Array, contents: list[str], classes: int) -> Array:
    """Return each image's score for each class, by a least-squares fit without the image and its copies.

    The fit without an image follows in closed form from the fit of all (Rifkin and Lippert, 2007). ``similarities`` is overwritten.
    """
    # Minus a class's share, so that an image unlike all others resembles no class.
    targets = np.full((len(labels), classes), -1 / classes)
    targets[np.arange(len(labels)), labels] += 1
    similarities.flat[:: len(labels) + 1] += _RIDGE
    factor, _ = linalg.lapack.spotrf(similarities, lower=1, overwrite_a=1)
    weights = linalg.cho_solve((factor, True), targets)
    inverse, _ = linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    found = targets - weights / np.diag(inverse)[:, None]
    copies = defaultdict(list)
    for number, content in enumerate(contents):
        copies[content].append(number)
    for group in copies.values():
        if len(group) > 1:  # only the lower triangle holds the inverse
            part = np.tril(inverse[np.ix_(group, group)])
            found[group] = targets[group] - np.linalg.solve(part + np.tril(part, -1).T, weights[group])
    return found


def probabilities(found: Array, sharpness: float) -> Array:
    """Convert scores to probabilities."""
    powers = np.exp(sharpness * (found - found.max(1, keepdims=True)))
    return powers / powers.sum(1, keepdims=True)


def suspicion(found: Array, labels: Array) -> Array:
    """Return how suspicious each label is, 0 to 1."""
    own = np.arange(len(labels)), labels
    suspicious = 1 - probabilities(found, _RANKING_SHARPNESS)[own]
    head = np.argsort(-suspicious, kind="stable")[: round(_HEAD * len(labels))]
    similarity = found[own] + _ANY_CLASS * found.max(1)
    suspicious[head[np.argsort(similarity[head], kind="stable")]] = suspicious[head]
    return suspicious


def estimate(found: Array, labels: Array) -> tuple[float, float]:
    """Estimate the predictions' sharpness and the share of wrong labels, by maximum likelihood of the labels.

    The model: a label is wrong with the share's probability, and then any other class is equally likely. Drawings that are
    hard to tell apart lower the sharpness; they do not raise the share.
    """
    own, others = np.arange(len(labels)), found.shape[1] - 1

    def surprise(values: Array) -> float:
        right = probabilities(found, np.exp(values[0]))[own, labels]
        wrong = 1 / (1 + np.exp(-values[1]))
        return float(-np.log((1 - wrong) * right + wrong * (1 - right) / others + 1e-300).sum())

    starts = [(np.log(sharpness), share) for sharpness in (4, 10) for share in (-2, -4)]
    fits = [optimize.minimize(surprise, start, method="Nelder-Mead") for start in starts]
    best = min(fits, key=lambda fit: fit.fun).x
    return float(np.exp(best[0])), float(1 / (1 + np.exp(-best[1])))


def main() -> None:
    warnings.simplefilter("ignore")  # about future changes of libraries
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    images = job["images"]
    described = []
    with ProcessPoolExecutor(processors()) as pool:
        for number, description in enumerate(
            pool.map(describe, [path for path, _, _ in images], chunksize=_CHUNK)
        ):
            described.append(description)
            if number % _CHUNK == 0:
                print("done", number, flush=True)
    drawn = [number for number, description in enumerate(described) if description]
    labels = np.array([images[number][1] for number in drawn])
    rows: list[object] = [None if description is None else [[], 1.0, 0.0, 1.0] for description in described]
    noise = 0.0
    if drawn:
        similarities = similarity_matrix([description for description in described if description])
        found = predict(similarities, labels, [images[number][2] for number in drawn], job["classes"])
        sharpness, noise = estimate(found, labels)
        predicted = probabilities(found, sharpness)
        right = predicted[np.arange(len(labels)), labels]
        stray = noise * (1 - right) / max(job["classes"] - 1, 1)
        wrong = stray / ((1 - noise) * right + stray)
        evidence = found.max(1) + 1 / job["classes"]
        evidence /= max(float(np.median(evidence)), 1e-6)
        for number, *values in zip(drawn, predicted, wrong, evidence, suspicion(found, labels)):
            rows[number] = [
                [round(float(p), 5) for p in values[0]],
                *(round(float(v), 5) for v in values[1:]),
            ]
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump({"noise": round(noise, 6), "images": rows}, file)


if __name__ == "__main__":
    main()
