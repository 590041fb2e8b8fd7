"""`cldc validate --fix` and `--undo`: nothing is lost, whatever happens."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from cldc import competition
from cldc.errors import StorageError, UsageError
from cldc.render.formats import plain
from cldc.render.validation import fixed_blocks
from cldc.validation import validate
from cldc.validation.change_records import Undone, undo
from cldc.validation.fixing import fix_copy, fix_in_place
from cldc.validation.inspect_images import inspect_dataset
from tests.support.commands import Cldc
from tests.support.folders import contents, make_dataset, png

COMPETITION = competition.load()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset with everything that can be fixed, and an image whose right name is taken."""
    folder = make_dataset(tmp_path / "digits")
    (folder / "train" / "i" / "._0.png").write_bytes(b"\0\5\x16\7")
    (folder / "val" / ".DS_Store").write_bytes(b"\0")
    (folder / "val" / ".ipynb_checkpoints").mkdir()
    (folder / "val" / ".ipynb_checkpoints" / "0.png").write_bytes(png(240))
    (folder / "train" / "x").rename(folder / "train" / "X ")
    (folder / "train" / "i" / "0.gif").write_bytes(png(241))
    (folder / "train" / "X " / "c.jpg").write_bytes(png(242))
    return folder


def test_a_fixed_copy_is_valid_and_the_original_untouched(folder: Path, tmp_path: Path) -> None:
    before = contents(folder)
    fixed = fix_copy(inspect_dataset(folder, COMPETITION), tmp_path / "fixed")
    assert contents(folder) == before
    report = validate(fixed.root, COMPETITION)
    assert report.ok
    assert not [finding for finding in report.findings if finding.fixable]
    # Every image is still there, under its right name.
    images = {content for name, content in before.items() if content.startswith(b"\x89PNG")}
    images.remove(png(240))
    assert {image.path for image in report.dataset.images} >= {"train/i/0-1.png", "train/x/c.png"}
    assert set(contents(fixed.root).values()) == images


def test_a_fix_in_place_can_be_undone(folder: Path, tmp_path: Path) -> None:
    before = contents(folder)
    fixed = fix_in_place(inspect_dataset(folder, COMPETITION), tmp_path / "kept")
    assert validate(folder, COMPETITION).ok
    assert len(fixed.changes) == 6
    assert fixed.record
    assert len(undo(fixed.record).changes) == 6
    assert contents(folder) == before
    assert undo(fixed.record) == Undone()


def test_a_copy_is_not_made_over_a_link_to_itself(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").symlink_to("copy")
    with pytest.raises(UsageError, match="exists already"):
        fix_copy(inspect_dataset(folder, COMPETITION), tmp_path / "copy")


def test_a_sound_dataset_needs_no_fix(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "digits")
    assert fix_in_place(inspect_dataset(folder, COMPETITION), tmp_path / "kept").record is None
    assert not (tmp_path / "kept").exists()


def test_undo_never_overwrites_a_file(folder: Path, tmp_path: Path) -> None:
    fixed = fix_in_place(inspect_dataset(folder, COMPETITION), tmp_path / "kept")
    (folder / "val" / ".DS_Store").write_bytes(b"new")
    assert fixed.record
    undone = undo(fixed.record)
    assert [change.source for change, _ in undone.left] == ["val/.DS_Store"]
    assert len(undone.changes) == 5
    assert (folder / "val" / ".DS_Store").read_bytes() == b"new"


def test_a_copy_is_refused_if_it_would_do_harm(folder: Path, tmp_path: Path) -> None:
    subject = inspect_dataset(folder, COMPETITION)
    for into in (folder / "inside", tmp_path):
        with pytest.raises(UsageError):
            fix_copy(subject, into)


def test_a_copy_leaves_out_pipes_and_keeps_broken_links(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "train" / "ii" / "pipe.png")
    (folder / "train" / "ii" / "link.png").symlink_to("nowhere")
    fixed = fix_copy(inspect_dataset(folder, COMPETITION), tmp_path / "fixed")
    assert (fixed.root / "train" / "ii" / "link.png").is_symlink()
    assert not (fixed.root / "train" / "ii" / "pipe.png").exists()


def share_class(folder: Path) -> Path:
    """Replace a class folder with a link to one outside, with an image to rename and a leftover file in it."""
    shared = folder.parent / "shared"
    (folder / "train" / "i").rename(shared)
    (folder / "train" / "i").symlink_to("../../shared", target_is_directory=True)
    (shared / "pic.jpg").write_bytes(png(243))
    (shared / ".DS_Store").write_bytes(b"\0")
    return shared


def test_a_copy_holds_files_in_place_of_links(folder: Path, tmp_path: Path) -> None:
    shared = contents(share_class(folder))
    (folder / "val" / "ii" / "link.jpg").symlink_to("../../../shared/pic.jpg")
    (folder / "val" / "i" / "up").symlink_to("..", target_is_directory=True)
    before, packed = contents(folder), validate(folder, COMPETITION).dataset
    into = tmp_path / "one" / "deeper" / "fixed"
    fixed = fix_copy(inspect_dataset(folder, COMPETITION), into)
    assert contents(tmp_path / "shared") == shared
    assert contents(folder) == before
    assert [(link.path, link.target) for link in fixed.copied] == [
        ("train/i", str(tmp_path / "shared")),
        ("val/ii/link.jpg", str(tmp_path / "shared" / "pic.jpg")),
    ]
    shown = plain(fixed_blocks(fixed))
    assert f"Copied train/i from {tmp_path / 'shared'}, outside the dataset.\n" in shown
    result = validate(into, COMPETITION)
    assert result.ok
    assert result.dataset.outward_links == ()
    assert not any(path.is_symlink() for path in into.rglob("*"))
    assert {"train/i/pic.png", "val/ii/link.png"} <= contents(into).keys()
    assert not any(change.kind == "aside" and (into / change.source).exists() for change in fixed.changes)
    left_out = {change.source for change in fixed.changes if change.kind == "aside"}
    wanted = [i.sha256 for i in packed.images if not any(i.path.startswith(path) for path in left_out)]
    assert sorted(image.sha256 for image in result.dataset.images) == sorted(wanted)
    assert list(into.parent.iterdir()) == [into]


def test_a_copy_that_fails_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copy2

    def fails(source: Path, target: Path, **how: bool) -> object:
        if Path(source).name == "c.jpg":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return copy(source, target, **how)

    monkeypatch.setattr(shutil, "copy2", fails)
    with pytest.raises(StorageError, match="No space"):
        fix_copy(inspect_dataset(folder, COMPETITION), tmp_path / "room" / "fixed")
    assert list((tmp_path / "room").iterdir()) == []


def test_a_copy_never_lies_in_a_folder_that_the_dataset_links_to(folder: Path) -> None:
    shared = share_class(folder)
    with pytest.raises(UsageError, match="lies in the dataset"):
        fix_copy(inspect_dataset(folder, COMPETITION), shared / "fixed")


def test_a_fix_in_place_changes_nothing_that_links_lead_to_or_through(
    tmp_path: Path, bare_cldc: Cldc
) -> None:
    folder = make_dataset(tmp_path / "digits")
    shared = contents(share_class(folder))
    (folder / "train" / "ii" / "a.jpg").write_bytes(png(244))
    (folder / "train" / "ii" / "link.png").symlink_to("a.jpg")
    shutil.rmtree(folder / "val" / "iii")
    (folder / "val" / "iii").symlink_to("../train/iii", target_is_directory=True)
    (folder / "train" / "iii" / "once.jpg").write_bytes(png(245))
    shown = bare_cldc("validate", "--fix", "-q", folder)
    assert contents(tmp_path / "shared") == shared
    assert (folder / "train" / "ii" / "link.png").read_bytes() == png(244)
    assert (folder / "train" / "iii" / "once.png").is_file()
    assert "Renamed train/iii/once.jpg to train/iii/once.png [extension-content]\n" in shown.out
    assert shown.out.count("Renamed") == 1
    assert all(
        f"Left {path}" in shown.out for path in ("train/i/pic.jpg", "train/i/.DS_Store", "train/ii/a.jpg")
    )
    assert "Left val/iii/once.jpg" not in shown.out


def test_what_has_several_right_answers_or_none_stays(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "digits")
    (folder / "train" / "i").rename(folder / "train" / "I")
    shutil.copytree(folder / "train" / "I", folder / "train" / "i ")
    (folder / "val" / "v").rename(folder / "val" / "V")
    (folder / "val" / "v").write_bytes(b"no folder")
    for path in (folder / "val").glob("*/*.png"):
        (path.parent / "__MACOSX").mkdir()
        path.rename(path.parent / "__MACOSX" / path.name)
    before = contents(folder)
    subject = inspect_dataset(folder, COMPETITION)
    assert fix_in_place(subject, tmp_path / "kept").changes == ()
    assert contents(folder) == before
    misnamed = [f for f in validate(folder, COMPETITION).findings if f.rule == "class-misnamed"]
    assert [finding.fixable for finding in misnamed] == [False, False, False]
    assert not any("--fix" in finding.remedy for finding in misnamed)


@pytest.mark.parametrize("name", ["Train", "TRAIN ", "train "])
def test_a_misnamed_split_is_renamed_and_its_classes_with_the_next_fix(tmp_path: Path, name: str) -> None:
    folder = make_dataset(tmp_path / "digits")
    (folder / "train").rename(folder / name)
    (folder / name / "x").rename(folder / name / "X")
    (folder / "val" / "x").rename(folder / "val" / "X")
    before = contents(folder)
    copied = fix_copy(inspect_dataset(folder, COMPETITION), tmp_path / "copy")
    fixed = fix_in_place(inspect_dataset(folder, COMPETITION), tmp_path / "kept")
    renamed = [(change.source, change.target) for change in fixed.changes]
    assert renamed == [("val/X", "val/x"), (name, "train")]
    assert contents(copied.root) == contents(folder)
    again = fix_in_place(inspect_dataset(folder, COMPETITION), tmp_path / "kept")
    assert [(change.source, change.target) for change in again.changes] == [("train/X", "train/x")]
    assert validate(folder, COMPETITION).ok
    for each in (again, fixed):
        assert each.record
        assert undo(each.record).left == ()
    assert contents(folder) == before


def test_a_misnamed_split_stays_if_it_is_ambiguous(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "digits")
    (folder / "train").rename(folder / "Train")
    shutil.copytree(folder / "Train", folder / "TRAIN")
    inspected = inspect_dataset(folder, COMPETITION)
    assert fix_in_place(inspected, tmp_path / "kept").changes == ()
    [missing] = [f for f in validate(folder, COMPETITION).findings if f.rule == "split-missing"]
    assert not missing.fixable
    assert "--fix" not in missing.remedy


def test_each_run_has_a_record_of_its_own(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "other" / "digits")
    before = contents(folder)
    records = [
        fix_in_place(inspect_dataset(f, COMPETITION), tmp_path / "kept").record for f in (folder, other)
    ]
    for record in records:
        assert record
        undo(record)
    assert contents(folder) == contents(other) == before


def another_file_system(monkeypatch: pytest.MonkeyPatch, kept: Path) -> None:
    """Let no rename into or out of ``kept`` succeed, as if it were on another disk."""
    rename = Path.rename

    def refused(source: Path, target: Path) -> Path:
        if source.is_relative_to(kept) != Path(target).is_relative_to(kept):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", refused)


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def half(source: Path, target: Path, **_: bool) -> None:
        Path(target).write_bytes(Path(source).read_bytes()[:1])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copy2", half)


def killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """End in the middle of removing what was copied: only its first file is gone."""

    def removed(path: Path) -> None:
        for item in (path, *sorted(path.rglob("*"))):
            if item.is_file():
                item.unlink()
                break
        if path.is_dir():
            raise KeyboardInterrupt

    monkeypatch.setattr("cldc.validation.safe_moves.remove_tree", removed)


@pytest.mark.parametrize("fault", [full_disk, killed])
def test_a_fix_interrupted_between_two_disks_can_be_undone(
    folder: Path, tmp_path: Path, fault: Callable[[pytest.MonkeyPatch], None]
) -> None:
    (folder / "val" / ".ipynb_checkpoints" / "1.png").write_bytes(png(246))
    before, kept = contents(folder), tmp_path / "kept"
    with pytest.MonkeyPatch.context() as patched:
        another_file_system(patched, kept)
        fault(patched)
        with pytest.raises((StorageError, KeyboardInterrupt)):
            fix_in_place(inspect_dataset(folder, COMPETITION), kept)
    [record] = kept.glob("*/record.json")
    with pytest.MonkeyPatch.context() as patched:
        another_file_system(patched, kept)
        assert undo(record).left == ()
    assert contents(folder) == before


def test_a_fix_that_fails_says_how_to_undo_it(folder: Path, tmp_path: Path) -> None:
    subject = inspect_dataset(folder, COMPETITION)
    before, gone = contents(folder), folder / "train" / "X " / "c.jpg"
    gone.unlink()
    with pytest.raises(StorageError) as failed:
        fix_in_place(subject, tmp_path / "kept")
    [record] = (tmp_path / "kept").glob("*/record.json")
    assert "3 of 6 changes were made" in failed.value.message
    assert f"cldc validate --undo {record}" in failed.value.action
    gone.write_bytes(png(242))
    assert len(undo(record).changes) == 3
    assert contents(folder) == before


def test_the_record_is_part_of_the_result(folder: Path, bare_cldc: Cldc) -> None:
    fixed = bare_cldc("validate", "--fix", "--format", "json", folder, code=0).data["fixed"]
    renamed = {"kind": "rename", "rule": "class-misnamed", "source": "train/X ", "target": "train/x"}
    assert renamed in fixed["changes"]
    assert fixed["left"] == []
    assert "fixed" not in bare_cldc("validate", "--format", "json", folder).data
    assert len(undo(Path(fixed["record"])).changes) == 6


@pytest.mark.parametrize(("form", "pattern"), [("github", r"::notice file="), ("sarif", r'\{.*"2\.1\.0"')])
def test_the_way_back_is_told_beside_a_result_for_machines(
    folder: Path, bare_cldc: Cldc, form: str, pattern: str
) -> None:
    fixed = bare_cldc("validate", "--fix", "-q", "--format", form, folder)
    assert re.match(pattern, fixed.out, re.DOTALL)
    assert "--undo" not in fixed.out
    assert len(undo(Path(fixed.err.split("--undo ")[1].strip())).changes) == 6


def test_the_way_back_is_told_to_those_who_want_quiet(folder: Path, bare_cldc: Cldc) -> None:
    assert "cldc validate --undo " in bare_cldc("validate", "--fix", "-q", folder).out


def test_the_way_back_is_told_when_the_check_fails_after_the_fix(folder: Path, bare_cldc: Cldc) -> None:
    failed = bare_cldc("validate", "--fix", "--format", "json", folder, "--label-book", "none", code=3)
    assert "--undo" in failed.err


def test_undoing_a_dataset_that_was_moved_is_refused(folder: Path, bare_cldc: Cldc) -> None:
    before = contents(folder)
    record = bare_cldc("validate", "--fix", "--format", "json", folder).data["fixed"]["record"]
    moved = folder.rename(folder.parent / "moved")
    refused = bare_cldc("validate", "--undo", record, code=14)
    assert "is not there any more" in refused.err
    assert not folder.exists()
    moved.rename(folder)
    (folder / "train" / "x" / "c.png").unlink()
    shutil.rmtree(folder / "val" / "i")
    undone = bare_cldc("validate", "--undo", record, "--format", "json", code=14).data
    assert [left["source"] for left in undone["left"]] == ["train/X /c.jpg"]
    assert len(undone["undone"]) == 5
    assert not (folder / "val" / "i").exists()
    assert contents(folder).keys() == before.keys() - {"train/X /c.jpg", "val/i/0.png"}


def test_undo_needs_a_record(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("{}")
    with pytest.raises(UsageError):
        undo(tmp_path / "record.json")


def photo(path: Path, shade: int, *, orientation: int = 1) -> bytes:
    """A photograph with a position, a device and an author."""
    tags = Image.Exif()
    tags[0x0110], tags[0x013B], tags[0x0112] = "Phone 7", "Jo Doe", orientation
    tags.get_ifd(0x8825)[2] = (48.0, 8.0, 0.0)
    Image.effect_noise((40, 30), 50).point(lambda value: value * shade // 256).save(path, exif=tags)
    return path.read_bytes()


def pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.tobytes()


def test_metadata_is_removed_in_place_and_undone_to_the_byte(tmp_path: Path, bare_cldc: Cldc) -> None:
    folder = make_dataset(tmp_path / "digits")
    turned, misnamed = folder / "train" / "i" / "turned.jpg", folder / "val" / "ii" / "misnamed.png"
    photo(turned, 200, orientation=6)
    photo(misnamed.with_suffix(".jpg"), 210)
    misnamed.with_suffix(".jpg").rename(misnamed)
    elsewhere = tmp_path / "elsewhere.jpg"
    outside = photo(elsewhere, 220)
    os.link(elsewhere, folder / "val" / "i" / "hard.jpg")
    damaged = folder / "val" / "iii" / "damaged.jpg"
    tables = photo(damaged, 230).index(b"\xff\xdb")
    damaged.write_bytes(damaged.read_bytes()[:tables] + b"stray" + damaged.read_bytes()[tables:])
    os.utime(turned, (1e9, 1e9))
    turned.chmod(0o640)
    before, seen = contents(folder), pixels(turned)
    report = validate(folder, COMPETITION)
    assert report.metadata.position == 4

    shown = bare_cldc("validate", "--fix", folder, "--format", "json").data["fixed"]
    assert sorted(change["source"] for change in shown["changes"] if change["kind"] == "strip") == [
        "train/i/turned.jpg",
        "val/i/hard.jpg",
        "val/ii/misnamed.png",
    ]
    assert shown["damaged"] == ["val/iii/damaged.jpg"]
    assert elsewhere.read_bytes() == outside
    assert pixels(turned) == seen
    assert damaged.read_bytes() == before["val/iii/damaged.jpg"]
    assert stat.S_IMODE(turned.stat().st_mode) == 0o640
    after = validate(folder, COMPETITION)
    assert [finding.paths for finding in after.findings if finding.rule == "image-metadata"] == [
        ("val/iii/damaged.jpg",)
    ]
    # People and the model see what they saw, so the warning of the turned picture stays.
    for each in (report, after):
        [odd] = [f for f in each.findings if "orientation" in f.message]
        assert odd.paths == ("train/i/turned.jpg",)
    assert not any(
        b"Jo Doe" in content for path, content in contents(folder).items() if "damaged" not in path
    )

    assert len(bare_cldc("validate", "--undo", shown["record"], "--format", "json").data["undone"]) == 4
    assert contents(folder) == before
    assert turned.stat().st_mtime == 1e9
    assert bare_cldc("validate", "--undo", shown["record"], "--format", "json").data["undone"] == []


def test_metadata_behind_links_is_removed_in_a_copy_only(tmp_path: Path, bare_cldc: Cldc) -> None:
    folder = make_dataset(tmp_path / "digits")
    shared = share_class(folder)
    photo(shared / "own.jpg", 200)
    photo(tmp_path / "album.jpg", 210)
    (folder / "val" / "v" / "link.jpg").symlink_to("../../../album.jpg")
    photo(folder / "val" / "vi" / "here.jpg", 220)
    (folder / "val" / "vi" / "again.jpg").symlink_to("here.jpg")
    before = contents(tmp_path)
    copied = bare_cldc("validate", "--fix", folder, "--into", tmp_path / "copy", "--format", "json").data
    assert copied["metadata"]["images"] == 0
    shown = bare_cldc("validate", "--fix", folder, "--quiet").out
    assert {
        name: contents(tmp_path)[name] for name in before if "here" not in name and "again" not in name
    } == {name: content for name, content in before.items() if "here" not in name and "again" not in name}
    assert "Removed the metadata of 1 image: val/vi/here.jpg [image-metadata]" in shown
    assert all(f"Left {path}: links" in shown for path in ("train/i/own.jpg", "val/v/link.jpg"))
    assert "Left val/vi/again.jpg" not in shown
    assert (folder / "val" / "v" / "link.jpg").is_symlink()


def test_a_link_that_leads_nowhere_is_copied_as_it_is(tmp_path: Path, bare_cldc: Cldc) -> None:
    folder = make_dataset(tmp_path / "digits")
    targets = {"gone.png": "nowhere", "long.png": "x" * 300, "circle.png": "circle.png"}
    for name, target in targets.items():
        (folder / "val" / "v" / name).symlink_to(target)
    bare_cldc("validate", "--fix", folder, "--into", tmp_path / "copy", code=3)
    copied = tmp_path / "copy" / "val" / "v"
    assert {name: str((copied / name).readlink()) for name in targets} == targets


@pytest.mark.parametrize("moment", range(5))
def test_an_interrupted_removal_can_be_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    folder, kept = make_dataset(tmp_path / "digits"), tmp_path / "kept"
    for shade in (200, 210):
        photo(folder / "val" / "i" / f"{shade}.jpg", shade)
    before = contents(folder)
    replace, calls = Path.replace, []

    def cut_off(source: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == moment + 1:  # the record, then of each image the original and the image
            raise KeyboardInterrupt
        return replace(source, target)

    subject = inspect_dataset(folder, COMPETITION)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", cut_off)
        with pytest.raises(KeyboardInterrupt):
            fix_in_place(subject, kept)
    for record in kept.glob("*/record.json"):
        assert undo(record).left == ()
    assert contents(folder) == before


def test_an_image_that_changed_since_is_never_overwritten(tmp_path: Path) -> None:
    folder, kept = make_dataset(tmp_path / "digits"), tmp_path / "kept"
    path = folder / "val" / "i" / "a.jpg"
    original = photo(path, 200)
    fixed = fix_in_place(inspect_dataset(folder, COMPETITION), kept)
    assert fixed.record
    path.write_bytes(png(7))
    [(change, error)] = undo(fixed.record).left
    assert change.source == "val/i/a.jpg"
    assert "has changed since" in error.message
    [place] = kept.glob("*/originals/val/i/a.jpg")
    assert str(place) in error.action
    assert (path.read_bytes(), place.read_bytes()) == (png(7), original)
