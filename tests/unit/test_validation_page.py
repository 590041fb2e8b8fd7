"""The page with pictures that `cldc validate --report` writes."""

from __future__ import annotations

import shutil
from html.parser import HTMLParser
from pathlib import Path

from cldc import competition
from cldc.render.formats import render
from cldc.render.validation import validation_document
from cldc.validation import validate
from cldc.validation.thumbnails import thumbnails
from tests.support.folders import make_dataset

COMPETITION = competition.load()
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000")


class _Page(HTMLParser):
    """What a page shows, what it would load, and whether its elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "action")]
        if tag not in ("meta", "img", "rect", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "rect":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_self_contained_and_safe(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "digits")
    (folder / "val" / "i" / "copy<b>&.png").write_bytes((folder / "train" / "i" / "0.png").read_bytes())
    (folder / "val" / "i" / "bad.png").write_bytes(JPEG)
    shutil.rmtree(folder / "val" / "x")
    report = validate(folder, COMPETITION)
    pictures = thumbnails(report)
    assert "val/i/copy<b>&.png" in pictures
    page = _Page()
    html = render("html", validation_document(report, thumbnails=lambda: pictures))
    page.feed(html)
    assert page.open == []
    assert any(address.startswith("data:image/png;base64,") for address in page.loads)
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.loads)
    assert "copy<b>&.png" in page.text
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert all(finding.message in page.text for finding in report.findings)
