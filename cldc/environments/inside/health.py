"""Try an environment and print its version; the exit code is not 0 if it does not work.

Usage: health.py codalab|tensorflow|analysis
"""

# Each environment has other libraries, so each function imports those that it tries.
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import sys


def codalab() -> str:
    """Import what the client and the server need; return CodaLab's version."""
    import sqlite3  # noqa: F401 - the sandbox keeps its bundles in it

    import codalab.lib.bundle_cli  # noqa: F401
    from codalab.common import CODALAB_VERSION

    return str(CODALAB_VERSION)


def tensorflow() -> str:
    """Decode an image and train one step of a convolution, which fails on a processor too old for the build."""
    import numpy as np
    import tensorflow as tf

    image = tf.io.decode_image(tf.io.encode_png(np.zeros((32, 32, 3), np.uint8)), channels=3)
    batch = tf.cast(tf.reshape(image, (1, 32, 32, 3)), tf.float32)
    layer = tf.keras.layers.Conv2D(4, 3)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(layer(batch) - 1.0))
    gradients = tape.gradient(loss, layer.trainable_variables)
    if not all(np.isfinite(gradient.numpy()).all() for gradient in gradients):
        raise SystemExit("a training step gave numbers that are not finite")
    return str(tf.__version__)


def analysis() -> str:
    """Import what ranks labels and finds warped copies; return NumPy's version."""
    import numpy as np
    import PIL.Image  # noqa: F401
    import scipy.linalg
    import scipy.ndimage
    import scipy.optimize  # noqa: F401

    return str(np.__version__)


if __name__ == "__main__":
    print({"codalab": codalab, "tensorflow": tensorflow, "analysis": analysis}[sys.argv[1]]())
