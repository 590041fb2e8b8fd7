"""Time of `cldc preflight` against `python train.py` by hand, in the same TensorFlow on the same dataset.

    python -m benchmarks.preflight DATASET LABEL_BOOK [--epochs 2] [--rounds 3] [--result FILE]

Both train the built-in script for the same few epochs, in interleaved rounds. Other work on the machine affects the clock more
than the processor time, so both are reported. Creating the environment is not counted. Suspicious labels are searched for in the
first round only, because the result is cached. What `cldc preflight` does besides the training is reported part by part; what it
does once (validation, reading every image, asking the model, suspicious labels) weighs less the more epochs there are.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from benchmarks.report import Spent, conditions, medians, publish
from cldc import process
from cldc.competition import load
from cldc.environments import ensure_analysis, ensure_tensorflow
from cldc.files import data_folder
from cldc.resources import template

# How each part begins on standard error, and its name in the table.
PARTS = {
    "Checking images": "validation",
    "Copying images": "copying to a read-only workspace",
    "Reading every image": "reading every image with TensorFlow",
    "Training": "training",
    "Asking the trained model": "asking the model about every image",
    "Looking for labels": "looking for labels that look wrong",
}
START = "start of cldc, script and label book"
HAND, TRAINING = "python train.py", "cldc preflight: training"


def processor(root: psutil.Process) -> float:
    """Seconds of processor time of a process and its descendants, ended ones included."""
    total = 0.0
    for one in (root, *root.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def followed(command: Sequence[str | Path], env: Mapping[str, str], cwd: Path) -> dict[str, Spent]:
    """Clock and processor seconds of each part of a command, by its progress."""
    me = psutil.Process()
    spent: dict[str, Spent] = {}
    part, began, before = START, time.perf_counter(), processor(me)

    def close(following: str) -> None:
        nonlocal part, began, before
        now, used = time.perf_counter(), processor(me)
        old = spent.get(part, (0.0, 0.0))
        spent[part] = (old[0] + now - began, old[1] + used - before)
        part, began, before = following, now, used

    with process.Stream(command, env=env, cwd=cwd) as child:
        for line in child:
            begins = next((name for sign, name in PARTS.items() if line.startswith(f"{sign}")), None)
            if begins and begins != part:
                close(begins)
    child.check()
    close("")
    return spent


def by_hand(work: Path, python: Path, script: Path, epochs: int) -> dict[str, Spent]:
    """The script on folders laid out as CodaLab does, started as anyone would."""
    command: list[str | Path] = [python, script, "data", "label_book", "--epochs", str(epochs)]
    return {HAND: followed(command, process.clean_environment(), work)[START]}


def measured(options: argparse.Namespace, work: Path) -> dict[str, list[Spent]]:
    """Seconds of each part, in the rounds' order."""
    profile, home = work / "few.toml", data_folder()
    text = template("competitions", "demo.toml").read_text(encoding="utf-8")
    text = text.replace("--epochs 12", f"--epochs {options.epochs}")
    profile.write_text(text.replace("epochs = 12", f"epochs = {options.epochs}"), encoding="utf-8")
    environment = ensure_tensorflow(load(str(profile)).training.tensorflow, home)
    ensure_analysis(home)
    script = template("scripts", "train.py")
    shutil.copytree(options.dataset, work / "data" / "data")
    shutil.copytree(options.label_book, work / "label_book" / "label_book")

    def cldc(prefix: str, fresh: Path, *more: str) -> dict[str, Spent]:
        if not fresh.exists():
            fresh.mkdir()
            (fresh / "environments").symlink_to(home / "environments", target_is_directory=True)
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "cldc",
            "preflight",
            work / "data" / "data",
            "--force",
            "--no-input",
        ]
        command += ["--label-book", work / "label_book" / "label_book", "--script", script]
        env = {**os.environ, "CLDC_HOME": str(fresh), "CLDC_COMPETITION": str(profile)}
        spent = followed([*command, *more], env, work)
        spent["all of it"] = (sum(s[0] for s in spent.values()), sum(s[1] for s in spent.values()))
        return {f"{prefix}: {part}": seconds for part, seconds in spent.items()}

    cldc("", work / "known", "--quick")  # the dataset is validated before the preflights that are measured
    ways: list[Callable[[int], dict[str, Spent]]] = [
        lambda _: by_hand(work, environment.python, script, options.epochs),
        lambda _: cldc("cldc preflight", work / "known"),
        lambda number: cldc("--quick, nothing known", work / f"fresh-{number}", "--quick"),
    ]
    results: dict[str, list[Spent]] = {}
    for number in range(options.rounds):
        for way in ways:
            for name, seconds in way(number).items():
                results.setdefault(name, []).append(seconds)
            print(json.dumps({name: rows[-1] for name, rows in results.items()}), file=sys.stderr)
    return results


def as_markdown(results: Mapping[str, Sequence[Spent]], options: argparse.Namespace) -> str:
    """The result as Markdown."""
    base = medians(results[HAND])
    lines = [
        "# Preflight",
        "",
        f"{conditions(f'{options.epochs} epochs')}; medians of {options.rounds} interleaved rounds.",
        "",
        "| what | s | ratio | processor s | ratio |",
        "|---|---|---|---|---|",
    ]
    for name, spent in results.items():
        clock, used = medians(spent)
        ratios = ("", "")
        if name in (HAND, TRAINING):
            ratios = (f"{clock / base[0]:.2f}", f"{used / base[1]:.2f}")
        lines.append(f"| {name} | {clock:.1f} | {ratios[0]} | {used:.1f} | {ratios[1]} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path)
    parser.add_argument("label_book", type=Path)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cldc-benchmark-") as folder:
        report = as_markdown(measured(options, Path(folder).resolve()), options)
    publish(report, options.result)


if __name__ == "__main__":
    main()
