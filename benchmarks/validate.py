"""Time and memory of a whole check against the time of decoding the same files with Pillow.

    python benchmarks/validate.py [FOLDER] [--images 9992] [--rounds 3] [--result FILE]

Without FOLDER, `cldc sample` draws the images. Ways are measured in interleaved rounds, each in a fresh process, so that
whatever else the machine does hits them alike; ratios are of medians, to one process that only decodes every file.
Processor time is that of a process and its children; memory is the peak of all processes together.
"""

from __future__ import annotations

import argparse
import os
import platform
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
from cldc.process import run
from cldc.sample import draw

WAYS = {
    "decode with Pillow": "from PIL import Image\nfor p in glob.glob(folder + '/*/*/*'): Image.open(p).load()",
    "first check": "check()",
    "second check, nothing changed": "check(cache)",
    "second check, one file changed": "check(cache)",
}
SCRIPT = """
import glob, sys
folder, cache = sys.argv[1:]
def check(cache=None):
    from pathlib import Path
    from cldc import competition
    from cldc.validation import validate
    assert validate(Path(folder), competition.load(), cache=cache and Path(cache)).ok
if __name__ == '__main__':
    {code}
"""


def measure(folder: Path, cache: Path, scripts: Path, way: str) -> tuple[float, float, float]:
    """Seconds by the clock and of all processors, and peak memory in MB, of one way in a fresh process."""
    script = scripts / "way.py"
    script.write_text(SCRIPT.replace("{code}", WAYS[way].replace("\n", "\n    ")))
    if "one file" in way:
        path = next(folder.glob("*/*/*"))
        path.write_bytes(path.read_bytes() + b"\0")
    with Peak() as peak:
        began, before = time.perf_counter(), os.times()
        run([sys.executable, script, folder, cache], timeout_seconds=900)
        clock, after = time.perf_counter() - began, os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return clock, spent, peak.megabytes


class Peak:
    """Peak of the resident memory of all child processes together, sampled every 20 ms."""

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
            total = 0
            for child in me.children(recursive=True):
                try:
                    total += child.memory_info().rss
                except psutil.Error:
                    continue
            self.megabytes = max(self.megabytes, total / 1e6)


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=9992)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or draw(Path(temporary, "dataset"), competition.load(), images=options.images)
        report = _report(folder, Path(temporary), options.rounds)
    print(report)
    if options.result:
        options.result.write_text(report)


def _report(folder: Path, temporary: Path, rounds: int) -> str:
    cache = temporary / "cache"
    # Files that only just changed are not remembered.
    time.sleep(2.5)
    measure(folder, cache, temporary, "second check, nothing changed")
    results: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            results[way].append(measure(folder, cache, temporary, way))
            if "one file" in way:
                time.sleep(2.5)
                measure(folder, cache, temporary, "second check, nothing changed")
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
            for way in WAYS
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
