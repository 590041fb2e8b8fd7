"""Score predictions on a test set: the share of images whose predicted class is the folder they lie in.

    python evaluate.py predictions.json test

``predictions.json`` is what the training script left: a list of indices into CLASSES, one for each image of the
test set, in the order in which Keras enumerated it. ``test`` is that test set: one folder for each class, either
directly or below one folder. Leaves ``result.json`` with ``{"accuracy": ...}``, from 0 to 1.

That order is Keras' own affair: TensorFlow 2.4 goes through the classes as they are listed, 2.5 and later by name.
So this script does not guess. It makes the same call as the training script, without shuffling, and takes the
labels as they come; run in the environment that made the predictions, the rows are the same rows. Where there is no
TensorFlow, it goes through the classes as listed, as the competition's did.
"""

import json
import os
import sys

CLASSES = ["i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x"]
EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


def class_folders(folder):
    """The folder that holds the class folders: the given one, or the only one in it."""
    inside = [name for name in sorted(os.listdir(folder)) if os.path.isdir(os.path.join(folder, name))]
    if len(inside) == 1 and inside[0] not in CLASSES:
        return os.path.join(folder, inside[0])
    return folder


def labels_by_keras(folder):
    """The true class of each image, in the order of this environment's Keras."""
    import tensorflow as tf

    dataset = tf.keras.preprocessing.image_dataset_from_directory(
        folder, labels="inferred", label_mode="int", class_names=CLASSES, batch_size=8, image_size=(32, 32), shuffle=False
    )
    return [int(label) for _, labels in dataset for label in labels]


def labels_as_listed(folder):
    """The true class of each image, classes in their listed order and files by name, as TensorFlow 2.4 has it."""
    return [
        index
        for index, name in enumerate(CLASSES)
        for _, _, files in sorted(os.walk(os.path.join(folder, name), followlinks=True))
        for file in sorted(files)
        if file.lower().endswith(EXTENSIONS)
    ]


def main():
    predictions_file, folder = sys.argv[1:]
    with open(predictions_file) as file:
        predictions = json.load(file)
    try:
        labels = labels_by_keras(class_folders(folder))
    except ImportError:
        labels = labels_as_listed(class_folders(folder))
    if len(predictions) != len(labels):
        sys.exit("There are {} predictions for {} images.".format(len(predictions), len(labels)))
    right = sum(prediction == label for prediction, label in zip(predictions, labels))
    with open("result.json", "w") as file:
        json.dump({"accuracy": right / len(labels)}, file)
    print("{} of {} right".format(right, len(labels)))


if __name__ == "__main__":
    main()
