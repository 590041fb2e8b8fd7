"""The class's scoring: the share of predictions that are right, as ``right`` in scores.json.

    python evaluate.py predicted.json TEST
"""

import json
import os
import sys

CLASSES = ["o", "l", "z", "x"]


def main():
    predicted_file, folder = sys.argv[1:]
    inside = os.listdir(folder)
    if len(inside) == 1 and inside[0] not in CLASSES:
        folder = os.path.join(folder, inside[0])
    labels = [
        index
        for index, name in enumerate(CLASSES)
        for _, _, files in sorted(os.walk(os.path.join(folder, name)))
        for file in sorted(files)
        if file.lower().endswith(".png")
    ]
    with open(predicted_file) as file:
        predicted = json.load(file)
    if len(predicted) != len(labels):
        sys.exit("There are {} predictions for {} images.".format(len(predicted), len(labels)))
    with open("scores.json", "w") as file:
        json.dump({"right": sum(a == b for a, b in zip(predicted, labels)) / len(labels)}, file)


if __name__ == "__main__":
    main()
