"""The fixed training of the Data-Centric AI Competition 2021, written anew from a description of it.

    python train.py SUBMISSION LABEL_BOOK [--classes=A,B,C] [--image-size=H,W] [--splits=TRAIN,VAL] [--batch=N]
        [--most-images=N] [--epochs N] [--seed N]

SUBMISSION and LABEL_BOOK are folders of the working directory, each holding one folder of the same name:
SUBMISSION/SUBMISSION with train/ and val/, LABEL_BOOK/LABEL_BOOK. Model and training are fixed; what varies is the
dataset. Without options it trains what the competition trained; a class of its own says its classes and image size.
Leaves the weights of the best epoch in ``best_model`` and the label book's predicted classes, as indices into the
classes and in the order in which the folder is read, in ``predictions.json``.

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
SPLITS = ["train", "val"]
BATCH = 8
IMAGE_SIZE = (32, 32)  # height, width
SMALLEST = 32  # of either: the convolutions leave nothing of a smaller image
SEED = 123
MOST_EXAMPLES = 10000
VERSION = tuple(int(part) for part in tf.__version__.split(".")[:2])


def words(text):
    """A list from the command line."""
    return text.split(",")


def size(text):
    """Height and width from the command line."""
    height, width = (int(word) for word in text.split(","))
    if min(height, width) < SMALLEST:
        raise argparse.ArgumentTypeError("{} pixels or more are needed".format(SMALLEST))
    return height, width


def images(folder, chosen, shuffle):
    """Batches of (images, one-hot labels) of a folder with one folder for each class."""
    return tf.keras.preprocessing.image_dataset_from_directory(
        folder,
        labels="inferred",
        label_mode="categorical",
        class_names=chosen.classes,
        batch_size=chosen.batch,
        image_size=chosen.image_size,
        shuffle=shuffle,
        seed=chosen.seed if shuffle else None,
    )


def build_model(classes=len(CLASSES), image_size=IMAGE_SIZE):
    """The first stage of a ResNet50 with nothing learned yet, pooled, and one logit for each class."""
    shape = tuple(image_size) + (3,)
    resnet = tf.keras.applications.ResNet50(include_top=False, weights=None, input_shape=shape)
    stage = tf.keras.Model(resnet.inputs, resnet.get_layer("conv2_block3_out").output)
    inputs = tf.keras.Input(shape=shape)
    x = stage(tf.keras.applications.resnet.preprocess_input(inputs))
    x = tf.keras.layers.GlobalAveragePooling2D()(x)
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(classes)(x))
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
    parser.add_argument("--classes", type=words, default=CLASSES, help="class folders, in the order of their indices")
    parser.add_argument("--image-size", type=size, default=IMAGE_SIZE, help="height and width, as 32,32")
    parser.add_argument("--splits", type=words, default=SPLITS, help="training and validation folder, as train,val")
    parser.add_argument("--batch", type=int, default=BATCH, help="images in a batch")
    parser.add_argument("--most-images", type=int, default=MOST_EXAMPLES, help="more, in whole batches, are refused")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=SEED, help="another than the competition's, to see the spread")
    chosen = parser.parse_args()

    start_from(chosen.seed)
    dataset = os.path.join(chosen.submission, chosen.submission)
    train, val = (images(os.path.join(dataset, split), chosen, True) for split in chosen.splits)
    # Counted in whole batches, as the competition did.
    examples = int(train.cardinality() + val.cardinality()) * chosen.batch
    if examples > chosen.most_images:
        print("Dataset size larger than {:,}. Got {} examples".format(chosen.most_images, examples))
        sys.exit(0)
    book = images(os.path.join(chosen.label_book, os.path.basename(chosen.label_book)), chosen, False)

    model = build_model(len(chosen.classes), chosen.image_size)
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
