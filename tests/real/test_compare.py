"""Two datasets trained from the same seeds by a real TensorFlow, and judged by the same images."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cldc import sample
from cldc.competition import load
from cldc.resources import template
from tests.support.commands import Cldc

pytestmark = pytest.mark.lasts(75)


def test_both_are_trained_from_the_same_seeds_and_judged_by_images_of_neither(
    cldc: Cldc, tmp_path: Path
) -> None:
    """The first call trains and writes a page; later ones read its trainings from their records."""
    profile = tmp_path / "short.toml"
    text = template("competitions", "demo.toml").read_text(encoding="utf-8")
    profile.write_text(
        text.replace("--epochs 12", "--epochs 1").replace("epochs = 12", "epochs = 1"), encoding="utf-8"
    )
    short = load(str(profile))
    before = sample.draw(tmp_path / "before", short, images=80, seed=1)
    after = shutil.copytree(before, tmp_path / "after")
    for image in sorted((after / "train" / "i").iterdir())[:2]:
        image.unlink()
    book = sample.draw_label_book(tmp_path / "book", short, images=20)
    judge = sample.draw(tmp_path / "judge", short, images=60, seed=3) / "val"
    cldc = Cldc(cldc.home, {"CLDC_COMPETITION": str(profile), "CLDC_LABEL_BOOK": str(book)})
    options = ("compare", before, after, "--repeat", "2", "--judge", judge)

    first = cldc(*options, "--report", tmp_path / "page.html")
    assert "Training 4 times" in first.err
    output = first.out
    lines = output.splitlines()
    assert lines[0].startswith("before ")
    assert "on the" in lines[1]
    assert f"on {judge}" not in output  # it reads "on the images of ..."
    assert "20 images can't tell less than some" in output
    assert "images removed: 2" in output
    assert "images can&#39;t tell less than some" in (tmp_path / "page.html").read_text(encoding="utf-8")

    again = cldc(*options, "--format", "json")
    assert "Training 4 times" not in again.err
    data = again.data
    repeated = data["repeated"]
    assert [pair["seed"] for pair in repeated["pairs"]] == [123, 124]
    assert [j["by"] for j in repeated["judgements"]] == [
        f"images of {judge}", "label book", "validation split",
    ]  # fmt: skip
    assert all(j["low"] <= j["difference"] <= j["high"] for j in repeated["judgements"])
    assert repeated["judgements"][1]["images"] == 20
    same = shutil.copytree(before, tmp_path / "copy")
    assert "hold the same images" in cldc("compare", before, same, code=2).err
