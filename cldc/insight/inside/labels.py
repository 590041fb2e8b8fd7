"""Rank images by how much their label looks wrong: confident learning over cross-validated probabilities.

    python labels.py

Standard input is one JSON object: {"classes": N, "images": [[PATH, LABEL], ...]}. Standard output is one:
{"images": [[QUALITY, ISSUE, BELIEVED, PROBABILITY], ...]} in the same order: the label's quality from 0 to 1, whether
confident learning counts it among the errors, and the class predicted, with its probability.

What is predicted of an image was learned from other images only. The trained model can't be asked for that: it has
learned its wrong labels by heart (docs/preflight.md has the measurement).
"""
# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-def,no-untyped-call"

from __future__ import annotations

import json
import os
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial

SIDE, CELL, BINS = 32, 4, 8
FOLDS = 5


def ink(path):  # noqa: ANN001, ANN201 - arrays of numpy, which is only in this environment
    """The drawing, dark on white or light on black, cut to its ink and scaled to a square; and its proportions."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        strength = 255 - np.asarray(image.convert("L"), float)
    if strength.mean() > 127:
        strength = 255 - strength
    marked = strength > max(40, strength.max() * 0.35)
    rows, columns = np.flatnonzero(marked.any(1)), np.flatnonzero(marked.any(0))
    if len(rows) < 2 or len(columns) < 2:
        return np.zeros((SIDE, SIDE)), 0.0
    cut = strength[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype("uint8")
    square = Image.fromarray(cut).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(square, float) / 255, float(np.log(cut.shape[1] / cut.shape[0]))


def directions(square):  # noqa: ANN001, ANN201
    """Histograms of the strokes' directions over overlapping blocks (Dalal and Triggs, 2005)."""
    import numpy as np

    down, right = np.gradient(square)
    strength = np.hypot(right, down)
    angle = (np.arctan2(down, right) % np.pi) / np.pi * BINS
    low, part, cells = np.floor(angle).astype(int) % BINS, angle - np.floor(angle), SIDE // CELL
    histogram = np.zeros((cells, cells, BINS))
    y, x = np.indices(square.shape) // CELL
    np.add.at(histogram, (y, x, low), strength * (1 - part))
    np.add.at(histogram, (y, x, (low + 1) % BINS), strength * part)
    blocks = [histogram[i : i + 2, j : j + 2].ravel() for i in range(cells - 1) for j in range(cells - 1)]
    return np.concatenate([block / np.sqrt((block**2).sum() + 0.01) for block in blocks])


def part(features, labels, classes, split):  # noqa: ANN001, ANN201
    """What two unlike learners, neighbours and a margin, believe of one part after learning from the others."""
    import numpy as np
    from sklearn.decomposition import PCA
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    learned, asked = split
    found = np.zeros((len(asked), classes))
    few = PCA(min(250, len(learned) - 1), svd_solver="randomized", random_state=0).fit(features[learned])
    near, far = few.transform(features[learned]), few.transform(features[asked])
    for learner in (
        KNeighborsClassifier(min(15, len(learned)), weights="distance"),
        SVC(C=10, gamma="scale", probability=True, random_state=0),
    ):
        learner.fit(near, labels[learned])
        found[:, learner.classes_] += learner.predict_proba(far) / 2
    return found


def probabilities(features, labels, classes, pool):  # noqa: ANN001, ANN201
    """For each image what is predicted by those that never saw its label; the parts are learned side by side."""
    import numpy as np
    from sklearn.model_selection import StratifiedKFold

    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(features, labels))
    found = np.zeros((len(labels), classes))
    told = pool.map(partial(part, features, labels, classes), folds)
    for (_, asked), predicted in zip(folds, told):
        found[asked] = predicted
    return found


def described(path):  # noqa: ANN001, ANN201
    """An image as numbers: the directions of its strokes, and its proportions."""
    import numpy as np

    square, proportions = ink(path)
    return np.append(directions(square), proportions)


def main() -> None:
    warnings.simplefilter("ignore")  # of what newer libraries will do otherwise
    job = json.load(sys.stdin)
    import numpy as np
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    labels = np.array([label for _, label in job["images"]])
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    with ProcessPoolExecutor(min(FOLDS, len(usable))) as pool:
        features = np.stack(list(pool.map(described, [path for path, _ in job["images"]], chunksize=100)))
        predicted = probabilities(features, labels, job["classes"], pool)
    predicted = np.clip(predicted, 1e-6, None)
    predicted /= predicted.sum(1, keepdims=True)
    quality = get_label_quality_scores(labels, predicted, method="self_confidence")
    issues = find_label_issues(labels, predicted, n_jobs=1)
    rows = zip(quality, issues, predicted.argmax(1), predicted.max(1))
    print(
        json.dumps(
            {"images": [[round(float(q), 6), bool(i), int(b), round(float(p), 6)] for q, i, b, p in rows]}
        )
    )


if __name__ == "__main__":
    main()
