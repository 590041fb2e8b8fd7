"""Runs inside the TensorFlow environment: decodes files as the training script does, and tells how it went.

Paths come NUL-separated on standard input; for each, one line of JSON goes to standard output as soon as it is known:
``{"readable": true, "height": 20, "width": 26, "error": ""}``. The first line of all names the version of TensorFlow.
If the process dies, the file whose answer is missing killed it; whoever started it can go on behind that file.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def decode(tf: Any, content: bytes) -> dict[str, Any]:
    """TensorFlow's verdict on one file's content."""
    try:
        image = tf.io.decode_image(content, channels=3, expand_animations=False)
    except tf.errors.OpError as error:
        message = str(error.message).split(" [Op:")[0]
        return {"readable": False, "height": None, "width": None, "error": message}
    height, width = image.shape[:2]
    return {"readable": True, "height": int(height), "width": int(width), "error": ""}


def main() -> None:
    """Answers until standard input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(
        sys.stderr.fileno(), sys.stdout.fileno()
    )  # whatever TensorFlow prints must not mix with the answers
    paths = sys.stdin.buffer.read().split(b"\0")
    import tensorflow as tf

    print(json.dumps({"tensorflow": tf.__version__}), file=answers, flush=True)
    for path in paths:
        if not path:
            continue
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError as error:
            answer = {"readable": None, "height": None, "width": None, "error": str(error)}
        else:
            answer = decode(tf, content)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
