"""Runs inside the TensorFlow environment: decodes files as the training script does, and reports the result.

A path comes in as one line of JSON, a string; for each, one line goes out as soon as it is known:
``{"readable": true, "height": 20, "width": 26, "error": "", "sha256": "..."}``; readable is null where the file itself
can't be read. The first line out names the version of TensorFlow. If this process dies, the file whose answer is
missing killed it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def decode(tf: Any, content: bytes) -> dict[str, Any]:
    """Return TensorFlow's verdict on a file's content."""
    try:
        image = tf.io.decode_image(content, channels=3, expand_animations=False)
    except tf.errors.OpError as error:
        message = str(error.message).split(" [Op:")[0]
        return {"readable": False, "height": None, "width": None, "error": message}
    height, width = image.shape[:2]
    return {"readable": True, "height": int(height), "width": int(width), "error": ""}


def answer(tf: Any, path: str) -> dict[str, Any]:
    """Return the verdict on a file, with the hash of its content."""
    try:
        with open(os.fsencode(path), "rb") as file:
            content = file.read()
    except OSError as error:
        return {"readable": None, "height": None, "width": None, "error": str(error), "sha256": ""}
    return dict(decode(tf, content), sha256=hashlib.sha256(content).hexdigest())


def main() -> None:
    """Answer until standard input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(
        sys.stderr.fileno(), sys.stdout.fileno()
    )  # whatever TensorFlow prints must not mix with the answers
    import tensorflow as tf  # type: ignore[import-untyped,unused-ignore]

    print(json.dumps({"tensorflow": tf.__version__}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(tf, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
