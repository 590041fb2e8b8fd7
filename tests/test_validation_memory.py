"""Checks that are remembered, shared between processes, watched; they must say what a plain check says."""

from __future__ import annotations

import dataclasses
import marshal
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from cldc import competition
from cldc.dataset import ImageFile, scan
from cldc.progress import SILENT
from cldc.validation import Severity, ValidationReport, memory, validate, watching, workers
from cldc.validation.inspection import inspect_file
from tests.folders import drawn, make_dataset, padded, png

COMPETITION = competition.load()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "digits")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the files that were read; clocks are taken to be fine enough."""
    seen: list[str] = []

    def counted(root: str, entry: ImageFile, **options: int) -> object:
        seen.append(entry.path)
        return inspect_file(root, entry, **options)

    monkeypatch.setattr(workers, "inspect_file", counted)
    monkeypatch.setattr(memory, "_RACY_NS", 0)
    return seen


def check(folder: Path) -> ValidationReport:
    return validate(folder, COMPETITION, cache=folder.parent / "cache")


def test_a_second_check_reads_nothing_and_says_the_same(folder: Path, reads: list[str]) -> None:
    (folder / "train" / "i" / "bad.png").write_bytes(b"no image")
    (folder / "val" / "i" / "copy.png").write_bytes((folder / "train" / "i" / "0.png").read_bytes())
    plain = validate(folder, COMPETITION)
    assert check(folder) == plain
    reads.clear()
    assert check(folder) == plain
    assert reads == []


def test_advice_on_a_file_that_is_passed_over_changes_with_its_content(
    folder: Path, reads: list[str]
) -> None:
    check(folder)
    reads.clear()
    for content in (b"RIFF\x24\0\0\0WEBPVP8 ", png()):
        (folder / "val" / "x" / "a.webp").write_bytes(content)
        told = check(folder)
        assert reads == []
        assert told == validate(folder, COMPETITION)
        reads.clear()


def test_only_what_changed_is_read_and_compared_with_the_rest(folder: Path, reads: list[str]) -> None:
    check(folder)
    reads.clear()
    (folder / "train" / "i" / "0.png").write_bytes(png(201))
    (folder / "val" / "x" / "new.png").write_bytes(png(201))
    (folder / "val" / "x" / "0.png").unlink()
    report = check(folder)
    assert sorted(reads) == ["train/i/0.png", "val/x/new.png"]
    assert report == validate(folder, COMPETITION)
    assert "identical-two-labels" in {finding.rule for finding in report.findings}


def test_a_check_of_what_decides_finds_every_error_and_spoils_no_later_check(
    folder: Path, reads: list[str]
) -> None:
    for label, margin in (("i", 3), ("ii", 9)):
        (folder / "train" / label / "drawn.png").write_bytes(padded(drawn(), margin))
    (folder / "train" / "i" / "bad.png").write_bytes(b"no image")
    (folder / "train" / "i" / "nowhere.png").symlink_to("nowhere")
    (folder / "train" / "Xi").mkdir()
    plain, cache = validate(folder, COMPETITION), folder.parent / "cache"
    quick = validate(folder, COMPETITION, cache=cache, thorough=False)
    assert not quick.thorough
    assert quick.of(Severity.ERROR) == plain.of(Severity.ERROR)
    assert "drawing-two-labels" in {finding.rule for finding in plain.findings}
    assert "drawing-two-labels" not in {finding.rule for finding in quick.findings}
    assert check(folder) == plain
    assert validate(folder, COMPETITION, cache=cache, thorough=False) == plain
    (folder / "train" / "i" / "new.png").write_bytes(png(201))
    changed = validate(folder, COMPETITION, cache=cache, thorough=False)
    assert changed == validate(folder, COMPETITION)


def test_pairs_found_one_by_one_are_those_found_at_once(folder: Path, reads: list[str]) -> None:
    drawing = drawn()
    (folder / "train" / "i" / "a.png").write_bytes(padded(drawing, 3))
    check(folder)
    (folder / "train" / "ii" / "b.png").write_bytes(padded(drawing, 9))
    report = check(folder)
    assert report == validate(folder, COMPETITION)
    assert [f.paths for f in report.findings if f.rule == "drawing-two-labels"] == [
        ("train/i/a.png", "train/ii/b.png")
    ]


def test_a_drawing_of_the_label_book_is_known_however_it_was_cut(folder: Path, reads: list[str]) -> None:
    book = folder.parent / "book"
    for name, margin in (("a", 3), ("b", 5)):
        (book / "i").mkdir(parents=True, exist_ok=True)
        (book / "i" / f"{name}.png").write_bytes(padded(drawn(), margin))
    (folder / "train" / "i" / "a.png").write_bytes(padded(drawn(), 9))
    for _ in range(2):
        report = validate(folder, COMPETITION, label_book=book, cache=folder.parent / "cache")
        assert [f.paths for f in report.findings if f.rule == "in-label-book"] == [("train/i/a.png",)]
    (folder / "train" / "ii" / "b.png").write_bytes(padded(drawn(), 11))
    report = validate(folder, COMPETITION, label_book=book, cache=folder.parent / "cache")
    assert report == validate(folder, COMPETITION, label_book=book)
    assert [f.paths[0] for f in report.findings if f.rule == "in-label-book"] == [
        "train/i/a.png",
        "train/ii/b.png",
    ]
    assert "drawing-two-labels" in {finding.rule for finding in report.findings}


def test_a_label_book_hides_no_pair_of_the_dataset(folder: Path, reads: list[str]) -> None:
    """Drawings through one stroke are known by their ink alone, which is compared along a chain of contents."""
    rows = [bytes(0 if x in (y, y + 1) else 255 for x in range(30)) for y in range(30)]
    drawings = sorted((padded(rows, margin) for margin in (1, 3, 6)), key=lambda c: sha256(c).digest())
    book = folder.parent / "book"
    (book / "i").mkdir(parents=True)
    for path, drawing in zip((folder / "train/i", book / "i", folder / "train/ii"), drawings, strict=True):
        (path / "drawn.png").write_bytes(drawing)
    report = validate(folder, COMPETITION, label_book=book, cache=folder.parent / "cache")
    found = {finding.rule: finding.paths for finding in report.findings}
    assert found["drawing-two-labels"] == ("train/i/drawn.png", "train/ii/drawn.png")


def test_a_file_that_only_just_changed_is_not_trusted(
    folder: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_RACY_NS", 3_600_000_000_000)
    check(folder)
    reads.clear()
    check(folder)
    assert len(reads) == 30


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100])
def test_a_broken_memory_is_made_anew(folder: Path, reads: list[str], content: bytes) -> None:
    check(folder)
    for path in (folder.parent / "cache").glob("*.sqlite"):
        path.write_bytes(content)
        for more in ("-wal", "-shm"):
            path.with_name(path.name + more).unlink(missing_ok=True)
    assert check(folder).total == 30
    reads.clear()
    check(folder)
    assert reads == []


def test_what_is_damaged_in_memory_is_found_out_again(folder: Path, reads: list[str]) -> None:
    plain = check(folder)
    (path,) = (folder.parent / "cache").glob("*.sqlite")
    for select, update in (
        ("select walk from checks", "update checks set walk = ?"),
        ("select report from checks", "update checks set report = ?"),
        ("select pairs from checks", "update checks set pairs = ?"),
        ("select packed from packs", "update packs set packed = ?"),
    ):
        base = sqlite3.connect(path)
        (kept,) = base.execute(select).fetchone()
        # Foreign values that marshal reads, and one byte of the last value changed.
        for damaged in (marshal.dumps(5), marshal.dumps([("a", "b", "c")] * 3), kept[:-1] + b"~", "text"):
            base.execute(update, (damaged,))
            base.commit()
            assert check(folder) == plain
        base.close()


def test_a_file_that_could_not_be_read_once_is_read_again(
    folder: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(root: str, entry: ImageFile) -> object:
        return inspect_file(root, entry._replace(error="Input/output error"))

    with monkeypatch.context() as patch:
        patch.setattr(workers, "inspect_file", broken)
        assert not check(folder).ok
    assert check(folder) == validate(folder, COMPETITION)


def test_a_memory_that_another_process_writes_is_left_alone(folder: Path, reads: list[str]) -> None:
    check(folder)
    (path,) = (folder.parent / "cache").glob("*.sqlite")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin exclusive")
    (folder / "val" / "x" / "new.png").write_bytes(png(201))
    assert check(folder).total == 31
    other.execute("rollback")
    other.close()
    assert path.exists()


def test_what_older_versions_remembered_is_removed(folder: Path, reads: list[str]) -> None:
    cache = folder.parent / "cache"
    cache.mkdir()
    for name, age in (("checks-old.sqlite", 200_000), ("checks-new.sqlite", 0)):
        (cache / name).touch()
        os.utime(cache / name, (time.time() - age,) * 2)
    check(folder)
    assert not (cache / "checks-old.sqlite").exists()
    assert (cache / "checks-new.sqlite").exists()


def test_without_a_place_for_memory_a_check_works(folder: Path) -> None:
    (folder.parent / "cache").write_text("in the way")
    assert check(folder).total == 30


def test_another_profile_asks_the_rules_again(folder: Path, reads: list[str]) -> None:
    check(folder)
    rules = dataclasses.replace(COMPETITION.dataset, max_images=10)
    strict = dataclasses.replace(COMPETITION, dataset=rules)
    report = validate(folder, strict, cache=folder.parent / "cache")
    assert "guide-limit" in {finding.rule for finding in report.findings}
    assert len(reads) == 30


def test_two_processes_say_what_one_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "train" / "i" / os.fsdecode(b"\xe9.png")).write_bytes(png())
    (folder / "train" / "i" / "bad.png").write_bytes(b"no image")
    (folder / "train" / "i" / "link.png").symlink_to("nowhere")
    alone = validate(folder, COMPETITION)
    monkeypatch.setattr(workers, "_WORTH_A_PROCESS", 1)
    monkeypatch.setattr(workers, "_CHUNK", 4)
    monkeypatch.setattr(workers, "_processors", lambda: 2)
    assert validate(folder, COMPETITION) == alone


def test_where_no_other_process_can_start_one_says_it_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = validate(folder, COMPETITION)
    monkeypatch.setattr(workers, "_WORTH_A_PROCESS", 1)
    monkeypatch.setattr(workers, "_processors", lambda: 2)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert validate(folder, COMPETITION) == alone


def test_a_helper_that_dies_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_WORTH_A_PROCESS", 1)
    monkeypatch.setattr(workers, "_CHUNK", 4)
    monkeypatch.setattr(workers, "_processors", lambda: 2)
    rules = COMPETITION.dataset
    listing = scan(folder, splits=rules.splits, extensions=rules.extensions)
    started: list[workers._Helper] = []

    class Doomed(workers._Helper):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            started.append(self)
            self._child.stop()

    monkeypatch.setattr(workers, "_Helper", Doomed)
    places = [place for place, _ in workers.inspect_all(str(folder), listing.files, SILENT)]
    assert sorted(places) == list(range(30))
    assert started


def test_a_helper_that_says_something_else_loses_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = validate(folder, COMPETITION)
    monkeypatch.setattr(workers, "_WORTH_A_PROCESS", 1)
    monkeypatch.setattr(workers, "_CHUNK", 4)
    monkeypatch.setattr(workers, "_processors", lambda: 2)
    (tmp_path / "sitecustomize.py").write_text("print('hello')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert validate(folder, COMPETITION) == alone


def test_watching_tells_a_change_once_when_it_is_over(folder: Path) -> None:
    deeds: list[Callable[[], object]] = [
        lambda: None,
        lambda: (folder / "train" / "i" / "a.png").write_bytes(png(1)),
        lambda: (folder / "train" / "i" / "b.png").write_bytes(png(2)),
        lambda: None,
        lambda: shutil.move(folder, folder.parent / "gone"),
        lambda: None,
        lambda: shutil.move(folder.parent / "gone", folder),
        lambda: None,
    ]
    slept: list[int] = []

    def sleep(_: float) -> None:
        if len(slept) == len(deeds):
            raise KeyboardInterrupt
        deeds[len(slept)]()
        slept.append(1)

    told: list[int] = []

    def watch() -> None:
        for _ in watching.changes(folder, COMPETITION, sleep=sleep):
            told.append(len(slept))

    with pytest.raises(KeyboardInterrupt):
        watch()
    assert told == [0, 4, 6, 8]
