"""The pages that commands write, in a real browser: axe finds nothing wrong with them, in any size or scheme."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from cldc import competition
from cldc.insight import Insight, compare
from cldc.leaderboard import parse
from cldc.render.board_page import board_page
from cldc.render.comparison import comparison_document
from cldc.render.document import Page
from cldc.render.formats.html import render_page
from cldc.render.preflight_page import preflight_page
from cldc.render.validation_page import validation_page
from cldc.validation import validate
from cldc.validation.thumbnails import thumbnails
from tests.support.browser import SCHEMES, SIZES, chromium, violations
from tests.support.folders import make_dataset
from tests.support.insights import RESULT, images
from tests.unit.test_leaderboard import board, entry

pytestmark = pytest.mark.real
COMPETITION = competition.load()
PICTURE = ("data:image/png;base64,", "data:image/png;base64,")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def validation(folder: Path) -> Page:
    make_dataset(folder)
    shutil.copy(folder / "train" / "i" / "0.png", folder / "val" / "ii" / "copy.png")
    (folder / "val" / "i" / "bad.png").write_bytes(b"no picture")
    report = validate(folder, COMPETITION)
    return validation_page(report, lambda: thumbnails(report))


def preflight(_: Path) -> Page:
    learned = images(
        ("train/a/1.png", "s1", 0, 0.9), ("val/a/2.png", "s2", 0, 0.2), ("val/b/3.png", "s3", 1, 0.1)
    )
    return preflight_page(
        Insight(RESULT, learned), lambda: dict.fromkeys(("train/a/1.png", "val/b/3.png"), PICTURE)
    )


def comparison(_: Path) -> Page:
    before = images(
        ("train/a/1.png", "s1", 0, 0.9), ("val/a/2.png", "s2", 0, 0.8), ("val/b/3.png", "s3", 1, 0.9)
    )
    after = images(
        ("train/b/1.png", "s1", 1, 0.9), ("val/a/2.png", "s2", 0, 0.2), ("val/b/4.png", "s4", 1, 0.9)
    )
    found = compare(RESULT, before, RESULT, after)
    page = comparison_document(found, everything=False, pictures=lambda: {"val/a/2.png": PICTURE}).page
    assert page is not None
    return page


def leaderboard(_: Path) -> Page:
    rows = [entry(), entry(description="better (Lab)", user_name="you"), entry(created=1_600_000_500)]
    return board_page(parse(board(*rows), COMPETITION, account="me"), title=COMPETITION.title)


@pytest.mark.parametrize(
    "make", [validation, preflight, comparison, leaderboard], ids=lambda make: make.__name__
)
def test_axe_finds_nothing_wrong(browser: Browser, tmp_path: Path, make: object) -> None:
    assert callable(make)
    file = tmp_path / "page.html"
    file.write_text(render_page(make(tmp_path / "digits")), encoding="utf-8")
    found = []
    for width, height in SIZES:
        for scheme in SCHEMES:
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            page.goto(file.as_uri())
            page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
            found += violations(page, f"{width} {scheme}")
            page.close()
    assert not found, "\n".join(found)
