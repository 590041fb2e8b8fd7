"""Time of the verdict on every image, against the time of decoding the same files with Pillow.

    python -m benchmarks.verdicts [FOLDER] [--images 9992] [--rounds 5] [--result FILE]

Without FOLDER, `cldc sample` draws the images. With it, its PNGs are copied until there are enough; a text chunk makes each copy
different. Each measurement is a fresh process; interleaved rounds let other work on the machine affect all alike. Each median is
compared with Pillow's on the same number of cores.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import statistics
import struct
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from PIL import Image

from benchmarks.report import Spent, publish
from cldc import competition
from cldc.sample import draw
from cldc.validation.tensorflow_decoder import Readable, judge

WORKERS = (1, 2)


def content_of(path: str) -> bytes:
    """Read a file with system calls alone."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def read(paths: Iterable[str]) -> None:
    """Read every byte."""
    for path in paths:
        content_of(path)


def pillow(paths: Iterable[str]) -> None:
    """Decode as Pillow does."""
    for path in paths:
        with Image.open(path) as image:
            image.load()


def verdicts(paths: Iterable[str]) -> None:
    """Read and judge."""
    for path in paths:
        verdict = judge(content_of(path))
        if verdict.readable is not Readable.YES:
            raise SystemExit(f"{path}: {verdict}")


def verdicts_and_hashes(paths: Iterable[str]) -> None:
    """Read, judge and hash, as a validation does."""
    for path in paths:
        content = content_of(path)
        judge(content)
        hashlib.sha256(content).hexdigest()


WAYS: dict[str, Callable[[Iterable[str]], None]] = {
    "Pillow: open and load": pillow,
    "read only": read,
    "read and judge": verdicts,
    "read, judge, SHA-256": verdicts_and_hashes,
}


def timed(way: str, paths: list[str]) -> Spent:
    """Seconds by the clock and of the processor; imports are not counted."""
    clock, processor = time.perf_counter(), time.process_time()
    WAYS[way](paths)
    return time.perf_counter() - clock, time.process_time() - processor


def measure(way: str, paths: list[str], workers: int) -> Spent:
    """Seconds by the clock of the slowest of `workers` processes, and of the processor for all of them."""
    shares = [paths[number::workers] for number in range(workers)]
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(timed, [way] * workers, [share[:20] for share in shares]))  # start-up and imports
        spent = list(pool.map(timed, [way] * workers, shares))
    return max(clock for clock, _ in spent), sum(processor for _, processor in spent)


def sources(folder: Path | None, images: int, target: Path) -> list[str]:
    """Files to measure, different from each other."""
    if folder is None:
        draw(target / "sample", competition.load(), images=images)
        return sorted(str(path) for path in (target / "sample").rglob("*.png"))
    found = sorted(path for path in folder.rglob("*.png") if not path.name.startswith("."))
    paths = []
    for number in range(images):
        content = found[number % len(found)].read_bytes()
        text = b"tEXtCopy\0" + str(number).encode()
        extra = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
        path = target / f"{number}.png"
        path.write_bytes(content[:33] + extra + content[33:])
        paths.append(str(path))
    return paths


def machine() -> str:
    """The machine and the libraries."""
    names = [line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    name = names[0] if names else platform.processor()
    libraries = ", ".join(f"{name} {version(name)}" for name in ("pillow", "zlib-ng"))
    return f"{name}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {libraries}"


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


def table(times: dict[tuple[str, int], list[Spent]]) -> list[str]:
    """The result as Markdown."""
    lines = [
        "| way | cores | median s | ratio to Pillow | processor s | ratio to Pillow | lowest to highest ratio of a round |",
        "|---|---|---|---|---|---|---|",
    ]
    for (way, workers), spent in times.items():
        base = times["Pillow: open and load", workers]
        columns = []
        for own, other in zip(zip(*spent, strict=True), zip(*base, strict=True), strict=True):
            middle = statistics.median(own)
            columns.append(f"{middle:.3f} | {middle / statistics.median(other):.3f}")
        ratios = sorted(own[1] / other[1] for own, other in zip(spent, base, strict=True))
        lines.append(f"| {way} | {workers} | {' | '.join(columns)} | {ratios[0]:.3f} to {ratios[-1]:.3f} |")
    return lines


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=9992)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--result", type=Path, help="also write the report to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as target:
        paths = sources(options.folder, options.images, Path(target))
        times: dict[tuple[str, int], list[Spent]] = {(w, n): [] for n in WORKERS for w in WAYS}
        for _ in range(options.rounds):
            for (way, workers), spent in times.items():
                spent.append(measure(way, paths, workers))
        size = sum(Path(path).stat().st_size for path in paths)
    what = f"copies of the PNGs of {options.folder.name}" if options.folder else "images of `cldc sample`"
    lines = [
        "# The verdict on every image, against decoding it",
        "",
        f"{len(paths):,} {what}, {size / 1e6:.1f} MB, warm cache, {options.rounds} interleaved rounds, "
        f"{datetime.now(UTC):%Y-%m-%d}.",
        f"{machine()}.",
        "",
        *table(times),
    ]
    publish("\n".join(lines) + "\n", options.result)


if __name__ == "__main__":
    main()
