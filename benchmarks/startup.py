"""Start-up of `cldc --help` and `cldc --version` against that of Python with Click.

    python -m benchmarks.startup [--rounds 20] [--result FILE]

Rounds are interleaved, with bytecode cached as in an installed program. Other work on the machine affects the clock more than the
processor time, so both are reported.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from benchmarks.report import Spent, conditions, medians, publish
from cldc.process import run

WAYS = {
    "python -c pass": ("-c", "pass"),
    "python -c 'import click'": ("-c", "import click"),
    "cldc --version": ("-m", "cldc", "--version"),
    "cldc --help": ("-m", "cldc", "--help"),
}
BASE = "python -c 'import click'"


def measure(way: str, bytecode: str) -> Spent:
    """Milliseconds by the clock and of the processor."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began, before = time.perf_counter(), os.times()
    run([sys.executable, *WAYS[way]], env=environment, timeout_seconds=60)
    clock, after = time.perf_counter() - began, os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return 1000 * clock, 1000 * spent


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    results: dict[str, list[Spent]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as bytecode:
        for way in WAYS:
            measure(way, bytecode)
        for _ in range(options.rounds):
            for way, spent in results.items():
                spent.append(measure(way, bytecode))
    report = _report(results, options.rounds)
    publish(report, options.result)


def _report(results: dict[str, list[Spent]], rounds: int) -> str:
    base = medians(results[BASE])
    lines = [
        "# Start-up",
        "",
        conditions("click " + version("click")) + f"; medians of {rounds} interleaved rounds.",
        "",
        "| way | ms | ratio to click | processor ms | ratio to click |",
        "|---|---|---|---|---|",
    ]
    for way, spent in results.items():
        clock, processor = medians(spent)
        lines.append(
            f"| `{way}` | {clock:.0f} | {clock / base[0]:.2f} | {processor:.0f} | {processor / base[1]:.2f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
