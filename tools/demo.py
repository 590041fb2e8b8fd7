"""The main job, from a folder of images to a row on the leaderboard, on a local CodaLab: `make demo`.

It uses the competition's own images if they are at hand, and otherwise images that `cldc sample` draws. Everything is
written to .cache/demo, which is emptied first; the isolated environments stay for the next time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tools.competition_images import TRAIN, VAL, lay_out

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache"
HOME = CACHE / "demo"
ENVIRONMENTS = CACHE / "test-home" / "environments"
ENVIRONMENT = {**os.environ, "CLDC_HOME": str(HOME), "CLDC_COMPETITION": "demo", "CLDC_SERVER": "sandbox"}


def main() -> int:
    """Run the commands in order, until one fails; the exit code."""
    started = time.monotonic()
    prepare()
    folder = HOME / "my-roman-numerals"
    seed = lay_out(HOME, folder)
    try:
        if seed:
            print(f"# Take {TRAIN + VAL} of the competition's own images of each class", flush=True)
        else:
            cldc("sample", folder, "--images", "600", says="Draw a dataset (the competition's is not here)")
        cldc("sandbox", "up", *seed, says="Start a CodaLab on this machine, with the competition on it")
        cldc("validate", folder, says="Check every image as the training script will")
        cldc("preflight", folder, says="Train as the competition does, before anything is submitted")
        cldc(
            *("submit", folder, "--institution", "Demo Lab", "--link", "https://example.org/demo", "--yes"),
            says="Submit it, as an ordinary account",
        )
        cldc("sandbox", "score", says="Let the organisers' daemon score it on the hidden test set")
        cldc("leaderboard", says="Show the leaderboard")
        cldc("status", says="Show the submission's status")
    except subprocess.CalledProcessError as error:
        print(f"\nThe demo stopped: the command failed with exit code {error.returncode}.", file=sys.stderr)
        return int(error.returncode)
    finally:
        cldc("sandbox", "down", says="Stop the CodaLab")
    print(f"\nDone in {time.monotonic() - started:.0f} s. Everything is in {HOME}.")
    return 0


def prepare() -> None:
    """Make an empty data folder that shares the isolated environments with the tests."""
    if (HOME / "sandbox").exists():
        cldc("sandbox", "down", says="Stop the CodaLab of an earlier demo")
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    (HOME / "environments").symlink_to(ENVIRONMENTS, target_is_directory=True)


def cldc(*arguments: str | Path, says: str) -> None:
    """Run one command, on the demo's own terminal."""
    shown = " ".join(str(a) if " " not in str(a) else f"'{a}'" for a in arguments).replace(f"{ROOT}/", "")
    print(f"\n# {says}\n$ cldc {shown}", flush=True)
    subprocess.run(
        [Path(sys.executable).with_name("cldc"), *map(str, arguments)], env=ENVIRONMENT, check=True
    )


if __name__ == "__main__":
    sys.exit(main())
