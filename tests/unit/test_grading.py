"""What a class hands in: each student's dataset is found, or one line says why not; nobody stops the others."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cldc.competition import load
from cldc.errors import InvalidDataset
from cldc.grading.grader import find_shared
from cldc.grading.handed_in import find_dataset, list_handed_in
from cldc.sample import draw_label_book
from tests.support.commands import Cldc
from tests.support.folders import make_dataset

SPLITS = ("train", "val")
GOOD = {"mine/train/i/1.png": b"x", "mine/val/i/1.png": b"x"}


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def encrypted() -> bytes:
    """A zip that says that its file is encrypted."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("mine/train/i/1.png", b"x")
    content = bytearray(held.getvalue())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def found(folder: Path, work: Path) -> Path:
    """The dataset of the only student in ``folder``."""
    (entry,) = list_handed_in(folder)
    work.mkdir()
    return find_dataset(entry, work, SPLITS)


def test_a_zip_as_it_is_packaged_is_found_whatever_it_is_called(tmp_path: Path) -> None:
    hand_in = tmp_path / "in"
    hand_in.mkdir()
    write_zip(hand_in / "Ada L.ZIP", {**GOOD, "__MACOSX/._mine": b"", ".DS_Store": b""})
    assert [entry.student for entry in list_handed_in(hand_in)] == ["Ada L"]
    assert found(hand_in, tmp_path / "work") == tmp_path / "work" / "unpacked" / "mine"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train/i/1.png": b"", "val/i/1.png": b""}, "train and val lie at the top of ada.zip"),
        (
            {f"a/{name}": content for name, content in GOOD.items()},
            "at the wrong level of ada.zip: in a/mine",
        ),
        ({**GOOD, "other/x.png": b""}, "must hold one folder; beside mine it holds other"),
        ({"mine/x.png": b""}, "has no folder with train and val; at its top is mine"),
        ({"../evil": b""}, "it names a file '../evil'"),
        ({"mine/train/../../../evil": b""}, "it names a file"),
        ({}, "it is empty"),
    ],
)
def test_a_zip_of_the_wrong_shape_gets_one_line(
    tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    hand_in = tmp_path / "in"
    hand_in.mkdir()
    write_zip(hand_in / "ada.zip", files)
    with pytest.raises(InvalidDataset) as refused:
        found(hand_in, tmp_path / "work")
    assert message in refused.value.message
    assert "\n" not in refused.value.message
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ada.zip", encrypted(), "is encrypted"),
        ("ada.zip", b"not at all", "it is damaged"),
        ("ada.rar", b"Rar!", "ada.rar is not a zip"),
    ],
)
def test_an_unreadable_zip_gets_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    hand_in = tmp_path / "in"
    hand_in.mkdir()
    (hand_in / name).write_bytes(content)
    with pytest.raises(InvalidDataset) as refused:
        found(hand_in, tmp_path / "work")
    assert message in refused.value.message


@given(st.binary(max_size=200), st.integers(0, 400))
def test_no_damage_to_a_zip_stops_the_others(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, place: int
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "in").mkdir()
    path = write_zip(folder / "in" / "ada.zip", GOOD)
    content = path.read_bytes()
    path.write_bytes(content[:place] + noise + content[place + len(noise) :])
    try:
        found(folder / "in", folder / "work")
    except InvalidDataset as refused:
        assert "\n" not in refused.message


def test_a_folder_is_the_dataset_or_leads_to_it(tmp_path: Path) -> None:
    hand_in = tmp_path / "in"
    dataset = make_dataset(hand_in / "ada")
    make_dataset(hand_in / "bob" / "pictures" / "numerals")
    make_dataset(hand_in / "cy" / "old")
    make_dataset(hand_in / "cy" / "new")
    (hand_in / "cy" / "cldc.toml").write_text('dataset = "new"\n')
    (hand_in / "dee").mkdir()
    write_zip(hand_in / "dee" / "from-the-platform.zip", GOOD)
    (hand_in / "notes.txt").write_text("no student's")
    places = {}
    for entry in list_handed_in(hand_in):
        work = tmp_path / entry.student
        work.mkdir()
        places[entry.student] = find_dataset(entry, work, SPLITS)
    assert places == {
        "ada": dataset,
        "bob": hand_in / "bob" / "pictures" / "numerals",
        "cy": (hand_in / "cy" / "new").resolve(),
        "dee": tmp_path / "dee" / "unpacked" / "mine",
    }


def test_a_folder_that_leads_elsewhere_or_nowhere_gets_one_line(tmp_path: Path) -> None:
    hidden = make_dataset(tmp_path / "hidden")
    cases = {
        "linked": "train is a link that leads out of it",
        "outside": "names a dataset outside of it",
        "two": "several of its folders have train and val: a, b",
        "empty": "it has no folder with train and val",
        "twice": "it was handed in 2 times: twice, twice.zip",
    }
    hand_in = tmp_path / "in"
    for name in cases:
        (hand_in / name).mkdir(parents=True)
    for split in SPLITS:
        (hand_in / "linked" / split).symlink_to(hidden / split)
    (hand_in / "outside" / "cldc.toml").write_text(f"dataset = {str(hidden)!r}\n")
    make_dataset(hand_in / "two" / "a")
    make_dataset(hand_in / "two" / "b")
    write_zip(hand_in / "twice.zip", GOOD)
    entries = list_handed_in(hand_in)
    assert len(entries) == len(cases)
    for entry in entries:
        with pytest.raises(InvalidDataset) as refused:
            find_dataset(entry, tmp_path, SPLITS)
        assert cases[entry.student] in refused.value.message


def test_a_class_without_a_usable_dataset_is_reported_line_by_line(bare_cldc: Cldc, tmp_path: Path) -> None:
    hand_in = tmp_path / "in"
    hand_in.mkdir()
    (hand_in / "gone.zip").symlink_to(tmp_path / "nowhere")
    (hand_in / "loop.zip").symlink_to(hand_in / "loop.zip")
    write_zip(hand_in / "flat.zip", {"train/i/1.png": b"", "val/i/1.png": b""})
    write_zip(hand_in / "=bad.zip", GOOD)
    draw_label_book(tmp_path / "hidden", load(), images=10)
    grading = ("organise", "grade", hand_in, "--test-set", tmp_path / "hidden", "--into", tmp_path / "out")
    done = bare_cldc(*grading, "--format", "json").data
    lines = {grade["student"]: grade["problem"] for grade in done["grades"]}
    assert lines.keys() == {"gone", "loop", "flat", "=bad"}
    assert all(line and "\n" not in line for line in lines.values())
    assert all(grade["score"] is None for grade in done["grades"])
    assert "Nothing is on the board yet" in (tmp_path / "out" / "index.html").read_text()
    # A spreadsheet takes no name for a formula.
    assert "'=bad," in (tmp_path / "out" / "grades.csv").read_text()
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "contains no submissions" in bare_cldc("organise", "grade", empty, *grading[3:], code=2).err


def test_a_profile_that_cannot_score_is_refused_before_anything_is_trained(
    bare_cldc: Cldc, tmp_path: Path
) -> None:
    draw_label_book(tmp_path / "hidden", load(), images=10)
    profile = tmp_path / "class.toml"
    profile.write_text('extends = "data-centric-2021"\nunset = ["organiser"]\n', encoding="utf-8")
    given = ("--test-set", tmp_path / "hidden", "--evaluate", profile, "--competition", profile)
    (tmp_path / "hand-in").mkdir()
    refused = bare_cldc("organise", "grade", tmp_path / "hand-in", *given, code=4).err
    assert "has no [organiser] table, which scoring needs" in refused


def test_what_few_have_in_common_is_shared_and_what_all_were_given_is_not() -> None:
    start = {"s1", "s2", "s3"}
    contents = {
        "ada": {*start, "a"},
        "bob": {*start, "b", "c"},
        "cy": {*start, "b", "c"},
        "dee": {*start, "d", "a"},
        "eli": {*start},
    }
    groups = find_shared(contents)
    assert [(g.students, g.images, g.whole) for g in groups] == [
        (("bob", "cy"), 2, True),
        (("ada", "dee"), 1, False),
    ]
    assert groups[1].share == 1 / 4
    assert find_shared({"ada": {*start, "a"}, "bob": {*start, "b"}}, frozenset(start)) == ()
    assert [g.images for g in find_shared({"ada": {"a"}, "bob": {"a"}})] == [1]


def test_a_package_is_written_once_and_replaced_only_when_asked(bare_cldc: Cldc, tmp_path: Path) -> None:
    bare_cldc("sample", tmp_path / "mine", "--images", "20")
    into = tmp_path / "out"
    into.mkdir()
    packing = ("package", tmp_path / "mine", "--into", into, "--format", "json")
    first = bare_cldc(*packing).data
    assert (first["written"], first["package"]["path"]) == (True, str(into / "mine.zip"))
    content = (into / "mine.zip").read_bytes()
    assert bare_cldc(*packing).data["written"] is False

    (tmp_path / "mine" / "train" / "i" / "0000.png").unlink()
    assert "replace" in bare_cldc(*packing, "--no-input", code=2).data["error"]["message"]
    assert (into / "mine.zip").read_bytes() == content
    assert bare_cldc(*packing, "--yes").data["written"] is True
    assert (into / "mine.zip").read_bytes() != content
    with zipfile.ZipFile(into / "mine.zip") as archive:
        assert {name.partition("/")[0] for name in archive.namelist()} == {"mine"}
    assert [path.name for path in into.iterdir()] == ["mine.zip"]

    (tmp_path / "mine" / "train" / "i" / "bad.png").write_text("no picture")
    bare_cldc(*packing, "--yes", code=3)
    (tmp_path / "mine" / "train" / "i" / "bad.png").unlink()
    inside = bare_cldc("package", ".", cwd=tmp_path / "mine", code=2)
    assert "inside the dataset" in inside.err
