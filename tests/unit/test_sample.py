"""Drawn datasets: the same for the same seed, shaped as the profile says, and no copies in them."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cldc import competition, sample
from cldc.errors import UsageError
from tests.support.commands import SHAPES_PROFILE


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.png")
    }


@pytest.mark.parametrize("profile", ["data-centric-2021", SHAPES_PROFILE])
def test_a_dataset_has_the_profiles_splits_and_classes_and_no_image_twice(
    tmp_path: Path, profile: str
) -> None:
    rules = competition.load(profile).dataset
    folder = sample.draw(tmp_path / "a" / "drawn", competition.load(profile), images=123, seed=5)
    drawn = contents(folder)
    assert len(drawn) == 123 == len(set(drawn.values()))
    counts = Counter(Path(path).parts[0] for path in drawn)
    assert set(counts) == set(rules.splits)
    assert counts[rules.splits[0]] == pytest.approx(0.7 * 123, abs=1)
    assert {path.name for path in (folder / rules.splits[0]).iterdir()} == set(rules.classes)
    for split in rules.splits:
        shares = Counter(Path(path).parts[1] for path in drawn if Path(path).parts[0] == split).values()
        assert max(shares) - min(shares) <= 1
    assert not [path for path in (tmp_path / "a").iterdir() if path != folder]


def test_the_seed_decides_every_pixel(tmp_path: Path) -> None:
    profile = competition.load()
    first = contents(sample.draw(tmp_path / "first", profile, images=40, seed=1))
    assert contents(sample.draw(tmp_path / "again", profile, images=40, seed=1)) == first
    other = contents(sample.draw(tmp_path / "other", profile, images=40, seed=2))
    assert other.keys() == first.keys()
    assert not set(other.values()) & set(first.values())


def test_label_book_and_dataset_of_one_seed_share_nothing(tmp_path: Path) -> None:
    profile = competition.load()
    book = contents(sample.draw_label_book(tmp_path / "book", profile, seed=1))
    assert len(book) == sample.LABEL_BOOK_IMAGES
    assert Counter(Counter(Path(path).parts[0] for path in book).values()) == {5: 8, 6: 2}
    assert not set(book.values()) & set(contents(sample.draw(tmp_path / "data", profile, seed=1)).values())


@given(st.text(min_size=1, max_size=12), st.integers())
def test_any_class_name_can_be_written(text: str, seed: int) -> None:
    image = sample.write_text(text, Random(seed))
    assert image.mode == "L"
    assert all(80 <= side <= 700 for side in image.size)
    dark = sum(image.histogram()[:128]) / (image.width * image.height)
    assert 0 < dark < 0.6


def test_images_weigh_what_the_real_ones_do(tmp_path: Path) -> None:
    folder = sample.draw(tmp_path / "drawn", competition.load(), images=100)
    sizes = sorted(path.stat().st_size for path in folder.rglob("*.png"))
    assert 700 < sizes[50] < 3000
    with Image.open(next(folder.rglob("*.png"))) as image:
        assert (image.format, image.mode) == ("PNG", "L")


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError, match="already exists"):
        sample.draw(tmp_path / "mine", competition.load())
    with pytest.raises(UsageError, match="too few"):
        sample.draw(tmp_path / "small", competition.load(), images=19)
    with pytest.raises(UsageError, match="too few"):
        sample.draw_label_book(tmp_path / "small", competition.load(), images=9)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]
