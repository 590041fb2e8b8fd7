"""The folder as the training script sees it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cldc.dataset.reading
from cldc import competition, dataset
from cldc.dataset import Dataset, IgnoreReason, Image, SplitState, default_name
from cldc.errors import InvalidDataset
from tests.support.folders import CLASSES, make_dataset, png

RULES = competition.load().dataset


def load(folder: Path) -> Dataset:
    return dataset.load(folder, RULES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "digits")


# The table of facts: a name in train/i/, and whether the script takes it.
@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("a.png", True),
        ("a.PNG", True),
        ("a.JpEg", True),
        ("a.jpg", True),
        ("a.gif", True),
        ("a.bmp", True),
        ("._a.png", True),
        (".hidden.png", True),
        (".png", True),
        ("sub/a.png", True),
        ("sub/deeper/a.png", True),
        (".ipynb_checkpoints/a.png", True),
        ("__MACOSX/._a.png", True),
        ("ii/a.png", True),
        ("line\nbreak.png", True),
        ("a.jpe", False),
        ("a.jfif", False),
        ("a.tif", False),
        ("a.tiff", False),
        ("a.webp", False),
        ("a.ppm", False),
        ("a.txt", False),
        ("a", False),
        ("a.png~", False),
        ("a.png.bak", False),
        ("a.png ", False),
        (".DS_Store", False),
        ("Thumbs.db", False),
    ],
)
def test_what_is_taken_and_as_which_class(folder: Path, name: str, taken: bool) -> None:
    path = folder / "train" / "i" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png())
    found = load(folder)
    labels = [image.label for image in found.images if image.path == f"train/i/{name}"]
    assert labels == (["i"] if taken else [])
    passed = [other.reason for other in found.ignored if other.path == f"train/i/{name}"]
    assert passed == ([] if taken else [IgnoreReason.EXTENSION])


def test_links_are_followed_as_the_script_follows_them(folder: Path) -> None:
    elsewhere = make_dataset(folder.parent / "elsewhere")
    shutil.rmtree(folder / "train" / "x")
    (folder / "train" / "x").symlink_to(elsewhere / "train" / "x", target_is_directory=True)
    inside = folder / "train" / "i"
    (inside / "file.png").symlink_to(elsewhere / "train" / "ii" / "0.png")
    (inside / "nothing.png").symlink_to("nowhere")
    (inside / "circle.png").symlink_to("circle.png")
    (inside / "folder").symlink_to(elsewhere / "train" / "v", target_is_directory=True)
    (inside / "folder.png").symlink_to(elsewhere / "train" / "v", target_is_directory=True)
    found = load(folder)
    by_path = {image.path: image for image in found.images}
    assert found.count("train", "x") == 2
    assert by_path["train/i/file.png"].link
    assert not by_path["train/i/file.png"].error
    assert by_path["train/i/nothing.png"].error == "it is a broken link"
    assert by_path["train/i/circle.png"].error == "it is a link that goes in circles"
    skipped = [other.path for other in found.ignored if other.reason == IgnoreReason.LINKED_FOLDER]
    assert skipped == ["train/i/folder", "train/i/folder.png"]


def outward(folder: Path) -> list[tuple[str, Path, int]]:
    return [(link.path, Path(link.target), link.images) for link in load(folder).outward_links]


def test_links_out_of_the_folder_are_reported_with_target_and_count(folder: Path) -> None:
    private = make_dataset(folder.parent / "private", train=3)
    for path, target in (
        ("train/x", private / "train" / "x"),
        ("train/v", folder / "val" / "v"),  # stays inside
        ("train/i/file.png", private / "train" / "ii" / "0.png"),
        ("train/i/again.png", folder / "train" / "i" / "file.png"),  # to a link that leads out
        ("train/i/inside.png", folder / "train" / "i" / "0.png"),
        ("train/i/nothing.png", private / "nowhere.png"),
        ("train/i/folder", private / "train" / "v"),  # the script does not follow it
    ):
        link = folder / path
        shutil.rmtree(link, ignore_errors=True)
        link.symlink_to(target, target_is_directory=target.is_dir())
    # Reached through one that is reported already, it leads out of that too.
    (private / "train" / "x" / "0.png").unlink()
    (private / "train" / "x" / "0.png").symlink_to(private / "val" / "x" / "0.png")
    (private / "train" / "x" / "1.png").unlink()
    (private / "train" / "x" / "1.png").symlink_to("2.png")
    reported = [
        ("train/i/again.png", private / "train" / "ii" / "0.png", 1),
        ("train/i/file.png", private / "train" / "ii" / "0.png", 1),
        ("train/x", private / "train" / "x", 3),
        ("train/x/0.png", private / "val" / "x" / "0.png", 1),
    ]
    assert outward(folder) == reported
    shutil.move(folder / "val", folder.parent / "val")
    (folder / "val").symlink_to("../val", target_is_directory=True)
    assert ("val", folder.parent / "val", 10) in outward(folder)


def test_a_dataset_that_is_itself_reached_through_links_leads_nowhere(folder: Path) -> None:
    (folder / "train" / "i" / "link.png").symlink_to("0.png")
    (folder / "train" / "i" / "up.png").symlink_to("../../val/i/0.png")
    (folder.parent / "sets").symlink_to(".", target_is_directory=True)
    (folder.parent / "current").symlink_to("sets/digits", target_is_directory=True)
    assert outward(folder.parent / "current") == []


LINKS = st.tuples(
    st.sampled_from(("train", "train/i", "train/i/a.png", "train/ii/b.png", "val/i", "val/i/sub/c.png")),
    st.sampled_from(
        ("digits/train/i", "digits/val", "digits/val/i/0.png", "digits/val/i", "private", "private/i",
         "private/i/0.png", "private/link", "private/i/link.png", "digits", ".", "nowhere")
    ),
)  # fmt: skip


@given(st.lists(LINKS, min_size=1, max_size=5))
def test_every_image_that_lies_outside_is_behind_a_link_that_is_reported(
    links: list[tuple[str, str]],
) -> None:
    with tempfile.TemporaryDirectory() as made:
        root = Path(made).resolve()
        folder = make_dataset(root / "digits", train=1, classes=("i", "ii"))
        (root / "private" / "i").mkdir(parents=True)
        (root / "private" / "i" / "0.png").write_bytes(png(200))
        (root / "private" / "link").symlink_to("../digits/val/i", target_is_directory=True)
        (root / "private" / "i" / "link.png").symlink_to("../../digits/val/i/0.png")
        for path, target in links:
            place = folder / path
            with contextlib.suppress(OSError):
                place.parent.mkdir(parents=True, exist_ok=True)
                if place.is_dir() and not place.is_symlink():
                    shutil.rmtree(place)
                place.symlink_to(root / target)
        found = load(folder)
        reported = {link.path for link in found.outward_links}
        for image in found.images:
            if not image.error and not (folder / image.path).resolve().is_relative_to(folder):
                parents = {parent.as_posix() for parent in Path(image.path).parents}
                assert {image.path, *parents} & reported
        for link in found.outward_links:
            assert Path(link.target) == (folder / link.path).resolve()
            assert not Path(link.target).is_relative_to(folder)
            assert link.images == sum(
                not i.error and (i.path == link.path or i.path.startswith(f"{link.path}/"))
                for i in found.images
            )


def test_a_named_pipe_is_found_and_never_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "train" / "i" / "pipe.png")
    found = load(folder)
    assert [image.error for image in found.images if image.name == "pipe.png"] == [
        "it is a named pipe, not a file"
    ]
    # Swapped for a pipe after the walk.
    swapped, _ = dataset.read_image(folder, Image("train", "i", "train/i/pipe.png"))
    assert swapped.error == "it is a named pipe, not a file"


def test_a_file_that_vanishes_while_the_folder_is_read_is_an_error_of_that_image(folder: Path) -> None:
    scanned = dataset.scan(folder, RULES)
    (folder / scanned.images[0].path).unlink()
    image, _ = dataset.read_image(folder, scanned.images[0])
    assert (image.error, image.sha256) == ("it vanished while it was read", "")


def test_a_big_file_is_hashed_but_not_held(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load(folder)
    monkeypatch.setattr(cldc.dataset.reading, "MAX_HELD_BYTES", 10)
    image, content = dataset.read_image(folder, dataset.scan(folder, RULES).images[0])
    assert content is None
    assert image == before.images[0]


def test_a_file_larger_than_tensorflow_reads_is_not_even_hashed(folder: Path) -> None:
    with (folder / "train" / "i" / "huge.png").open("wb") as file:
        file.truncate(2**40)
    errors = [image.error for image in load(folder).images if image.error]
    assert errors == ["it is larger than 2 GiB, more than TensorFlow reads"]


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS refuses such names itself")
def test_a_name_that_is_not_utf8_is_read_and_counts(folder: Path) -> None:
    (folder / "train" / "i" / os.fsdecode(b"caf\xe9.png")).write_bytes(png(200))
    found = load(folder)
    assert "train/i/caf\udce9.png" in [image.path for image in found.images]
    assert len(found.hash) == 64


def test_a_split_that_is_missing_or_a_file_is_told_apart(folder: Path) -> None:
    shutil.rmtree(folder / "val")
    (folder / "Val").mkdir()
    assert [split.state for split in load(folder).splits] == [SplitState.FOLDER, SplitState.MISSING]
    (folder / "val").write_text("")
    assert load(folder).splits[1].state == SplitState.FILE


def test_the_identity_is_of_what_the_script_reads(folder: Path) -> None:
    first = load(folder)
    assert first.hash == dataset.identity((image.path, image.sha256) for image in reversed(first.images))
    copy = folder.parent / "another name"
    shutil.copytree(folder, copy)
    (copy / "README.txt").write_text("passed over")
    (copy / "train" / "i" / "notes.txt").write_text("passed over")
    (copy / "train" / "i" / "0.png").touch()
    assert load(copy).hash == first.hash
    (copy / "train" / "i" / "0.png").rename(copy / "train" / "i" / "00.png")
    assert load(copy).hash != first.hash


def test_the_identity_never_changes_between_versions() -> None:
    # Ledgers, caches and descriptions hold it.
    contents = [("val/x/b.png", "0" * 64), ("train/i/\u00e9.png", "f" * 64)]
    assert dataset.identity(contents) == "765ee8b08af5d01decc27cfff9f0cdda4d530542126e90ab4d9bb15c5e8d7465"


def test_a_path_that_is_no_folder_is_refused_with_the_next_action(folder: Path) -> None:
    with pytest.raises(InvalidDataset, match="There is no folder"):
        load(folder / "nowhere")
    archive = folder / "data.zip"
    archive.write_bytes(b"PK")
    with pytest.raises(InvalidDataset, match="Unpack it"):
        load(archive)


@pytest.mark.parametrize(
    ("given", "suggested"),
    [
        ("one", ["one/digits/digits"]),  # an archive of a folder, unpacked into a folder
        ("one/digits", ["one/digits/digits"]),
        ("one/digits/digits/train", ["one/digits/digits"]),
        ("one/digits/digits/train/i", ["one/digits/digits"]),
        ("one/digits/digits/train/i/deep", []),
        ("several", ["several/a/digits", "several/b/digits"]),
        ("far", []),
        ("hidden", []),
        ("linked", ["linked/digits"]),
    ],
)
def test_the_folder_that_was_meant_is_suggested_from_some_levels_away(
    tmp_path: Path, given: str, suggested: list[str]
) -> None:
    for path in (
        "one/digits/digits",
        "several/a/digits",
        "several/b/digits",
        "several/c/d/digits",
        "far/1/2/3/4/digits",
        "hidden/.trash/digits",
        "linked/digits",
    ):
        make_dataset(tmp_path / path, train=1, classes=("i",))
    (tmp_path / "one" / "digits" / "digits" / "train" / "i" / "deep").mkdir()
    (tmp_path / "linked" / "an-alias").symlink_to("digits", target_is_directory=True)
    (tmp_path / "one" / "endless").symlink_to("endless")
    (tmp_path / "linked" / "circle").symlink_to("..", target_is_directory=True)
    found = dataset.suggest_roots(tmp_path / given, RULES.splits)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == suggested


def test_a_suggestion_is_not_looked_for_without_end(tmp_path: Path) -> None:
    for number in range(50):
        for inner in range(50):
            (tmp_path / str(number) / str(inner)).mkdir(parents=True)
    make_dataset(tmp_path / "9" / "9" / "digits", train=1, classes=("i",))
    assert dataset.suggest_roots(tmp_path, RULES.splits) == ()


@pytest.mark.parametrize(
    ("folder_name", "name"),
    [
        ("data", "data"),
        ("1st", "_1st"),
        ("my data", "my-data"),
        ("donn\u00e9es", "donn-es"),
        ("data.zip", "data"),
        ("..", "dataset"),
        ("\u65e5\u672c", "dataset"),
        ("roman-numerals-with-augmentation-v2", "roman-numerals-w_augmentation-v2"),
    ],
)
def test_a_folder_that_codalab_would_rename_gets_a_name_that_it_keeps(folder_name: str, name: str) -> None:
    assert default_name(folder_name) == name


@given(st.text())
def test_codalab_keeps_every_default_name(folder_name: str) -> None:
    name = default_name(folder_name)
    assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_.-]{0,31}", name)
    assert default_name(name) == name
    # What CodaLab does to a file's name: other characters become dashes, runs of dashes one, none at the ends.
    assert re.sub(r"-+", "-", re.sub(r"[^a-zA-Z0-9_.-]", "-", name)).strip("-") == name


def test_the_starting_dataset_has_the_counts_and_the_identity_of_2021(real_data: Path) -> None:
    found = load(real_data / "data")
    counts = [[found.count(split, label) for label in CLASSES] for split in RULES.splits]
    assert counts == [
        [261, 157, 186, 281, 196, 181, 193, 199, 234, 179],
        [82, 81, 79, 84, 83, 82, 77, 83, 81, 81],
    ]
    assert found.hash == "0b7534db763a79c4fba105ea6b6d03928da5c1c5e93ce838ce988d980b6c5afb"
    assert {other.path.rpartition("/")[2] for other in found.ignored} == {".DS_Store"}
