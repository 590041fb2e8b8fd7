"""Time of `cldc submit` against the same commands given one by one to `cl`, and of packing against `zip -6 -r`.

    python -m benchmarks.submission [--images 9992] [--rounds 3] [--result FILE]

Both submit to one sandbox, with a training that takes a moment. The time of the run is subtracted, so that everything but the
training is compared. Interleaved rounds let other work on the machine affect both alike. `cldc submit` does more in its time: it
checks every image, decides on the quota, and verifies the submission. It is measured on a dataset that it has never seen, and
again after `cldc validate`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from benchmarks.report import conditions, publish
from cldc import process
from cldc.codalab import wait_for
from cldc.competition import load
from cldc.environments import ensure_codalab
from cldc.package import pack
from cldc.validation import validate
from tests.support.commands import ROOT
from tests.support.stage import Stage, lower_stage, raise_stage

Times = dict[str, list[float]]


@contextlib.contextmanager
def timed(times: Times, what: str) -> Iterator[None]:
    """Add the block's seconds to ``times``."""
    started = time.perf_counter()
    yield
    times.setdefault(what, []).append(time.perf_counter() - started)


def with_cldc(stage: Stage, times: Times, work: Path, number: int) -> None:
    """Submit a new dataset, then the same after `cldc validate` and under another name."""
    account = stage.account()
    cldc = stage.person(work / "home", account)
    folder = stage.folder(work / "mine", number)
    time.sleep(2.5)  # files that have just changed are not cached
    for name, what in (
        ("new", "cldc submit, dataset never seen"),
        ("known", "cldc submit, images checked before"),
    ):
        if name == "known":
            cldc("validate", folder)
        started = time.perf_counter()
        made = cldc(
            "submit",
            folder,
            "--name",
            f"{name}-{number}",
            "--yes",
            "--no-preflight",
            "--again",
            "--format",
            "json",
        ).data
        seconds = time.perf_counter() - started
        with stage.rest(account) as rest:
            training = rest.bundle(made["run"]).seconds
        steps = json.loads(cldc("ledger", "export").out)["submissions"][-1]["steps"]
        step = next(s for s in steps if s["name"] == "train")
        waited = (
            datetime.fromisoformat(step["finished"]) - datetime.fromisoformat(step["started"])
        ).total_seconds()
        times.setdefault(what, []).append(seconds - waited)
        times.setdefault("the run, as CodaLab counts it", []).append(training)


def with_cl(stage: Stage, times: Times, work: Path, program: Path) -> None:
    """Run the guide's commands, each as a process of its own; waiting for the run is not counted."""
    account = stage.account()
    home = work / "cl-home"
    home.mkdir()
    cli = {"default_address": stage.address, "verbose": 1}
    config = {"cli": cli, "server": {}, "aliases": {"main": stage.address}, "workers": {}}
    (home / "config.json").write_text(json.dumps(config), encoding="utf-8")
    env = process.clean_environment(
        {
            "CODALAB_HOME": str(home),
            "CODALAB_SESSION": "bench",
            "CODALAB_USERNAME": account.name,
            "CODALAB_PASSWORD": account.password,
            "NO_PROXY": "*",
        }
    )
    total = 0.0

    def cl(*arguments: str) -> str:
        nonlocal total
        started = time.perf_counter()
        done = process.run([program, *arguments], env=env, cwd=work, timeout_seconds=600)
        total += time.perf_counter() - started
        return done.stdout.strip()

    started = time.perf_counter()
    process.run(["zip", "-6", "-q", "-r", "mine.zip", "mine"], cwd=work, timeout_seconds=600)
    total += time.perf_counter() - started
    bundles, run = stage.competition.bundles, stage.competition.run
    script, book = bundles.script, bundles.label_book
    worksheet = cl("new", f"bench-{account.name}")
    cl("work", worksheet)
    data = cl("upload", "mine.zip")
    cl("add", "bundle", str(script.uuid))
    cl("add", "bundle", str(book.uuid))
    command = run.command.format(dataset="mine", label_book=book.name)
    needs = (f"{script.name}:{script.uuid}", f"mine:{data}", f"{book.name}:{book.uuid}")
    ran = cl("run", *needs, command, "-n", run.name, "--request-docker-image", run.image)
    with stage.rest(account) as rest:
        wait_for(rest, ran, longest_pause_seconds=1)
    made = cl("make", f"{ran}/{run.predictions}", "-n", "mine")
    cl("wait", made)
    cl("wperm", worksheet, "public", "read")
    cl("perm", data, ran, made, "public", "read")
    cl("edit", made, "-d", "mine (Lab)")
    cl("edit", made, "--tags", stage.competition.submission.tag)
    times.setdefault("cl, one command after the other", []).append(total)


def packing(stage: Stage, times: Times, work: Path) -> tuple[int, int]:
    """Pack with cldc and with Info-ZIP; the bytes of both zips."""
    report = validate(work / "mine", load(str(stage.profile)))
    with timed(times, "cldc's packing"):
        size = pack(report, work / "packed").size
    (work / "mine.zip").unlink(missing_ok=True)
    with timed(times, "zip -6 -r"):
        process.run(["zip", "-6", "-q", "-r", "mine.zip", "mine"], cwd=work, timeout_seconds=600)
    return size, (work / "mine.zip").stat().st_size


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=9992)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--result", type=Path)
    chosen = parser.parse_args()
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    environments = Path(os.environ.get("CLDC_TEST_HOME", ROOT / ".cache" / "test-home")).absolute()
    program = ensure_codalab(environments).bin / "cl"
    times: Times = {}
    sizes = (0, 0)
    with tempfile.TemporaryDirectory() as folder:
        stage = raise_stage(Path(folder, "stage"), environments, images=chosen.images)
        try:
            for number in range(chosen.rounds):
                work = Path(folder, f"round-{number}")
                work.mkdir()
                with_cldc(stage, times, work, number)
                with_cl(stage, times, work, program)
                sizes = packing(stage, times, work)
                shutil.rmtree(work)
        finally:
            lower_stage(stage)
    text = table(times, sizes, chosen.images, chosen.rounds)
    publish(text, chosen.result)


def table(times: Times, sizes: tuple[int, int], images: int, rounds: int) -> str:
    """The result as Markdown."""
    median: Callable[[str], float] = lambda what: statistics.median(times[what])  # noqa: E731
    cl = median("cl, one command after the other")
    rows = [
        f"| {what} | {median(what):.1f} | {min(seconds):.1f} to {max(seconds):.1f} |"
        for what, seconds in times.items()
    ]
    ratios = [
        f"- {what}: {median(what) / cl:.0%} of the time that `cl` takes."
        for what in times
        if what.startswith("cldc submit")
    ]
    packed = median("cldc's packing") / median("zip -6 -r")
    return "\n".join(
        [
            "# Submitting and packing",
            "",
            f"{images:,} images, {rounds} rounds; {conditions()}. "
            "Made by `python -m benchmarks.submission`, which says what is measured.",
            "",
            "| what | median s | from, to |",
            "|---|---|---|",
            *rows,
            "",
            *ratios,
            f"- Packing: {packed:.0%} of the time of `zip -6 -r`; {sizes[0]:,} bytes against its {sizes[1]:,}.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
