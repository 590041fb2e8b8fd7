"""`cldc apply`: decisions are carried out once, nothing is lost whenever it is killed, and undo restores every byte."""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cldc import competition, dataset
from cldc.curation.applying import ApplyPlan, apply_in_place, plan
from cldc.decisions import RELABEL, SET_ASIDE, Decision, move_to
from cldc.decisions.table import to_text
from cldc.errors import ConfigurationError
from cldc.progress import SILENT
from cldc.validation.change_records import carry_out_in_copy, last_record, undo
from tests.support.commands import Cldc
from tests.support.decided import of
from tests.support.folders import make_dataset, png

RULES = competition.load().dataset
FEW = ("i", "ii", "iii")


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b"folder"
        for path in folder.rglob("*")
    }


def planned(folder: Path, rows: list[Decision], *, in_place: bool = True) -> ApplyPlan:
    loaded = dataset.load(folder, RULES)
    return plan(loaded, rows, RULES, in_place=in_place)


class Killed(BaseException):
    """The process dies here."""


@contextmanager
def killed_at(moment: int) -> Iterator[list[int]]:
    """Die at a moment: before or after each rename of a file or folder, and each folder that is made.

    Gives a list that holds the moment if it was reached.
    """
    moments = itertools.count()
    reached: list[int] = []

    def at_moment() -> None:
        if next(moments) == moment:
            reached.append(moment)
            raise Killed

    def around(original: Any) -> Any:
        def patched(self: Path, *args: Any, **options: Any) -> Any:
            at_moment()
            result = original(self, *args, **options)
            at_moment()
            return result

        return patched

    with pytest.MonkeyPatch.context() as patch:
        for name in ("rename", "replace", "mkdir"):
            patch.setattr(Path, name, around(getattr(Path, name)))
        with suppress(Killed):
            yield reached


# What is decided about each image of a small dataset: where it goes, what it shows, or that it is set aside.
OUTCOMES = st.tuples(st.sampled_from(["train", "val", ""]), st.sampled_from([*FEW, "x", ""]), st.booleans())


def decided(folder: Path, outcomes: list[tuple[str, str, bool]]) -> list[Decision]:
    rows = []
    images = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    for path, (split, label, aside) in zip(images, itertools.cycle(outcomes), strict=False):
        if aside and split == "val":
            rows.append(of(folder, path, SET_ASIDE))
        else:
            rows += [of(folder, path, move_to(split))] if split else []
            rows += [of(folder, path, RELABEL, label)] if label else []
    return rows


@settings(max_examples=40)
@given(st.lists(OUTCOMES, min_size=1, max_size=9), st.integers(0, 60))
def test_killed_at_any_moment_it_can_go_on_or_be_undone(
    outcomes: list[tuple[str, str, bool]], moment: int
) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = make_dataset(Path(place) / "digits", train=2, val=1, classes=FEW)
        # Names that meet: the same in every class of both splits, and one that a free name would take.
        (folder / "train/ii/0-1.png").write_bytes(png(200))
        before = tree(folder)
        rows = decided(folder, outcomes)
        whole = Path(place) / "whole" / "digits"
        shutil.copytree(folder, whole)
        apply_in_place(planned(whole, rows), Path(place) / "whole-records")
        records = Path(place) / "records"
        with killed_at(moment):
            apply_in_place(planned(folder, rows), records)
        everything = Counter(
            content for path, content in tree(Path(place)).items() if not path.startswith("whole")
        )
        assert all(everything[content] for content in before.values())
        apply_in_place(planned(folder, rows), records)
        assert Counter(tree(folder).values()) == Counter(tree(whole).values())
        after, placed = tree(folder), {Path(path).parent.as_posix() for path in tree(whole)}
        assert {Path(path).parent.as_posix() for path in after} == placed
        assert not planned(folder, rows).changes
        while record := last_record(folder, records, "apply"):
            assert not undo(record).left
        assert tree(folder) == before
        assert not (Path(place) / "digits-set-aside").exists()


def test_apply_and_undo_are_killed_at_each_moment(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "digits", classes=FEW)
    before, records = tree(folder), tmp_path / "records"
    rows = decided(folder, [("val", "x", False), ("val", "", True), ("", "ii", False)])
    for moment in itertools.count():
        with killed_at(moment) as reached:
            apply_in_place(planned(folder, rows), records)
        applied = bool(reached)
        apply_in_place(planned(folder, rows), records)
        assert not planned(folder, rows).changes
        record = last_record(folder, records, "apply")
        assert record is not None
        with killed_at(moment) as reached:
            undo(record)
        while record := last_record(folder, records, "apply"):
            assert not undo(record).left
        assert tree(folder) == before
        if not (applied or reached):
            break
    assert moment > 20


def test_a_copy_gets_the_changes_and_the_original_none(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "digits", classes=FEW)
    rows = [of(folder, "train/i/0.png", SET_ASIDE), of(folder, "train/i/1.png", RELABEL, "x")]
    before = tree(folder)
    copy = tmp_path / "better"
    drawn = planned(folder, rows, in_place=False)
    carry_out_in_copy(drawn.changes, drawn.dataset, copy, follow=(), observer=SILENT)
    assert tree(folder) == before
    expected = {**before, "train/x": b"folder", "train/x/1.png": before["train/i/1.png"]}
    del expected["train/i/0.png"], expected["train/i/1.png"]
    assert tree(copy) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["better", "digits"]


def test_contradictions_are_reported_by_name_and_nothing_is_done(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "digits", classes=FEW)
    rows = [of(folder, "train/i/0.png", RELABEL, "v"), of(folder, "train/i/0.png", SET_ASIDE)]
    with pytest.raises(ConfigurationError, match=r"train/i/0\.png: relabel to v and set aside"):
        planned(folder, rows)


def test_what_links_lead_to_or_through_stays(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "digits", classes=FEW)
    (folder / "train/ii/link.png").symlink_to("../i/0.png")
    shutil.move(folder / "val/iii", tmp_path / "elsewhere")
    (folder / "val/iii").symlink_to(tmp_path / "elsewhere")
    before, outside = tree(folder), tree(tmp_path / "elsewhere")
    rows = [
        of(folder, "train/i/0.png", move_to("val")),
        of(folder, "train/ii/link.png", move_to("val")),
        of(folder, "val/iii/0.png", RELABEL, "i"),
        of(folder, "train/iii/0.png", move_to("val")),
    ]
    found = planned(folder, rows)
    assert not found.changes
    assert set(found.left) >= {"train/i/0.png", "val/iii/0.png", "train/iii/0.png"}
    assert tree(folder) == before
    assert tree(tmp_path / "elsewhere") == outside


def test_the_command_shows_the_plan_asks_and_undoes(cldc: Cldc, tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "digits", train=3)
    before = tree(folder)
    table = tmp_path / "decisions.csv"
    assert "cldc review" in cldc("apply", folder, code=2).err
    rows = [of(folder, "train/i/0.png", RELABEL, "v"), of(folder, "val/x/0.png", SET_ASIDE)]
    table.write_bytes(to_text(rows))
    shown = cldc("apply", folder, "--dry-run").out
    assert "train/i/0.png -> train/v/0-1.png" in shown
    assert "--yes" in cldc("apply", folder, code=2).err
    in_copy = cldc("apply", folder, "--into", tmp_path / "better", "--dry-run").out
    assert "Leave 1 image out of the copy:" in in_copy
    assert "set-aside" not in in_copy
    assert tree(folder) == before
    done = json.loads(cldc("apply", table, "--dataset", folder, "--yes", "--format", "json").out)
    assert done["counts"] == {"relabel": 1, "set-aside": 1}
    assert (tmp_path / "digits-set-aside/val/x/0.png").read_bytes() == before["val/x/0.png"]
    assert cldc("apply", folder, "--yes").out == "There is nothing to do.\n"
    cldc("apply", folder, "--undo")
    assert tree(folder) == before
    assert not (tmp_path / "digits-set-aside").exists()
    assert "nothing to undo" in cldc("apply", folder, "--undo", code=2).err


def test_only_a_record_of_changes_is_undone(cldc: Cldc, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    assert f"{record} can't be read" in cldc("apply", "--undo", record, code=2).err
    for text in ("", "{}", "[" * 9999):
        record.write_text(text, encoding="utf-8")
        assert f"{record} is not a record of changes." in cldc("apply", "--undo", record, code=2).err


def test_a_copy_that_was_to_stay_is_named_not_set_aside(cldc: Cldc, tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "digits", train=3)
    (folder / "val/i/copy.png").write_bytes((folder / "train/i/0.png").read_bytes())
    (tmp_path / "decisions.csv").write_bytes(to_text([of(folder, "val/i/copy.png", SET_ASIDE)]))
    cldc("apply", folder, "--yes")
    assert "nothing to do" in cldc("apply", folder, "--yes").out
    shutil.rmtree(tmp_path / "digits-set-aside")  # as for who gets the dataset and the table by git
    shown = cldc("apply", folder, "--yes").out
    assert "Left train/i/0.png: val/i/copy.png was to be set aside" in shown
    assert (folder / "train/i/0.png").is_file()


def test_a_copy_names_the_links_whose_files_it_holds(cldc: Cldc, tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "digits", train=3)
    shutil.move(folder / "val/iii", tmp_path / "elsewhere")
    (folder / "val/iii").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "decisions.csv").write_bytes(to_text([of(folder, "val/iii/0.png", RELABEL, "iv")]))
    shown = cldc("apply", folder, "--into", tmp_path / "copy").out
    assert f"Copied val/iii from {tmp_path / 'elsewhere'}" in shown
    assert (tmp_path / "copy/val/iv/0-1.png").is_file()
    assert not (tmp_path / "copy/val/iii").is_symlink()
