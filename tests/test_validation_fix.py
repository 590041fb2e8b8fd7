"""Mending a dataset, undoing it, and the page with pictures."""

from __future__ import annotations

import os
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cldc import competition
from cldc.errors import StorageError, UsageError
from cldc.render.validation_html import to_html
from cldc.validation import examine, validate
from cldc.validation.fixing import fix_copy, fix_in_place, undo
from cldc.validation.thumbnails import thumbnails
from tests.folders import make_dataset, png

COMPETITION = competition.load()
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset with everything that can be mended, and an image whose right name is taken."""
    folder = make_dataset(tmp_path / "digits")
    (folder / "train" / "i" / "._0.png").write_bytes(b"\0\5\x16\7")
    (folder / "val" / ".DS_Store").write_bytes(b"\0")
    (folder / "val" / ".ipynb_checkpoints").mkdir()
    (folder / "val" / ".ipynb_checkpoints" / "0.png").write_bytes(png(240))
    (folder / "train" / "x").rename(folder / "train" / "X ")
    (folder / "train" / "i" / "0.gif").write_bytes(png(241))
    (folder / "train" / "X " / "c.jpg").write_bytes(png(242))
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_mended_copy_is_valid_and_the_original_untouched(folder: Path, tmp_path: Path) -> None:
    before = tree(folder)
    fixed = fix_copy(examine(folder, COMPETITION), tmp_path / "mended")
    assert tree(folder) == before
    report = validate(fixed.root, COMPETITION)
    assert report.ok
    assert not [finding for finding in report.findings if finding.fixable]
    # Every image is still there, under its right name.
    images = {content for name, content in before.items() if content.startswith(b"\x89PNG")}
    images.remove(png(240))
    assert {image.path for image in report.dataset.images} >= {"train/i/0-1.png", "train/x/c.png"}
    assert set(tree(fixed.root).values()) == images


def test_mended_in_place_and_undone(folder: Path, tmp_path: Path) -> None:
    before = tree(folder)
    fixed = fix_in_place(examine(folder, COMPETITION), tmp_path / "kept")
    assert validate(folder, COMPETITION).ok
    assert len(fixed.changes) == 6
    assert fixed.record
    assert len(undo(fixed.record)) == 6
    assert tree(folder) == before
    assert undo(fixed.record) == ()


def test_nothing_to_mend(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "digits")
    assert fix_in_place(examine(folder, COMPETITION), tmp_path / "kept").record is None
    assert not (tmp_path / "kept").exists()


def test_undoing_never_writes_over_a_file(folder: Path, tmp_path: Path) -> None:
    fixed = fix_in_place(examine(folder, COMPETITION), tmp_path / "kept")
    (folder / "val" / ".DS_Store").write_bytes(b"new")
    assert fixed.record
    with pytest.raises(StorageError, match="there already"):
        undo(fixed.record)
    assert (folder / "val" / ".DS_Store").read_bytes() == b"new"


def test_a_copy_is_refused_where_it_would_harm(folder: Path, tmp_path: Path) -> None:
    subject = examine(folder, COMPETITION)
    for into in (folder / "inside", tmp_path):
        with pytest.raises(UsageError):
            fix_copy(subject, into)


def test_a_copy_passes_over_pipes_and_keeps_links(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "train" / "ii" / "pipe.png")
    (folder / "train" / "ii" / "link.png").symlink_to("nowhere")
    fixed = fix_copy(examine(folder, COMPETITION), tmp_path / "mended")
    assert (fixed.root / "train" / "ii" / "link.png").is_symlink()
    assert not (fixed.root / "train" / "ii" / "pipe.png").exists()


def test_undo_wants_a_record(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("{}")
    with pytest.raises(UsageError):
        undo(tmp_path / "record.json")


class _Page(HTMLParser):
    """What a page shows, what it would load, and whether its elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "action")]
        if tag not in ("meta", "img", "rect", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "rect":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_self_contained_and_safe(folder: Path) -> None:
    (folder / "val" / "i" / "copy<b>&.png").write_bytes((folder / "train" / "i" / "0.png").read_bytes())
    (folder / "val" / "i" / "bad.png").write_bytes(JPEG)
    shutil.rmtree(folder / "val" / "x")
    report = validate(folder, COMPETITION)
    pictures = thumbnails(report)
    assert "val/i/copy<b>&.png" in pictures
    page = _Page()
    html = to_html(report, pictures)
    page.feed(html)
    assert page.open == []
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.loads)
    assert "copy<b>&.png" in page.text
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert all(finding.message in page.text for finding in report.findings)
