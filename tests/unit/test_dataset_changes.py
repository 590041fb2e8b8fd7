"""A dataset that is worked on while it is trained on or submitted: what counts is what was read, and that is said."""

from __future__ import annotations

import shutil
from pathlib import Path

from cldc.competition import load as load_competition
from cldc.dataset import changes_since, load
from tests.support.folders import make_dataset, png

RULES = load_competition("data-centric-2021").dataset


def test_what_was_changed_added_and_removed_is_counted(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "digits", train=3)
    read = load(root, RULES)
    (root / "notes.txt").write_text("what the script ignores is no change", encoding="utf-8")
    for image in read.images[:3]:
        (root / image.path).touch()
    assert not changes_since(read, RULES)
    (root / read.images[0].path).write_bytes(png(7, width=99))
    (root / read.images[1].path).unlink()
    (root / read.images[2].path).unlink()
    for name in ("a", "b", "c"):
        (root / "val" / "x" / f"{name}.png").write_bytes(png())
    assert changes_since(read, RULES) == (
        f"{root} has changed since its images were read: 1 changed, 3 added, 2 removed."
    )
    shutil.rmtree(root)
    assert changes_since(read, RULES) == f"{root} no longer exists."
