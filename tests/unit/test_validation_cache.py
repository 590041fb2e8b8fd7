"""Checks that use results of earlier ones, or several processes, must report what a plain check reports."""

from __future__ import annotations

import dataclasses
import errno
import os
import sqlite3
import time
from hashlib import sha256
from importlib.machinery import ModuleSpec
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from cldc import competition
from cldc.validation import ValidationReport, cache, validate
from tests.support.folders import drawn, make_dataset, padded, png

COMPETITION = competition.load()


class Recorder:
    """An observer that counts the images that a check reads."""

    def __init__(self) -> None:
        self.read = 0.0

    def start(self, task: str, total: float | None = None, unit: str = "") -> None:
        if task == "Checking images":
            self.read += total or 0

    def advance(self, done: float, detail: str = "") -> None:
        pass

    def note(self, text: str) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "digits")


@pytest.fixture
def _an_hour_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files count as unchanged that were written just now."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 3_600_000_000_000)


later = pytest.mark.usefixtures("_an_hour_later")


@later
def test_another_pillow_has_every_image_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its decoders and filters make the features by which drawings are compared."""
    check(folder)
    assert check(folder)[1] == 0
    installed = folder.parent / "PIL" / "__init__.py"
    installed.parent.mkdir()
    installed.touch()
    monkeypatch.setattr(cache, "find_spec", lambda name: ModuleSpec(name, None, origin=str(installed)))
    assert check(folder)[1] == 30


def check(folder: Path, *, label_book: Path | None = None) -> tuple[ValidationReport, float]:
    """The report, and how many images were read."""
    recorder = Recorder()
    cache = folder.parent / "cache"
    report = validate(folder, COMPETITION, recorder, label_book=label_book, home=cache)
    return report, recorder.read


@later
def test_a_second_check_reads_nothing_and_reports_the_same(folder: Path) -> None:
    (folder / "train" / "i" / "bad.png").write_bytes(b"no image")
    (folder / "train" / "i" / "nowhere.png").symlink_to("nowhere")
    (folder / "val" / "i" / "copy.png").write_bytes((folder / "train" / "i" / "0.png").read_bytes())
    plain = validate(folder, COMPETITION)
    assert check(folder) == (plain, 32)
    assert check(folder) == (plain, 0)


def test_a_folder_without_images_is_checked_and_cached(folder: Path) -> None:
    for path in folder.rglob("*.png"):
        path.unlink()
    plain = validate(folder, COMPETITION)
    assert [check(folder), check(folder)] == [(plain, 0)] * 2
    (folder / "train" / "i" / "0.png").write_bytes(png(1))
    assert check(folder)[1] == 1


@later
def test_only_changed_files_are_read(folder: Path) -> None:
    check(folder)
    (folder / "train" / "i" / "0.png").write_bytes(png(201))
    (folder / "val" / "x" / "new.png").write_bytes(png(201))
    (folder / "val" / "x" / "0.png").unlink()
    report, read = check(folder)
    assert read == 2
    assert report == validate(folder, COMPETITION)
    assert "identical-two-labels" in {finding.rule for finding in report.findings}


@later
def test_a_new_file_is_compared_with_the_known_ones(folder: Path) -> None:
    (folder / "train" / "i" / "a.png").write_bytes(padded(drawn(), 3))
    check(folder)
    (folder / "train" / "ii" / "b.png").write_bytes(padded(drawn(), 9))
    report, read = check(folder)
    assert read == 1
    assert report == validate(folder, COMPETITION)
    pairs = [finding.paths for finding in report.findings if finding.rule == "drawing-two-labels"]
    assert pairs == [("train/i/a.png", "train/ii/b.png")]


def test_a_file_that_changed_just_now_is_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    just_now = min(path.stat().st_ctime_ns for path in folder.rglob("*.png"))
    monkeypatch.setattr(time, "time_ns", lambda: just_now)
    check(folder)
    assert check(folder)[1] == 30


@later
def test_a_file_that_was_written_just_now_and_is_gone_again_is_not_reported(folder: Path) -> None:
    bad = folder / "train" / "i" / "bad.png"
    bad.write_bytes(b"no picture")
    just_now = time.time_ns() + 3_600_000_000_000
    os.utime(bad, ns=(just_now, just_now))
    assert not check(folder)[0].ok
    bad.unlink()
    assert check(folder)[0].ok


@later
def test_advice_on_an_ignored_file_changes_with_its_content(folder: Path) -> None:
    check(folder)
    for content in (b"RIFF\x24\0\0\0WEBPVP8 ", png()):
        (folder / "val" / "x" / "a.webp").write_bytes(content)
        assert check(folder) == (validate(folder, COMPETITION), 0)


@later
def test_another_competition_has_its_rules_applied(folder: Path) -> None:
    check(folder)
    rules = dataclasses.replace(COMPETITION.dataset, max_images=10)
    strict = dataclasses.replace(COMPETITION, dataset=rules)
    report = validate(folder, strict, home=folder.parent / "cache")
    assert "guide-limit" in {finding.rule for finding in report.findings}


@later
def test_a_drawing_of_the_label_book_is_found_however_it_was_cropped(folder: Path) -> None:
    book = folder.parent / "book"
    (book / "i").mkdir(parents=True)
    for name, margin in (("a", 3), ("b", 5)):
        (book / "i" / f"{name}.png").write_bytes(padded(drawn(), margin))
    (folder / "train" / "i" / "a.png").write_bytes(padded(drawn(), 9))
    first, second = check(folder, label_book=book)[0], check(folder, label_book=book)[0]
    assert first == second
    assert [f.paths for f in first.findings if f.rule == "in-label-book"] == [("train/i/a.png",)]
    (folder / "train" / "ii" / "b.png").write_bytes(padded(drawn(), 11))
    third, _ = check(folder, label_book=book)
    assert third == validate(folder, COMPETITION, label_book=book)
    found = [(finding.rule, finding.paths) for finding in third.findings]
    assert ("in-label-book", ("train/ii/b.png",)) in found
    assert ("drawing-two-labels", ("train/i/a.png", "train/ii/b.png")) in found


@later
def test_a_label_book_hides_no_pair_of_the_dataset(folder: Path) -> None:
    """Drawings with a single stroke are known by their ink alone, which is compared along a chain of contents."""
    rows = [bytes(0 if x in (y, y + 1) else 255 for x in range(30)) for y in range(30)]
    drawings = sorted((padded(rows, margin) for margin in (1, 3, 6)), key=lambda c: sha256(c).digest())
    book = folder.parent / "book"
    (book / "i").mkdir(parents=True)
    for path, drawing in zip((folder / "train/i", book / "i", folder / "train/ii"), drawings, strict=True):
        (path / "drawn.png").write_bytes(drawing)
    found = {finding.rule: finding.paths for finding in check(folder, label_book=book)[0].findings}
    assert found["drawing-two-labels"] == ("train/i/drawn.png", "train/ii/drawn.png")


@later
@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100])
def test_a_damaged_cache_is_rebuilt(folder: Path, content: bytes) -> None:
    plain, _ = check(folder)
    [path] = (folder.parent / "cache").iterdir()
    path.write_bytes(content)
    assert check(folder) == (plain, 30)
    assert check(folder) == (plain, 0)


@later
@pytest.mark.parametrize("table", ["dataset", "content"])
@pytest.mark.parametrize("damage", ["5", "'{}'", "null", "value || ' '", "replace(value, '0', '1')", "x'00'"])
def test_damaged_values_in_the_cache_are_not_believed(folder: Path, table: str, damage: str) -> None:
    plain, _ = check(folder)
    [path] = (folder.parent / "cache").iterdir()
    base = sqlite3.connect(path)
    with base:
        base.execute(f"UPDATE {table} SET value = {damage}")  # noqa: S608
    base.close()
    (folder / "val" / "x" / "new.png").write_bytes(png(201))
    assert check(folder)[0] == validate(folder, COMPETITION)
    (folder / "val" / "x" / "new.png").unlink()
    assert check(folder)[0] == plain


@later
def test_a_file_that_could_not_be_read_once_is_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr("cldc.dataset.reading.os.open", broken)
        assert not check(folder)[0].ok
    assert check(folder) == (validate(folder, COMPETITION), 30)


@later
def test_a_cache_that_another_process_is_writing_is_left_alone(folder: Path) -> None:
    check(folder)
    [path] = (folder.parent / "cache").iterdir()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    (folder / "val" / "x" / "new.png").write_bytes(png(201))
    assert check(folder)[0].total == 31
    other.execute("ROLLBACK")
    other.close()
    assert path.exists()


def test_a_check_works_without_a_place_for_its_cache(folder: Path) -> None:
    (folder.parent / "cache").write_text("in the way")
    assert check(folder)[0].total == 30


@pytest.fixture
def large_folder(tmp_path: Path) -> Path:
    """A dataset that is worth several processes, with files that can't be read."""
    folder = make_dataset(tmp_path / "large", train=50, val=20)
    (folder / "train" / "i" / os.fsdecode(b"\xe9.png")).write_bytes(png())
    (folder / "train" / "i" / "bad.png").write_bytes(b"no image")
    (folder / "train" / "i" / "link.png").symlink_to("nowhere")
    return folder


@pytest.fixture
def alone(large_folder: Path) -> ValidationReport:
    """What a check on one processor reports."""
    if not hasattr(os, "sched_setaffinity") or len(processors := os.sched_getaffinity(0)) < 2:
        pytest.skip("there is one processor, or this system can't restrict a process to one")
    os.sched_setaffinity(0, {min(processors)})
    try:
        return validate(large_folder, COMPETITION)
    finally:
        os.sched_setaffinity(0, processors)


def test_several_processes_report_what_one_reports(large_folder: Path, alone: ValidationReport) -> None:
    assert validate(large_folder, COMPETITION) == alone


def test_a_check_goes_on_alone_if_no_other_process_can_start(
    large_folder: Path, alone: ValidationReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: object) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(BaseProcess, "start", refused)
    assert validate(large_folder, COMPETITION) == alone


def test_a_check_goes_on_alone_if_its_processes_are_killed(
    large_folder: Path, alone: ValidationReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, killed = BaseProcess.start, []

    def start_and_kill(process: BaseProcess) -> None:
        start(process)
        process.kill()
        killed.append(process)

    monkeypatch.setattr(BaseProcess, "start", start_and_kill)
    assert validate(large_folder, COMPETITION) == alone
    assert killed
