"""Time and memory of a whole check against the time of decoding the same files with Pillow.

    python -m benchmarks.validate [FOLDER] [--images 9992] [--rounds 3] [--result FILE]

Without FOLDER, `cldc sample` draws the images; a FOLDER is copied first. Each measurement is a fresh process of a plain
installation, start-up included; interleaved rounds let other work on the machine affect all alike. Ratios are of medians, to one
process that only decodes every file. Processor time includes child processes; memory is the peak of all processes together.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import psutil
from uv import find_uv_bin

from benchmarks.report import Spent, conditions, medians, publish
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
ROOT = Path(__file__).resolve().parents[1]
CHECK = ("-m", "cldc", "validate", "--quiet", "--no-input")
Way = tuple[str | Path, ...]


def installed(into: Path) -> Path:
    """The Python of an installation as a user has it: not in place, and with bytecode."""
    uv, python = find_uv_bin(), into / "bin" / "python"
    run([uv, "venv", "--quiet", "--python", sys.executable, into], timeout_seconds=300)
    install = (uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python)
    run([*install, ROOT], timeout_seconds=900)
    return python


def ways(folder: Path, python: Path) -> dict[str, Way]:
    """What is measured: programs with their arguments."""
    rules = competition.load()
    tensorflow = ensure_tensorflow(rules.training.tensorflow, data_folder()).python
    return {
        "decode with Pillow": (python, "-c", DECODE, folder),
        "one pass of TensorFlow's loader": (tensorflow, "-c", LOAD, folder, *rules.dataset.splits),
        "first check": (python, *CHECK, "--no-cache", folder),
        NOTHING: (python, *CHECK, folder),
        ONE: (python, *CHECK, folder),
    }


NOTHING, ONE = "second check, nothing changed", "second check, one file changed"


def measure(folder: Path, home: Path, name: str, way: Way) -> Spent:
    """Seconds by the clock and of all processors of one way in a fresh process."""
    _change(folder, name)
    began, before = time.perf_counter(), os.times()
    # Not through `cldc.process`, whose guard would add a tenth of what is measured.
    subprocess.run(way, check=True, capture_output=True, env=_home(home), cwd=folder.parent)
    clock, after = time.perf_counter() - began, os.times()
    return clock, sum(after[2:4]) - sum(before[2:4])


def peak(folder: Path, home: Path, name: str, way: Way) -> float:
    """Peak resident memory in MB of all processes together; measured in a separate run, because measuring it takes time."""
    _change(folder, name)
    most, quiet = 0, subprocess.DEVNULL
    with subprocess.Popen(way, stdout=quiet, stderr=quiet, env=_home(home), cwd=folder.parent) as running:
        program = psutil.Process(running.pid)
        while running.poll() is None:
            with contextlib.suppress(psutil.Error):
                family = (program, *program.children(recursive=True))
                most = max(most, sum(process.memory_info().rss for process in family))
            time.sleep(0.02)
    return most / 1e6


def _change(folder: Path, name: str) -> None:
    if name == ONE:
        path = next(folder.glob("*/*/*.png"))
        path.write_bytes(path.read_bytes() + b"\0")


def _home(home: Path) -> dict[str, str]:
    return {**os.environ, "CLDC_HOME": str(home)}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=9992)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "dataset")
        if options.folder:
            shutil.copytree(options.folder, folder)
        else:
            draw(folder, competition.load(), images=options.images)
        found = ways(folder, installed(Path(temporary, "installed")))
        report = _report(folder, found, Path(temporary, "home"), options.rounds)
    publish(report, options.result)


def _report(folder: Path, found: dict[str, Way], home: Path, rounds: int) -> str:
    results: dict[str, list[Spent]] = {name: [] for name in found}
    peaks = {}
    measure(folder, home, NOTHING, found[NOTHING])
    for number in range(rounds + 1):
        # Files that have just changed are not cached.
        time.sleep(2.5)
        measure(folder, home, NOTHING, found[NOTHING])
        for name, way in found.items():
            if number < rounds:
                results[name].append(measure(folder, home, name, way))
            else:
                peaks[name] = peak(folder, home, name, way)
    base, spent = medians(results["decode with Pillow"])
    count = sum(1 for _ in folder.glob("*/*/*"))
    lines = [
        f"# A whole check of {count:,} images",
        "",
        conditions("Pillow " + version("pillow")) + f"; medians of {rounds} interleaved rounds.",
        "",
        "| way | seconds | ratio to decoding | processor s | ratio to decoding | peak MB, all processes |",
        "|---|---|---|---|---|---|",
    ]
    for name in found:
        clock, used = medians(results[name])
        lines.append(
            f"| {name} | {clock:.2f} | {clock / base:.2f} | {used:.2f} | {used / spent:.2f} | {peaks[name]:.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
