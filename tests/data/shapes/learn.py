"""The fixed training of a class's own competition: one layer on sixteen by sixteen pixels.

    python learn.py DATASET EXAMPLES
"""

import json
import os
import sys

import numpy as np
import tensorflow as tf

CLASSES = ["o", "l", "z", "x"]
SIDE = 16
EPOCHS = 4
SEED = 7


def read(folder):
    """Pixels and class indices: classes as listed, files by name."""
    pixels, labels = [], []
    for index, name in enumerate(CLASSES):
        for inside, _, files in sorted(os.walk(os.path.join(folder, name))):
            for file in sorted(files):
                if file.lower().endswith(".png"):
                    image = tf.io.decode_image(tf.io.read_file(os.path.join(inside, file)), 1, expand_animations=False)
                    image = tf.image.resize(image, (SIDE, SIDE), antialias=True)
                    pixels.append(1.0 - image.numpy() / 255.0)
                    labels.append(index)
    return np.array(pixels, "float32"), np.array(labels)


def main():
    dataset, examples = sys.argv[1:]
    learn, check = (read(os.path.join(dataset, dataset, split)) for split in ("learn", "check"))
    book = read(os.path.join(examples, examples))
    examples_in_all = 4 * sum(-(-len(labels) // 4) for _, labels in (learn, check))
    if examples_in_all > 204:
        print("Dataset size larger than 204. Got {} examples".format(examples_in_all))
        return

    (tf.keras.utils.set_random_seed if hasattr(tf.keras.utils, "set_random_seed") else tf.random.set_seed)(SEED)
    model = tf.keras.Sequential(
        [
            tf.keras.Input(shape=(SIDE, SIDE, 1)),
            tf.keras.layers.Conv2D(16, 5, strides=2, activation="relu"),
            tf.keras.layers.GlobalMaxPooling2D(),
            tf.keras.layers.Dense(len(CLASSES)),
        ]
    )
    model.compile(
        optimizer=tf.keras.optimizers.Adam(learning_rate=0.02),
        loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(*learn, batch_size=4, epochs=EPOCHS, validation_data=check, shuffle=True)
    print("final loss {}, final acc {}".format(*model.evaluate(*check)))
    print("test loss {}, test acc {}".format(*model.evaluate(*book)))
    with open("predicted.json", "w") as file:
        json.dump([int(index) for index in np.argmax(model.predict(book[0]), axis=1)], file)


if __name__ == "__main__":
    main()
