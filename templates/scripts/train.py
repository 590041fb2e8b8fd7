"""The fixed training of the Data-Centric AI Competition 2021, written anew from a description of it.

    python train.py SUBMISSION LABEL_BOOK [--epochs N] [--seed N]

SUBMISSION and LABEL_BOOK are folders of the working directory, each holding one folder: SUBMISSION/SUBMISSION
with train/ and val/, LABEL_BOOK/label_book. Model and training are fixed; what varies is the dataset.
Leaves the weights of the best epoch in ``best_model`` and the label book's predicted classes, as indices into
CLASSES and in the order in which the folder is read, in ``predictions.json``.

Under TensorFlow 2.4 to 2.9 the same seed gives the same first weights and the same numbers as the
competition's own script. From 2.10 on weights come from another generator: the same in each run of this script,
but others than in the competition.
"""

import argparse
import json
import os
import sys

import numpy as np
import tensorflow as tf

CLASSES = ["i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x"]
BATCH = 8
SIDE = 32
SEED = 123
MOST_EXAMPLES = 10000
VERSION = tuple(int(part) for part in tf.__version__.split(".")[:2])


def images(folder, shuffle, seed):
    """Batches of (images, one-hot labels) of a folder with one folder for each class."""
    return tf.keras.preprocessing.image_dataset_from_directory(
        folder,
        labels="inferred",
        label_mode="categorical",
        class_names=CLASSES,
        batch_size=BATCH,
        image_size=(SIDE, SIDE),
        shuffle=shuffle,
        seed=seed if shuffle else None,
    )


def build_model():
    """The first stage of a ResNet50 with nothing learned yet, pooled, and one logit for each class."""
    resnet = tf.keras.applications.ResNet50(include_top=False, weights=None, input_shape=(SIDE, SIDE, 3))
    stage = tf.keras.Model(resnet.inputs, resnet.get_layer("conv2_block3_out").output)
    inputs = tf.keras.Input(shape=(SIDE, SIDE, 3))
    x = stage(tf.keras.applications.resnet.preprocess_input(inputs))
    x = tf.keras.layers.GlobalAveragePooling2D()(x)
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(len(CLASSES))(x))
    model.compile(
        # "learning_rate" is understood by every version; "lr" is ignored from 2.11 on, and 0.001 used instead.
        optimizer=tf.keras.optimizers.Adam(learning_rate=0.0001),
        loss=tf.keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def start_from(seed):
    """Makes the first weights the same in every run with that seed."""
    if VERSION >= (2, 10):
        tf.keras.utils.set_random_seed(seed)  # tf.random.set_seed no longer reaches the weights
    else:
        tf.random.set_seed(seed)


def checkpoint_name():
    """Keras 3 wants an ending that says what is in the file; Keras 2 writes a file beside it, too."""
    return "best_model.weights.h5" if VERSION >= (2, 16) else "best_model"


def main():
    parser = argparse.ArgumentParser(description="Train the fixed model on a dataset.")
    parser.add_argument("submission")
    parser.add_argument("label_book")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=SEED, help="another than the competition's, to see the spread")
    chosen = parser.parse_args()

    start_from(chosen.seed)
    dataset = os.path.join(chosen.submission, chosen.submission)
    train = images(os.path.join(dataset, "train"), True, chosen.seed)
    val = images(os.path.join(dataset, "val"), True, chosen.seed)
    # Counted in whole batches, as the competition did.
    examples = int(train.cardinality() + val.cardinality()) * BATCH
    if examples > MOST_EXAMPLES:
        print("Dataset size larger than {:,}. Got {} examples".format(MOST_EXAMPLES, examples))
        sys.exit(0)
    book = images(os.path.join(chosen.label_book, "label_book"), False, None)

    model = build_model()
    model.summary()
    loss, accuracy = model.evaluate(val)
    print("loss {}, acc {}".format(loss, accuracy))
    best = tf.keras.callbacks.ModelCheckpoint(
        checkpoint_name(), monitor="val_accuracy", mode="max", save_best_only=True, save_weights_only=True
    )
    model.fit(train, validation_data=val, epochs=chosen.epochs, callbacks=[best])

    model.load_weights(checkpoint_name())
    loss, accuracy = model.evaluate(val)
    print("final loss {}, final acc {}".format(loss, accuracy))
    loss, accuracy = model.evaluate(book)
    print("test loss {}, test acc {}".format(loss, accuracy))

    predictions = np.argmax(model.predict(book), axis=1)
    with open("predictions.json", "w") as file:
        json.dump([int(index) for index in predictions], file)


if __name__ == "__main__":
    main()
