"""Load the weights that a training left into the model they fit, and say how probable each class is for each image.

    python predict.py SCRIPT CHECKPOINT FOLDER CLASSES HEIGHT WIDTH BATCH

Runs in the environment that trained. SCRIPT is a Python file whose ``build_model()`` gives the model; it is told
``classes``, their number, and ``image_size``, height and width, where it takes them. Standard output
is one JSON object a line: {"p": [...]} for each image, in the order of the paths, which come on standard input,
relative to FOLDER and apart by NUL bytes; or {"cannot": WHY}.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import sys


def say(**line: object) -> None:
    print(json.dumps(line), flush=True)


def build(script: str, **facts: object):  # type: ignore[no-untyped-def] # noqa: ANN201 - a model of whatever Keras is there
    """The script's model, with nothing learned yet."""
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

    import tensorflow as tf  # its noise goes to standard error

    try:
        model = build(script, classes=classes, image_size=(height, width))
        status = model.load_weights(checkpoint)
        if status is not None:  # TensorFlow's own format would pass over in silence what does not fit
            status.assert_existing_objects_matched()
    except Exception as error:  # whatever it is, these weights say nothing
        say(cannot=(str(error).splitlines() or [type(error).__name__])[0][:300])
        return

    def read(path: tf.Tensor) -> tf.Tensor:
        # The very calls of Keras' loader, and its bilinear scaling.
        image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        image = tf.image.resize(image, (height, width), method="bilinear")
        image.set_shape((height, width, 3))
        return image

    # Batches as large as the training's, so that the sums come out the same to the last bit.
    full = [os.path.join(os.fsencode(folder), path) for path in paths]
    images = tf.data.Dataset.from_tensor_slices(full).map(read, num_parallel_calls=2).batch(batch)
    for row in tf.nn.softmax(model.predict(images)).numpy():
        say(p=[round(float(value), 6) for value in row])


if __name__ == "__main__":
    main()
