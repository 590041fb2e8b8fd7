"""`cldc split`: every class in the same proportion, reproducible, and no drawing on both sides."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cldc import competition
from cldc.curation.splitting import DrawnSplit, draw_split
from cldc.decisions import CORRECT, RELABEL, SET_ASIDE, Decision, match, read
from cldc.decisions.table import to_text
from cldc.sample import draw
from cldc.validation.inspect_images import inspect_dataset
from tests.support.commands import Cldc
from tests.support.decided import of
from tests.support.folders import CLASSES, drawn, make_dataset, padded

COMPETITION = competition.load()


def split(folder: Path, *rows: Decision, share: float = 0.2, seed: int = 0) -> DrawnSplit:
    inspected = inspect_dataset(folder, COMPETITION)
    return draw_split(inspected, match(rows, inspected.dataset, CLASSES), share=share, seed=seed)


def with_copies(folder: Path) -> Path:
    """A dataset with a file in both splits, and a drawing that is cropped in several ways."""
    make_dataset(folder, train=5)
    shutil.copyfile(folder / "train/v/0.png", folder / "val/v/copy.png")
    for number, place in enumerate(("train/ix", "val/ix", "train/viii", "val/x")):
        (folder / place / "crop.png").write_bytes(padded(drawn(), 1 + 3 * number))
    return folder


@settings(max_examples=15)
@given(st.floats(0.01, 0.99), st.integers())
def test_a_drawing_is_never_on_both_sides_and_every_class_has_its_share(share: float, seed: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = with_copies(Path(place) / "digits")
        result = split(folder, share=share, seed=seed)
    sides = {move.path: move.split for move in result.moves}

    def side(path: str) -> str:
        return sides.get(path, path.partition("/")[0])

    assert side("train/v/0.png") == side("val/v/copy.png")
    assert len({side(f"{at}/crop.png") for at in ("train/ix", "val/ix", "train/viii", "val/x")}) == 1
    for label in CLASSES:
        total = sum(result.after.get((name, label), 0) for name in ("train", "val"))
        assert total == sum(result.before.get((name, label), 0) for name in ("train", "val"))
        # No class is further off than the largest group, here the four crops, can make it.
        assert abs(result.after.get(("val", label), 0) - share * total) <= 2 + total * 0.25


def test_the_seed_and_the_contents_decide_not_names_or_places(tmp_path: Path) -> None:
    folder = with_copies(tmp_path / "digits")
    before = split(folder, seed=7)
    assert split(folder, seed=7).after == before.after
    (folder / "train/i/0.png").rename(folder / "val/i/renamed.png")
    assert split(folder, seed=7).after == before.after
    drawings = {seed: frozenset(move.path for move in split(folder, seed=seed).moves) for seed in range(4)}
    assert len(set(drawings.values())) > 1


def test_a_class_of_many_images_comes_out_even(tmp_path: Path) -> None:
    folder = draw(tmp_path / "drawn", COMPETITION, images=400)
    result = split(folder, share=0.25)
    for label in CLASSES:
        assert abs(result.after["val", label] - 10) <= 1


def test_what_was_decided_before_counts(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "digits", train=5)
    rows = [of(folder, "train/i/0.png", RELABEL, "v"), of(folder, "val/i/0.png", SET_ASIDE)]
    shutil.copytree(folder / "train/x", folder / "train/junk")
    result = split(folder, *rows)
    assert not any(label == "junk" for _, label in result.after)
    totals = {label: result.after.get(("train", label), 0) + result.after["val", label] for label in CLASSES}
    assert totals["i"] == 4
    assert totals["v"] == 7
    assert "val/i/0.png" not in {move.path for move in result.moves}


def test_the_command_writes_decisions_that_apply_carries_out(cldc: Cldc, tmp_path: Path) -> None:
    folder = with_copies(tmp_path / "digits")
    shutil.rmtree(folder / "val")  # everything is in train yet
    table, rules = tmp_path / "decisions.csv", COMPETITION.dataset
    kept = of(folder, "train/ii/0.png", CORRECT)
    table.write_bytes(to_text([kept]))
    cldc("split", folder, "--val", "0.4", "--dry-run")
    assert read(table, rules) == (kept,)
    shown = json.loads(cldc("split", folder, "--val", "0.4", "--format", "json").out)
    assert shown["moving"] == len(shown["moves"]) == len(read(table, rules)) - 1
    first = table.read_bytes()
    assert f"Next: cldc apply {folder}" in cldc("split", folder, "--val", "0.4").out
    assert table.read_bytes() == first
    cldc("apply", folder, "--yes")
    cldc("validate", folder, code=0)
    assert "in its split already" in cldc("split", folder, "--val", "0.4").out
    assert table.read_bytes() == first
    # Another drawing takes the place of the first.
    cldc("split", folder, "--val", "0.4", "--seed", "1")
    cldc("apply", folder, "--yes")
    assert "in its split already" in cldc("split", folder, "--val", "0.4", "--seed", "1").out


@pytest.mark.parametrize("share", ["0", "1", "2", "nan"])
def test_a_share_that_leaves_a_split_empty_is_refused(cldc: Cldc, tmp_path: Path, share: str) -> None:
    refused = cldc("split", make_dataset(tmp_path / "digits"), "--val", share, code=2)
    assert ("not a number" if share == "nan" else "not in the range 0<x<1") in refused.err


def test_a_folder_without_images_is_refused(cldc: Cldc, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no image in a class folder of train/ or val/" in cldc("split", tmp_path / "empty", code=3).err
