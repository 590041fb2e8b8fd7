"""What the reports of all benchmarks have in common."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

# Seconds by the clock and of the processor.
Spent = tuple[float, float]


def conditions(*more: str) -> str:
    """The date, the machine and its load, and what else matters."""
    return ", ".join(
        (
            f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} processors",
            f"load average {os.getloadavg()[0]:.1f}, Python {platform.python_version()}",
            *more,
        )
    )


def medians(rounds: Sequence[Spent]) -> Spent:
    """The median of each over all rounds."""
    return (statistics.median(clock for clock, _ in rounds), statistics.median(used for _, used in rounds))


def publish(report: str, result: Path | None) -> None:
    """Print a report, and write it to the file of ``--result``."""
    print(report)
    if result is not None:
        result.write_text(report, encoding="utf-8")
