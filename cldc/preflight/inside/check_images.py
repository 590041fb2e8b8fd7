"""Read every image once as the training will, and report the TensorFlow in use.

    python check_images.py FOLDER

Runs in the environment that trains; standard output is one JSON object a line: first a description of TensorFlow, then a
line with "path" and "error" for each image that it can't read, then {"read": N}. The paths to read, relative to
FOLDER, come on standard input, separated by NUL bytes.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf  # its messages go to standard error


def say(**line: object) -> None:
    print(json.dumps(line), flush=True)


def main() -> None:
    folder = os.fsencode(sys.argv[1])
    paths = [path for path in sys.stdin.buffer.read().split(b"\0") if path]

    devices = []
    for device in tf.config.list_physical_devices():
        details = {}
        if device.device_type == "GPU":
            details = tf.config.experimental.get_device_details(device)
        name = details.get("device_name")
        devices.append(device.device_type + (": " + name if name else ""))
    say(
        version=tf.__version__,
        build=f"{tf.version.GIT_VERSION} {tf.version.COMPILER_VERSION}",
        devices=devices,
    )

    def error_of(path: bytes) -> str:
        # The same calls as Keras' image_dataset_from_directory, which reads and decodes like this.
        try:
            content = tf.io.read_file(os.path.join(folder, path))
            tf.io.decode_image(content, channels=3, expand_animations=False)
        except Exception as error:  # the training would fail with any of these errors too
            return str(error).splitlines()[0] or type(error).__name__
        return ""

    with ThreadPoolExecutor(2) as pool:
        for path, error in zip(paths, pool.map(error_of, paths)):
            if error:
                say(path=os.fsdecode(path), error=error)
    say(read=len(paths))


if __name__ == "__main__":
    main()
