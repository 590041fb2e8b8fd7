"""The main job, from a folder of images to a row on the leaderboard, on a CodaLab of this machine's own.

Takes the competition's real images if CLDC_TEST_DATA (or ../shared/data) has them, else images that `cldc sample`
draws. It writes everything to .cache/demo, which it empties first; the isolated environments stay for the next time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from cldc.inside.unpacking import unpack_tar

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache"
HOME = CACHE / "demo"
ENVIRONMENTS = CACHE / "test-home" / "environments"
# A class in each split of the submission, and in the hidden test set.
TRAIN, VAL, HIDDEN = 42, 18, 18
SHOWN = {**os.environ, "CLDC_HOME": str(HOME), "CLDC_COMPETITION": "demo", "CLDC_SERVER": "sandbox"}


def main() -> int:
    """Run the commands one after the other; the first that fails ends it with its exit code."""
    started = time.monotonic()
    prepare()
    folder = HOME / "my-roman-numerals"
    seed = real_images(folder)
    try:
        if not seed:
            cldc(
                "sample", folder, "--images", "600", says="Draw a dataset (the competition's own is not here)"
            )
        cldc(
            "sandbox",
            "up",
            *seed,
            says="Start a whole CodaLab on this machine, seeded as the organisers would",
        )
        cldc("validate", folder, says="Check every image by the rules that the training script applies")
        cldc("preflight", folder, says="Train as the competition does, to see what comes out")
        cldc(
            *("submit", folder, "--institution", "Demo Lab", "--link", "https://example.org/demo", "--yes"),
            says="Submit it, as an ordinary account",
        )
        cldc(
            "sandbox", "score", says="Let the organisers' daemon score it on a test set that nobody has seen"
        )
        cldc("leaderboard", says="The board")
        cldc("status", says="And where the submission stands")
    except subprocess.CalledProcessError as error:
        print(f"\nThe demo stopped: that command ended with exit code {error.returncode}.", file=sys.stderr)
        return int(error.returncode)
    finally:
        cldc("sandbox", "down", says="Stop the CodaLab")
    print(f"\nDone in {time.monotonic() - started:.0f} s. What was made is in {HOME}.")
    return 0


def prepare() -> None:
    """An empty data folder that shares the isolated environments with the tests."""
    if (HOME / "sandbox").exists():
        cldc("sandbox", "down", says="Stop the CodaLab of an earlier demo")
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    (HOME / "environments").symlink_to(ENVIRONMENTS, target_is_directory=True)


def cldc(*arguments: str | Path, says: str) -> None:
    """Run one command of the tool on the terminal that the demo runs on."""
    shown = " ".join(str(a) if " " not in str(a) else f"'{a}'" for a in arguments).replace(f"{ROOT}/", "")
    print(f"\n# {says}\n$ cldc {shown}", flush=True)
    subprocess.run([Path(sys.executable).with_name("cldc"), *map(str, arguments)], env=SHOWN, check=True)


def real_images(folder: Path) -> list[str]:
    """Lay out a part of the competition's images, and give the options that seed the sandbox with others of them."""
    source = Path(os.environ.get("CLDC_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (source / "data.tar.gz").is_file():
        return []
    print(f"# Take {TRAIN + VAL} of the competition's own images for each class", flush=True)
    unpacked = HOME / "competition"
    unpacked.mkdir(parents=True)
    for name in ("data", "label_book"):
        unpack_tar(str(source / f"{name}.tar.gz"), str(unpacked / f"{name}.tar"))
        (unpacked / f"{name}.tar" / name).rename(unpacked / name)
    for label in sorted(p for p in (unpacked / "data" / "train").iterdir() if p.is_dir()):
        train = sorted(label.glob("*.png"))
        val = sorted((unpacked / "data" / "val" / label.name).glob("*.png"))
        copy(train[:TRAIN], folder / "train" / label.name)
        copy(val[:VAL], folder / "val" / label.name)
        copy(val[VAL : VAL + HIDDEN], HOME / "hidden" / label.name)
    return ["--label-book", str(unpacked / "label_book"), "--test-set", str(HOME / "hidden")]


def copy(images: list[Path], folder: Path) -> None:
    """Copy images into a folder made for them."""
    folder.mkdir(parents=True)
    for image in images:
        shutil.copy(image, folder)


if __name__ == "__main__":
    sys.exit(main())
