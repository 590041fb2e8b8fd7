"""Runs in a TensorFlow's own Python: list folders as the training script does, and print JSON.

Standard input is a JSON object: {"classes": [...], "folders": [...]}. Standard output is a list with one item a
folder: {"files": [[relative path as hexadecimal, label index], ...]} or {"error": "ValueError: ..."}.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf
from tensorflow.python.keras.preprocessing import dataset_utils

_index = dataset_utils.index_directory
_seen: dict = {}  # type: ignore[type-arg]


def _remember(*args: Any, **kwargs: Any) -> Any:
    _seen["paths"], _seen["labels"], names = _index(*args, **kwargs)
    return _seen["paths"], _seen["labels"], names


def _list(folder: str, classes: list) -> dict:  # type: ignore[type-arg]
    try:
        tf.keras.preprocessing.image_dataset_from_directory(
            folder,
            labels="inferred",
            label_mode="categorical",
            class_names=classes,
            shuffle=True,
            seed=123,
            batch_size=8,
            image_size=(32, 32),
        )
    except Exception as error:  # whatever stops the script is the answer
        return {"error": type(error).__name__ + ": " + ascii(str(error))}
    files = [os.fsencode(os.path.relpath(path, folder)).hex() for path in _seen["paths"]]
    return {"files": sorted([name, int(_seen["labels"][at])] for at, name in enumerate(files))}


def main() -> None:
    """Answer for every folder."""
    dataset_utils.index_directory = _remember
    asked = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # TensorFlow prints what it finds
    json.dump([_list(folder, asked["classes"]) for folder in asked["folders"]], out)
    out.close()


main()
