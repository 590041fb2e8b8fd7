"""Load a training's weights into their model and compute the probability of each class for each image.

    python predict.py SCRIPT CHECKPOINT FOLDER CLASSES HEIGHT WIDTH BATCH

Runs in the environment that trained. SCRIPT is a Python file whose ``build_model()`` gives the model; it receives
``classes``, their number, and ``image_size``, height and width, if it accepts them. Standard output
is one JSON object a line: {"p": [...]} for each image, in the order of the paths, which are read from standard input,
relative to FOLDER and separated by NUL bytes; or {"cannot": WHY}.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import sys

import tensorflow as tf  # its messages go to standard error


def say(**line: object) -> None:
    print(json.dumps(line), flush=True)


def build(script: str, **facts: object):  # type: ignore[no-untyped-def] # noqa: ANN201 - a model of whichever Keras is installed
    """Build the script's model, untrained."""
    spec = importlib.util.spec_from_file_location("described", script)
    assert spec is not None  # noqa: S101 - a path of a Python file has a spec
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    wanted = inspect.signature(module.build_model).parameters
    return module.build_model(**{name: fact for name, fact in facts.items() if name in wanted})


def main() -> None:
    script, checkpoint, folder = sys.argv[1:4]
    classes, height, width, batch = (int(word) for word in sys.argv[4:])
    paths = [path for path in sys.stdin.buffer.read().split(b"\0") if path]
    sys.dont_write_bytecode = True

    try:
        model = build(script, classes=classes, image_size=(height, width))
        status = model.load_weights(checkpoint)
        if status is not None:  # TensorFlow's own format would silently skip weights that do not fit
            status.assert_existing_objects_matched()
    except Exception as error:  # any error means that these weights are unusable
        say(cannot=(str(error).splitlines() or [type(error).__name__])[0][:300])
        return

    def read(path: tf.Tensor) -> tf.Tensor:
        # The same calls as Keras' loader, with its bilinear scaling.
        image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        image = tf.image.resize(image, (height, width), method="bilinear")
        image.set_shape((height, width, 3))
        return image

    # Batches of the training's size, so that sums are identical to the last bit.
    full = [os.path.join(os.fsencode(folder), path) for path in paths]
    images = tf.data.Dataset.from_tensor_slices(full).map(read, num_parallel_calls=2).batch(batch)
    for row in tf.nn.softmax(model.predict(images)).numpy():
        say(p=[round(float(value), 6) for value in row])


if __name__ == "__main__":
    main()
