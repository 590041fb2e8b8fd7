"""Start-up of `cldc --help` and `cldc --version` against that of Python with Click.

    python benchmarks/startup.py [--rounds 20] [--result FILE]

Ways are measured in interleaved rounds with bytecode cached, as in an installed program; processor time is reported besides the
clock, since other work on the machine distorts the clock more.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from cldc.process import run

WAYS = {
    "python -c pass": ("-c", "pass"),
    "python -c 'import click'": ("-c", "import click"),
    "cldc --version": ("-m", "cldc", "--version"),
    "cldc --help": ("-m", "cldc", "--help"),
}
BASE = "python -c 'import click'"


def measure(way: str, bytecode: str) -> tuple[float, float]:
    """Milliseconds by the clock and of the processor."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began, before = time.perf_counter(), os.times()
    run([sys.executable, *WAYS[way]], env=environment, timeout_seconds=60)
    clock, after = time.perf_counter() - began, os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return 1000 * clock, 1000 * spent


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    results: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as bytecode:
        for way in WAYS:
            measure(way, bytecode)
        for _ in range(options.rounds):
            for way, spent in results.items():
                spent.append(measure(way, bytecode))
    report = _told(results, options.rounds)
    print(report)
    if options.result:
        options.result.write_text(report)


def _told(results: dict[str, list[tuple[float, float]]], rounds: int) -> str:
    base = [statistics.median(column) for column in zip(*results[BASE], strict=True)]
    lines = [
        "# Start-up",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} processors, load average "
        f"{os.getloadavg()[0]:.1f}, Python {platform.python_version()}, click {version('click')}; medians of "
        f"{rounds} interleaved rounds.",
        "",
        "| way | ms | ratio to click | processor ms | ratio to click |",
        "|---|---|---|---|---|",
    ]
    for way, spent in results.items():
        clock, processor = (statistics.median(column) for column in zip(*spent, strict=True))
        lines.append(
            f"| `{way}` | {clock:.0f} | {clock / base[0]:.2f} | {processor:.0f} | {processor / base[1]:.2f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
