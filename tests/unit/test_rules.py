"""The rules, each tested with a folder made for it."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture

from cldc import competition, process
from cldc.competition import Competition
from cldc.dataset import Dataset, Image, Split, SplitState
from cldc.errors import InvalidDataset
from cldc.render.formats import plain
from cldc.render.validation import validation_blocks
from cldc.validation import Finding, InspectedDataset, Severity, ValidationReport, validate
from cldc.validation.inspection_result import Inspection
from cldc.validation.near_duplicates import Pair, Similarity
from cldc.validation.rules import RULES, apply_rules
from cldc.validation.tensorflow_decoder import Readable, Remark, Verdict
from tests.support.folders import CLASSES, drawn, make_dataset, padded, png

COMPETITION = competition.load()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "digits")


def found(folder: Path, rule: str) -> list[Finding]:
    return [finding for finding in validate(folder, COMPETITION).findings if finding.rule == rule]


def paths(findings: Iterable[Finding]) -> list[str]:
    return sorted(path for finding in findings for path in finding.paths)


def rename(folder: Path, old: str, new: str) -> None:
    (folder / old).rename(folder / new)


def write(folder: Path, name: str, content: bytes = b"no image") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def link_beside(folder: Path, *names: str) -> None:
    """Links to images that are not in the dataset."""
    for shade, name in enumerate(names, 191):
        target = folder.parent / f"{shade}.png"
        target.write_bytes(png(shade))
        (folder / name).symlink_to(target)


def write_all(folder: Path, *names: str) -> None:
    for shade, name in enumerate(names, 91):
        write(folder, name, png(shade))


def empty(folder: Path) -> None:
    for path in folder.glob("*/*"):
        path.unlink()


def test_a_sound_dataset_has_no_error(folder: Path) -> None:
    report = validate(folder, COMPETITION)
    assert (report.ok, report.exit_code(), report.total, report.padded) == (True, 0, 30, 40)
    assert report.of(Severity.ERROR) == ()
    report.require_valid()


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize "

# What is done to a sound dataset; the rule that must match, for which paths, and how severely.
Step = Callable[[Path], object]
CASES: list[tuple[str, str, Step, list[str], Severity]] = [
    ("no val", "split-missing", lambda f: shutil.rmtree(f / "val"), ["val"], Severity.ERROR),
    ("Val", "split-missing", lambda f: rename(f, "val", "Val"), ["val"], Severity.ERROR),
    ("no x", "class-missing", lambda f: shutil.rmtree(f / "val/x"), ["val/x"], Severity.ERROR),
    ("X", "class-misnamed", lambda f: rename(f, "val/x", "val/X"), ["val/X"], Severity.ERROR),
    ("x space", "class-misnamed", lambda f: rename(f, "val/x", "val/x "), ["val/x "], Severity.ERROR),
    ("extra", "class-extra", lambda f: (f / "train/xi").mkdir(), ["train/xi"], Severity.ERROR),
    ("hidden", "class-extra", lambda f: (f / "val/.git").mkdir(), ["val/.git"], Severity.ERROR),
    (
        "empty split",
        "split-empty",
        lambda f: empty(f / "val"),
        ["val"],
        Severity.ERROR,
    ),
    ("empty x", "class-empty", lambda f: (f / "val/x/0.png").unlink(), ["val/x"], Severity.WARNING),
    (
        "dangling",
        "file-unreadable",
        lambda f: (f / "val/x/l.png").symlink_to("-"),
        ["val/x/l.png"],
        Severity.ERROR,
    ),
    ("pipe", "file-unreadable", lambda f: os.mkfifo(f / "val/x/p.gif"), ["val/x/p.gif"], Severity.ERROR),
    ("no image", "image-undecodable", lambda f: write(f, "val/x/a.png"), ["val/x/a.png"], Severity.ERROR),
    (
        "LFS",
        "git-pointer",
        lambda f: write(f, "val/x/a.png", LFS_POINTER),
        ["val/x/a.png"],
        Severity.ERROR,
    ),
    (
        "annex",
        "git-pointer",
        lambda f: write(f, "val/x/a.png", b"/annex/objects/SHA256E-s9--0a.png\n"),
        ["val/x/a.png"],
        Severity.ERROR,
    ),
    (
        "locked in annex",
        "git-pointer",
        lambda f: (f / "val/x/a.png").symlink_to("../../../.git/annex/objects/a/b/SHA256E-s9--0a/0a.png"),
        ["val/x/a.png"],
        Severity.ERROR,
    ),
    (
        "empty file",
        "image-undecodable",
        lambda f: write(f, "val/x/a.png", b""),
        ["val/x/a.png"],
        Severity.ERROR,
    ),
    ("ending", "extension-content", lambda f: write(f, "val/x/a.gif", png()), ["val/x/a.gif"], Severity.NOTE),
    ("AppleDouble", "junk-file", lambda f: write(f, "val/x/._a.png"), ["val/x/._a.png"], Severity.WARNING),
    ("DS_Store", "junk-file", lambda f: write(f, "val/.DS_Store"), ["val/.DS_Store"], Severity.NOTE),
    (
        "hidden file",
        "hidden-file",
        lambda f: write(f, "val/x/.a.png", png()),
        ["val/x/.a.png"],
        Severity.WARNING,
    ),
    (
        "nested",
        "nested-file",
        lambda f: write(f, "val/x/i/a.png", png()),
        ["val/x/i/a.png"],
        Severity.WARNING,
    ),
    (
        "link",
        "linked-file",
        lambda f: (f / "val/x/l.png").symlink_to("0.png"),
        ["val/x/l.png"],
        Severity.NOTE,
    ),
    (
        "link out",
        "outward-link",
        lambda f: link_beside(f, "val/x/l.png"),
        ["val/x/l.png"],
        Severity.WARNING,
    ),
    (
        "links out",
        "outward-link",
        lambda f: link_beside(f, "val/x/a.png", "val/x/b.png"),
        ["val/x/a.png", "val/x/b.png"],
        Severity.WARNING,
    ),
    (
        "comment",
        "image-metadata",
        lambda f: Picture.new("L", (9, 9)).save(f / "val/x/a.jpg", comment="by me"),
        ["val/x/a.jpg"],
        Severity.WARNING,
    ),
    ("webp", "passed-over", lambda f: write(f, "val/x/a.webp"), ["val/x/a.webp"], Severity.WARNING),
    ("backup", "passed-over", lambda f: write(f, "val/x/a.png~"), ["val/x/a.png~"], Severity.WARNING),
    ("beside", "passed-over", lambda f: write(f, "val/a.png"), ["val/a.png"], Severity.WARNING),
    ("readme", "passed-over", lambda f: write(f, "README.md"), ["README.md"], Severity.NOTE),
    (
        "linked folder",
        "passed-over",
        lambda f: (f / "val/x/more").symlink_to(".."),
        ["val/x/more"],
        Severity.WARNING,
    ),
    (
        "Windows",
        "name-not-portable",
        lambda f: write(f, "val/x/a|b.png", png()),
        ["val/x/a|b.png"],
        Severity.WARNING,
    ),
    (
        "device",
        "name-not-portable",
        lambda f: write(f, "val/x/nul.png", png()),
        ["val/x/nul.png"],
        Severity.WARNING,
    ),
    (
        "case",
        "name-not-portable",
        lambda f: write_all(f, "val/x/a.png", "val/x/A.png"),
        ["val/x/A.png", "val/x/a.png"],
        Severity.WARNING,
    ),
    (
        "WSL",
        "name-not-portable",
        lambda f: write(f, "val/x/a\uf07cb.png", png()),
        ["val/x/a\uf07cb.png"],
        Severity.WARNING,
    ),
    ("PNG", "extension-case", lambda f: write(f, "val/x/a.PNG", png()), ["val/x/a.PNG"], Severity.NOTE),
    (
        "no UTF-8",
        "name-not-utf8",
        lambda f: write(f, os.fsdecode(b"val/x/\xe9.png"), png()),
        ["val/x/\udce9.png"],
        Severity.ERROR,
    ),
]


@pytest.mark.parametrize(
    ("rule", "step", "where", "severity"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_each_rule_finds_what_it_is_for(
    folder: Path, rule: str, step: Step, where: list[str], severity: Severity
) -> None:
    assert found(folder, rule) == []
    step(folder)
    findings = found(folder, rule)
    assert paths(findings) == where
    assert {finding.severity for finding in findings} == {severity}
    assert all(finding.consequence and finding.remedy for finding in findings)


def test_pointers_of_a_whole_dataset_are_one_error_with_the_command_to_run(folder: Path) -> None:
    for path in folder.glob("*/*/*.png"):
        path.write_bytes(LFS_POINTER + path.as_posix().encode())
    report = validate(folder, COMPETITION)
    [error] = report.of(Severity.ERROR)
    assert error.message == "30 images are Git LFS pointers: the content was not fetched."
    assert len(error.paths) == 30
    with pytest.raises(InvalidDataset, match="Git LFS pointers") as refused:
        report.require_valid()
    assert "git lfs pull" in refused.value.action


def test_every_finding_is_reported_not_only_the_first(folder: Path) -> None:
    shutil.rmtree(folder / "val" / "x")
    write(folder, "train/i/a.png")
    write(folder, "train/ii/b.png")
    write(folder, "val/more/c.txt")
    rules = [finding.rule for finding in validate(folder, COMPETITION).of(Severity.ERROR)]
    assert rules == ["class-missing", "class-extra", "image-undecodable", "image-undecodable"]


def test_a_wrong_folder_is_answered_with_the_right_one(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "root" / "inner" / "digits")
    for near in (tmp_path / "root", folder.parent, folder / "train" / "i"):
        [finding] = found(near, "split-missing")
        assert finding.message == f"The script can't find train/ and val/ in {near}."
        assert finding.remedy == f"Did you mean {folder}? Run `cldc validate {folder}`."
    other = make_dataset(folder.parent / "other")
    [finding] = found(tmp_path / "root", "split-missing")
    assert finding.remedy == f"Did you mean one of these 2 folders: {folder}, {other}?"
    # A cached suggestion would be wrong after the folders around have changed.
    (moved := tmp_path / "root" / "moved").mkdir()
    for place in (folder, moved / "digits"):
        report = validate(tmp_path / "root", COMPETITION, home=tmp_path / "cache")
        assert str(place) in report.findings[0].remedy
        if place == folder:
            folder.rename(moved / "digits")
    # With one split there, it is the dataset, and a backup inside it is not meant.
    rename(other, "train", "../backup-train")
    shutil.copytree(moved / "digits", other / "backup")
    assert {finding.remedy for finding in found(other, "split-missing")} == {
        "Add a folder train/ with one folder for each class."
    }


# The script's own rule, as observed: ceil(train / 8) + ceil(val / 8) <= 1250; the guide's: fewer than 10,000.
@pytest.mark.parametrize(
    ("train", "val", "script", "guide"),
    [
        (7992, 2001, True, True),
        (9992, 8, True, False),
        (8000, 2000, True, False),
        (7999, 2000, True, True),
        (7993, 2001, False, True),
        (7999, 2001, False, False),
        (9999, 1, False, False),
        (8001, 2000, False, False),
    ],
)
def test_the_scripts_limit_and_the_guides_are_told_apart_at_their_edges(
    train: int, val: int, script: bool, guide: bool
) -> None:
    rules = {finding.rule for finding in _counted(train, val, COMPETITION).findings}
    assert ("too-many-images" not in rules, "guide-limit" not in rules) == (script, guide)


@given(st.integers(1, 12_000), st.integers(1, 12_000))
def test_up_to_9993_images_always_pass(train: int, val: int) -> None:
    padded = COMPETITION.dataset.padded((train, val))
    assert train + val <= padded <= train + val + 14
    assert padded <= COMPETITION.dataset.max_padded or train + val > 9993


def _counted(train: int, val: int, of: Competition) -> ValidationReport:
    images = tuple(
        Image(split, "i", f"{split}/i/{n}.png", sha256="a")
        for split, count in (("train", train), ("val", val))
        for n in range(count)
    )
    return apply_rules(
        InspectedDataset(
            Dataset(Path("/d"), "d", (), images), of, {"a": Inspection(Verdict(Readable.YES, None))}
        )
    )


NAMES = st.lists(
    st.sampled_from("aA1.é- \n\t|:\x7f\uf07c\udce9\u0301/") | st.just("con"), min_size=1, max_size=6
)


@given(st.lists(NAMES.map("".join), max_size=6, unique=True))
def test_every_odd_name_is_reported_whatever_the_others_are(wanted: list[str]) -> None:
    paths = [f"val/x/{name.strip('/')}.png" for name in wanted if "//" not in name]

    def reported(*some: str) -> set[tuple[str, str]]:
        images = tuple(Image("val", "x", path, sha256="a") for path in sorted(some))
        dataset = Dataset(Path("/d"), "d", (), images)
        inspections = {"a": Inspection(Verdict(Readable.YES, None))}
        findings = apply_rules(InspectedDataset(dataset, COMPETITION, inspections)).findings
        about_names = ("name-not-utf8", "name-not-portable", "hidden-file", "nested-file", "junk-file")
        return {
            (finding.rule, path)
            for finding in findings
            if finding.rule in about_names and "differ only" not in finding.message
            for path in finding.paths
        }

    assert reported(*paths) == set().union(*(reported(path) for path in paths))
    for path in paths:
        assert reported(path) or not {*path} & {*"\n\t|:\x7f\uf07c\udce9"}


def test_another_competition_has_other_classes_and_limits(tmp_path: Path) -> None:
    rules = dataclasses.replace(COMPETITION.dataset, classes=("cat", "dog"), max_images=3, max_padded=8)
    pets = dataclasses.replace(COMPETITION, dataset=rules)
    report = validate(make_dataset(tmp_path / "pets", classes=("cat", "dog")), pets)
    assert {finding.rule for finding in report.of(Severity.ERROR)} == {"too-many-images", "guide-limit"}
    assert report.counts == {"train": {"cat": 2, "dog": 2}, "val": {"cat": 1, "dog": 1}}


def test_a_dataset_named_as_the_label_book_is_refused(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / COMPETITION.bundles.label_book.name)
    assert found(folder, "name-reserved")


def test_tensorflow_is_asked_once_about_all_unknown_images(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remarks = (Remark.TRAILING_BYTES,)
    unsure = Verdict(Readable.UNKNOWN, None, reason="Only TensorFlow can tell.", remarks=remarks)
    monkeypatch.setattr("cldc.validation.inspect_images.judge", lambda content: unsure)
    assert len(found(folder, "image-unsure")) == 30
    asked: list[Mapping[str, Path]] = []
    answers = [
        Verdict(Readable.NO, None, reason="TensorFlow: no"),
        Verdict(Readable.YES, None),
    ]

    def ask(files: Mapping[str, Path], *_: object) -> dict[str, Verdict]:
        assert all(path.is_file() for path in files.values())
        verdict = answers[len(asked)]
        asked.append(files)
        return dict.fromkeys(files, verdict)

    monkeypatch.setattr("cldc.validation.inspect_images.ask_tensorflow", ask)
    report = validate(folder, COMPETITION, home=tmp_path / "home", use_cache=False, ask_tensorflow=True)
    assert len(asked) == 1
    assert {finding.rule for finding in report.of(Severity.ERROR)} == {"image-undecodable"}
    report = validate(folder, COMPETITION, home=tmp_path / "home", use_cache=False, ask_tensorflow=True)
    assert ("image-seen-differently", remarks[0].text) in {(f.rule, f.message) for f in report.findings}


@pytest.mark.parametrize(
    ("mode", "ink", "more", "dropped"),
    [
        ("RGBA", (1, 2, 3, 255), {}, False),
        ("RGBA", (1, 2, 3, 254), {}, True),
        ("LA", (1, 0), {}, True),
        ("P", 0, {"transparency": 0}, True),
        ("P", 0, {"transparency": 3}, False),
        ("L", 5, {"transparency": 5}, True),
        ("L", 5, {"transparency": 6}, False),
    ],
)
def test_transparency_is_reported_only_if_something_is_transparent(
    folder: Path, mode: str, ink: object, more: dict[str, int], dropped: bool
) -> None:
    Picture.new(mode, (40, 40), ink).save(folder / "val" / "x" / "0.png", **more)  # type: ignore[arg-type]
    assert bool(found(folder, "image-seen-differently")) == dropped


def test_a_check_that_fails_is_a_finding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(content: bytes) -> Verdict:
        raise ZeroDivisionError

    monkeypatch.setattr("cldc.validation.inspect_images.judge", broken)
    assert len(found(folder, "image-unsure")) == 30


@pytest.mark.parametrize("name", ["X", "x ", "\u2169", "\uff58"])
def test_a_misnamed_class_folder_makes_no_label_conflict(folder: Path, name: str) -> None:
    """The remedy of a conflict, to keep one of the files, would delete good ones."""
    rename(folder, "val/x", f"val/{name}")
    write(folder, f"val/{name}/0.png", (folder / "train/x/0.png").read_bytes())
    for number, label in enumerate(("train/x", f"val/{name}")):
        write(folder, f"{label}/drawn.png", padded(drawn(), 3 + number))
    findings = validate(folder, COMPETITION).findings
    rules = {finding.rule for finding in findings}
    assert "class-misnamed" in rules
    assert rules.isdisjoint({"identical-two-labels", "drawing-two-labels", "class-extra", "class-missing"})
    assert {"identical-across-splits", "drawing-across-splits"} <= rules


def test_a_misnamed_class_folder_beside_the_right_one_keeps_its_images(folder: Path) -> None:
    write(folder, "train/X/0.png", (folder / "train/x/0.png").read_bytes())
    findings = {finding.rule: finding for finding in validate(folder, COMPETITION).findings}
    assert findings["class-misnamed"].remedy == "Move its images into train/x and remove the empty folder."
    assert not findings["class-misnamed"].fixable
    assert "identical-in-class" in findings
    assert "identical-two-labels" not in findings


def test_images_in_a_folder_that_is_no_class_make_no_label_conflict(folder: Path) -> None:
    write(folder, "train/unsorted/0.png", (folder / "train/x/0.png").read_bytes())
    write(folder, "train/x/drawn.png", padded(drawn(), 3))
    write(folder, "train/unsorted/drawn.png", padded(drawn(), 4))
    rules = {finding.rule for finding in validate(folder, COMPETITION).findings}
    assert rules == {"class-extra", "small-image", "outsized-image"}


FOLDERS = st.lists(st.sampled_from("xXivIV \u2169\uff58\u2173u"), min_size=1, max_size=4).map("".join)


@given(st.sets(FOLDERS, max_size=8))
def test_a_class_folder_renamed_as_advised_is_not_called_misnamed(names: set[str]) -> None:
    def advice(folders: set[str]) -> dict[str, str]:
        splits = (Split("train", SplitState.FOLDER, tuple(sorted(folders))),)
        subject = InspectedDataset(Dataset(Path("/d"), "d", splits, ()), COMPETITION, {})
        misnamed = [f for f in apply_rules(subject).findings if f.rule == "class-misnamed"]
        return {
            f.paths[0].removeprefix("train/"): f.message.rpartition("called ")[2].strip("'.")
            for f in misnamed
            if f.fixable
        }

    renames = advice(names)
    assert set(renames.values()) <= set(CLASSES)
    after = {renames.get(name, name) for name in names}
    assert len(after) == len(names)
    assert advice(after) == {}


@pytest.mark.parametrize(
    ("step", "remedy"),
    [
        (lambda f: rename(f, "val", "VAL"), "Rename VAL/ to val/, or run `cldc validate --fix`."),
        (
            lambda f: rename(f, "val", "validation"),
            "There is a folder validation/: did you mean val/? Then rename it.",
        ),
        (lambda f: rename(f, "val", "Test"), "There is a folder Test/: did you mean val/? Then rename it."),
        (
            lambda f: rename(f, "train", "Training"),
            "There is a folder Training/: did you mean train/? Then rename it.",
        ),
        (
            lambda f: [(f / "val").rename(f / "VAL"), (f / "val").touch()],
            "Move the file val away, then rename VAL/ to val/.",
        ),
        (
            lambda f: [(f / "val").rename(f.parent / "gone"), (f / "Val").touch()],
            "Add a folder val/ with one folder for each class.",
        ),
    ],
)
def test_advice_on_a_missing_split_names_the_folder_that_was_meant(
    folder: Path, step: Step, remedy: str
) -> None:
    step(folder)
    (finding,) = found(folder, "split-missing")
    assert finding.remedy == remedy


@pytest.mark.parametrize("contrast", [0.7, 0.5, 0.3, 0.1])
@pytest.mark.parametrize("paper", [255, 200])
def test_a_pale_copy_of_a_drawing_is_found(folder: Path, contrast: float, paper: int) -> None:
    write(folder, "train/i/drawn.png", padded(drawn(), 3))
    with Picture.open(folder / "train/i/drawn.png") as black:
        pale = black.point([round(paper - contrast * (255 - shade)) for shade in range(256)])
    pale.save(folder / "train/ii/pale.png")
    (conflict,) = found(folder, "drawing-two-labels")
    assert conflict.paths == ("train/i/drawn.png", "train/ii/pale.png")


JFIF = b"\xff\xd8\xff\xe0\0\x10JFIF"
CONVERT_HEIC = "open each one and export it as PNG (renaming does not help: TensorFlow does not read HEIC)"


@pytest.mark.parametrize(
    ("path", "content", "what", "steps"),
    [
        ("val/x/a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC", CONVERT_HEIC),
        ("val/x/a", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC", CONVERT_HEIC),
        ("val/x/a.heic", b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF", "export it as PNG"),
        ("val/x/a.webp", b"RIFF\x24\0\0\0WEBPVP8 ", "WebP", "export it as PNG"),
        ("val/x/a.tif", b"II*\0\x08\0\0\0", "TIFF", "export it as PNG"),
        ("val/x/a.tif", png(), "PNG", "rename them so that they end in .png"),
        ("val/x/a.png~", png(), "PNG", "rename them so that they end in .png"),
        ("val/x/a", png(), "PNG", "rename them so that they end in .png"),
        ("val/x/a.jfif", JFIF, "JPEG", "rename them so that they end in .jpg"),
        (
            "val/x/a.webp",
            b"text",
            "",
            "export it as PNG (renaming does not help: TensorFlow goes by content)",
        ),
        ("val/a.gif", png(), "PNG", "If they should count, move them into the folder of their class."),
        (
            "val/a.jfif",
            JFIF,
            "JPEG",
            "rename them so that they end in .jpg and move them into the folder of their class",
        ),
        (
            "val/a.heic",
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
            "HEIC",
            f"{CONVERT_HEIC} and move them into the folder of their class",
        ),
    ],
)
def test_advice_on_an_ignored_picture_depends_on_its_content(
    folder: Path, path: str, content: bytes, what: str, steps: str
) -> None:
    write(folder, path, content)
    (finding,) = found(folder, "passed-over")
    assert finding.paths == (path,)
    assert finding.severity is Severity.WARNING
    assert finding.message.startswith(f"1 {what} file ignored: " if what else "1 file ignored: ")
    assert steps in finding.remedy
    assert ("rename them" in finding.remedy) == ("rename them" in steps)


def test_an_error_about_a_picture_renamed_to_png_names_its_format(folder: Path) -> None:
    write(folder, "val/x/a.png", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (finding,) = found(folder, "image-undecodable")
    assert "It is HEIC" in finding.message
    assert "export it" in finding.remedy


def test_an_ignored_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "val/x/a.heic")
    assert paths(found(folder, "passed-over")) == ["val/x/a.heic"]


@pytest.mark.skipif(os.name == "nt", reason="Windows tells no peak")
@pytest.mark.lasts(20)
def test_whatever_is_in_the_folder_a_check_takes_at_most_250_mb(folder: Path) -> None:
    noise = Picture.frombytes("L", (3900, 3900), random.Random(0).randbytes(3900 * 3900))
    noise.save(folder / "train" / "i" / "large.png", compress_level=1)
    noise.save(folder / "train" / "i" / "large.jpg", quality=95, progressive=True)
    for mode in ("RGBA", "P", "LA"):
        Picture.new(mode, (1990, 1990), 1).save(folder / "train" / "i" / f"wide-{mode}.png")
    colourful = Picture.merge("RGB", (noise.rotate(0), noise.rotate(90), noise.rotate(180)))
    colourful = colourful.reduce(3).resize((4000, 3000))
    colourful.save(folder / "train" / "i" / "large-photo.jpg", quality=60, progressive=True)
    colourful.save(folder / "train" / "i" / "large-even.jpg", quality=60, progressive=True, subsampling=0)
    for mode, height in (("RGBA", 7000), ("P", 700), ("RGB", 700)):
        picture = Picture.new(mode, (9000, height), 1)
        picture.save(folder / "train" / "i" / f"large-{mode}.png", compress_level=1)
    Picture.new("P", (7000, 7000)).save(folder / "train" / "i" / "large.gif")
    for large in list((folder / "train" / "i").glob("*e*")):
        os.link(large, folder / "train" / "ii" / large.name)
    done = process.run(
        [sys.executable, "-m", "cldc", "validate", folder, "--no-cache"],
        timeout_seconds=300,
    )
    assert done.peak_memory_bytes is not None
    assert done.peak_memory_bytes < 250e6


def test_an_invalid_dataset_cannot_be_used_further(folder: Path) -> None:
    write(folder, "train/i/a.png")
    report = validate(folder, COMPETITION)
    assert report.exit_code() == InvalidDataset.code
    with pytest.raises(InvalidDataset, match=r"train/i/a\.png") as refused:
        report.require_valid()
    assert "cldc validate" in refused.value.action


def test_strict_counts_warnings(folder: Path) -> None:
    write(folder, "val/x/a.webp")
    report = validate(folder, COMPETITION)
    assert (report.exit_code(), report.exit_code(strict=True)) == (0, InvalidDataset.code)


def test_rules_have_unique_ids_and_documentation() -> None:
    ids = [rule.id for rule in RULES]
    assert len(set(ids)) == len(ids)
    assert all(rule.title and rule.why and rule.source and rule.check.__doc__ for rule in RULES)


def test_images_of_the_label_book_are_named_as_there_whatever_its_folder(folder: Path) -> None:
    book = folder.parent / "0f3a"
    (book / "i").mkdir(parents=True)
    shutil.copy(folder / "train" / "i" / "0.png", book / "i" / "000.png")
    findings = validate(folder, COMPETITION, label_book=book).findings
    assert "train/i/0.png is in the label book, as label_book/i/000.png." in [
        finding.message for finding in findings
    ]


def test_the_starting_dataset_is_valid_and_what_is_known_of_it_is_found(real_data: Path) -> None:
    starting = validate(real_data / "data", COMPETITION, label_book=real_data / "label_book")
    assert starting.ok
    assert (starting.total, starting.padded, starting.counts["train"]["i"]) == (2880, 2888, 261)
    by_rule: dict[str, list[Finding]] = {}
    for finding in starting.findings:
        by_rule.setdefault(finding.rule, []).append(finding)
    assert {rule: len(group) for rule, group in by_rule.items()} == {
        "identical-across-splits": 49,
        "in-label-book": 3,
        "drawing-two-labels": 10,
        "blank-image": 1,
        "outsized-image": 1,
        "junk-file": 1,
    }
    conflicts = by_rule["drawing-two-labels"]
    assert {tuple(path.split("/")[1] for path in conflict.paths) for conflict in conflicts} == {
        ("ix", "viii")
    }
    assert paths(by_rule["blank-image"])[0].startswith("train/vi/aac26b40")


def test_a_warped_copy_is_found_across_splits_and_in_the_label_book_only(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = make_dataset(tmp_path / "book") / "val"
    # No two are alike to what compares drawings without aligning them.
    rows, top, low = drawn(), [bytes(30), b"\xff" * 30] * 8, [b"\xff" * 10 + bytes(20)] * 12
    for place, drawing in (
        (folder / "train", rows),
        (folder / "val", rows[:9] + top),
        (book, low + rows[20:]),
    ):
        (place / "v" / "drawing.png").write_bytes(padded(drawing, 3))
    asked: list[list[int]] = []

    def find(sides: Sequence[Mapping[str, Path]], *_: object, required: bool) -> list[Pair] | None:
        asked.append([len(side) for side in sides])
        if len(asked) == 1:
            return None  # it failed
        train, val, shown = (
            next(sha for sha, path in side.items() if path.name == "drawing.png") for side in sides
        )
        return [
            Pair(min(train, val), max(train, val), Similarity.WARPED, 0.031),
            Pair(min(shown, val), max(shown, val), Similarity.WARPED, 0.05),
        ]

    def check() -> ValidationReport:
        return validate(folder, COMPETITION, warped="if ready", label_book=book, home=tmp_path / "home")

    monkeypatch.setattr("cldc.validation.inspect_images.find_warped_copies", find)

    assert not check().warped_compared
    report = check()
    assert report.warped_compared
    messages = [f"{finding.rule}: {finding.message}" for finding in report.findings]
    (across,) = (message for message in messages if message.startswith("drawing-across-splits"))
    assert "it differs 3% as much as other drawings do" in across
    assert any(
        "val/v/drawing.png shows the same drawing as label_book/v/drawing.png" in each for each in messages
    )
    assert not any(message.startswith("drawing-two-labels") for message in messages)
    assert len(asked) == 2
    assert len(asked[0]) == 3
    assert "rotated" not in plain(validation_blocks(report)[-3:])
    assert "were not checked for" in plain(
        validation_blocks(dataclasses.replace(report, warped_compared=False))[-3:]
    )
