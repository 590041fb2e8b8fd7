"""What is uploaded: the same bytes each time, all that the script reads, and what other programs can unpack."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from cldc import process
from cldc.competition import load
from cldc.errors import InvalidDataset
from cldc.package import pack
from cldc.validation import validate
from tests.support.folders import make_dataset, png
from tests.support.terminal import Terminal

PROFILE = load()


def test_a_zip_holds_what_the_script_reads_and_nothing_else(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "mine", train=12, val=3)
    (root / "train" / "i" / "caf\u00e9 \U0001f600.png").write_bytes(png(7, width=300))
    (root / "train" / "i" / "notes.txt").write_text("not for the script")
    report = validate(root, PROFILE)
    package = pack(report, tmp_path / "a")
    with zipfile.ZipFile(package.path) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        for image in report.dataset.images:
            assert archive.read(f"mine/{image.path}") == report.dataset.locate(image).read_bytes()
    assert sorted(names) == sorted(f"mine/{image.path}" for image in report.dataset.images)
    assert package.size == package.path.stat().st_size
    assert pack(report, tmp_path / "b").path.read_bytes() == package.path.read_bytes()

    if shutil.which("unzip"):
        process.run(["unzip", "-q", package.path, "-d", tmp_path / "out"], timeout_seconds=60)
        again = validate(tmp_path / "out" / "mine", PROFILE)
        assert again.dataset.hash == report.dataset.hash


def test_an_empty_class_folder_is_kept(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "mine")
    for image in (root / "val" / "x").iterdir():
        image.unlink()
    report = validate(root, PROFILE)
    with zipfile.ZipFile(pack(report, tmp_path / "a").path) as archive:
        assert archive.getinfo("mine/val/x/").is_dir()


@pytest.mark.parametrize("longer", [b"", b"more"])
def test_an_image_that_changed_since_it_was_checked_is_refused(tmp_path: Path, longer: bytes) -> None:
    root = make_dataset(tmp_path / "mine")
    report = validate(root, PROFILE)
    image = root / "train" / "i" / "0.png"
    image.write_bytes((image.read_bytes() + longer) if longer else image.read_bytes()[:-1] + b"?")
    with pytest.raises(InvalidDataset, match=r"0\.png changed"):
        pack(report, tmp_path / "a")
    assert list((tmp_path / "a").iterdir()) == []


def test_another_zip_of_that_name_is_replaced_only_after_a_yes(tmp_path: Path) -> None:
    make_dataset(tmp_path / "digits")
    target = tmp_path / "digits.zip"
    target.write_bytes(b"another")
    for answer, code, last in (("n", 1, "Nothing was changed."), ("y", 0, "Hand it in under this name")):
        terminal = Terminal("package", "digits", cwd=tmp_path, columns=300)
        terminal.answer("Replace digits.zip, which is another zip? [y/N]", answer)
        ended, shown = terminal.end()
        assert (ended, last in shown) == (code, True)
        assert (target.read_bytes() == b"another") is (answer == "n")
