"""Time and memory of a whole check against the time of decoding the same files with Pillow.

    python benchmarks/validate.py [FOLDER] [--images 9992] [--rounds 3] [--result FILE]

Without FOLDER, `cldc sample` draws the images; a FOLDER is copied first. Ways are measured in interleaved rounds, each in
a fresh process and with its start (bytecode cached, as in an installed program), so that whatever else the machine does
hits them alike; ratios are of medians, to one process that only decodes every file. Processor time is that of a process and
its children; memory is the peak of all processes together.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from cldc import competition
from cldc.environments import ensure_tensorflow
from cldc.files import data_folder
from cldc.process import run
from cldc.sample import draw

DECODE = """
import glob, sys
from PIL import Image
for path in glob.glob(sys.argv[1] + "/*/*/*"):
    Image.open(path).load()
"""
LOAD = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
for split in sys.argv[2:]:
    found = tf.keras.preprocessing.image_dataset_from_directory(sys.argv[1] + "/" + split, image_size=(32, 32))
    for _ in found:
        pass
"""
CHECK = ("-m", "cldc", "validate", "--quiet", "--no-input")
Way = tuple[str | Path, ...]


def ways(folder: Path) -> dict[str, Way]:
    """What is measured: programs with their arguments."""
    rules = competition.load()
    tensorflow = ensure_tensorflow(rules.training.tensorflow, data_folder()).python
    return {
        "decode with Pillow": (sys.executable, "-c", DECODE, folder),
        "one pass of TensorFlow's loader": (tensorflow, "-c", LOAD, folder, *rules.dataset.splits),
        "first check": (sys.executable, *CHECK, "--no-cache", folder),
        NOTHING: (sys.executable, *CHECK, folder),
        ONE: (sys.executable, *CHECK, folder),
    }


NOTHING, ONE = "second check, nothing changed", "second check, one file changed"


def measure(folder: Path, home: Path, name: str, way: Way) -> tuple[float, float, float]:
    """Seconds by the clock and of all processors, and peak memory in MB, of one way in a fresh process."""
    if name == ONE:
        path = next(folder.glob("*/*/*.png"))
        path.write_bytes(path.read_bytes() + b"\0")
    with Peak() as peak:
        began, before = time.perf_counter(), os.times()
        run(way, timeout_seconds=900, env={**os.environ, "CLDC_HOME": str(home)})
        clock, after = time.perf_counter() - began, os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return clock, spent, peak.megabytes


class Peak:
    """Peak of the resident memory of a program's processes together, sampled every 20 ms."""

    megabytes = 0.0

    def __enter__(self) -> Peak:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        me = psutil.Process()
        while not self._over.wait(0.02):
            with contextlib.suppress(psutil.Error):
                # Direct children only watch over what is measured.
                measured = [child for watcher in me.children() for child in watcher.children(recursive=True)]
                self.megabytes = max(self.megabytes, sum(child.memory_info().rss for child in measured) / 1e6)


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=9992)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        # As in an installed program, whose bytecode is kept.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(Path(temporary, "bytecode"))
        folder = Path(temporary, "dataset")
        if options.folder:
            shutil.copytree(options.folder, folder)
        else:
            draw(folder, competition.load(), images=options.images)
        report = _report(folder, Path(temporary, "home"), options.rounds)
    print(report)
    if options.result:
        options.result.write_text(report)


def _report(folder: Path, home: Path, rounds: int) -> str:
    found = ways(folder)
    # Files that only just changed are not remembered.
    time.sleep(2.5)
    measure(folder, home, NOTHING, found[NOTHING])
    results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, way in found.items():
            results[name].append(measure(folder, home, name, way))
            if name == ONE:
                time.sleep(2.5)
                measure(folder, home, NOTHING, found[NOTHING])
    middle: Callable[[str, int], float] = lambda way, at: statistics.median(r[at] for r in results[way])  # noqa: E731
    base, spent = (middle("decode with Pillow", at) for at in (0, 1))
    count = sum(1 for _ in folder.glob("*/*/*"))
    lines = [
        f"# A whole check of {count:,} images",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} processors, load average "
        f"{os.getloadavg()[0]:.1f}, Python {platform.python_version()}, Pillow {version('pillow')}; medians of "
        f"{rounds} interleaved rounds.",
        "",
        "| way | seconds | ratio to decoding | processor s | ratio to decoding | peak MB, all processes |",
        "|---|---|---|---|---|---|",
        *(
            f"| {way} | {middle(way, 0):.2f} | {middle(way, 0) / base:.2f} | {middle(way, 1):.2f} | "
            f"{middle(way, 1) / spent:.2f} | {middle(way, 2):.0f} |"
            for way in found
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
