"""The images of the competition of 2021, where CLDC_TEST_DATA (or ../shared/data) has them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from cldc.inside.unpacking import unpack_tar

SOURCE = Path(os.environ.get("CLDC_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
# Images of each class in a submission's train and val, and in a sandbox's hidden test set.
TRAIN, VAL, HIDDEN = 42, 18, 18


def unpack(folder: Path) -> bool:
    """Unpack the starting dataset (``data``) and the label book (``label_book``) into ``folder``; False without them."""
    if not (SOURCE / "data.tar.gz").is_file():
        return False
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("data", "label_book"):
        unpack_tar(str(SOURCE / f"{name}.tar.gz"), str(folder / f"{name}.tar"))
        (folder / f"{name}.tar" / name).rename(folder / name)
    return True


def lay_out(home: Path, dataset: Path) -> list[str]:
    """Make ``dataset`` of a part of the images, and give the options that seed a sandbox with others.

    Everything is unpacked into ``home/competition`` first. Without the images, nothing is made and there are no options.
    """
    unpacked, hidden = home / "competition", home / "hidden"
    if not unpack(unpacked):
        return []
    for label in (path.name for path in (unpacked / "data" / "train").iterdir() if path.is_dir()):
        train, val = (sorted((unpacked / "data" / split / label).glob("*.png")) for split in ("train", "val"))
        _copy(train[:TRAIN], dataset / "train" / label)
        _copy(val[:VAL], dataset / "val" / label)
        _copy(val[VAL : VAL + HIDDEN], hidden / label)
    return ["--label-book", str(unpacked / "label_book"), "--test-set", str(hidden)]


def _copy(images: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for image in images:
        shutil.copy(image, folder)
