"""The pages that commands write, in a real browser: axe finds nothing wrong with them, in any size or scheme."""

from __future__ import annotations

import contextlib
import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from cldc import competition
from cldc.files import replace_atomically
from cldc.grading.model import Grade, Grading
from cldc.insight.comparing import compare_preflights
from cldc.insight.label_search import LabelProblem, LabelReport, RankedLabel
from cldc.insight.model import Insight
from cldc.insight.paired import TrainedModel
from cldc.leaderboard import parse
from cldc.render.board import board_page
from cldc.render.comparison import comparison_document
from cldc.render.document import Page
from cldc.render.grading import student_page
from cldc.render.html import render_page
from cldc.render.labels import labels_document
from cldc.render.preflight import preflight_document
from cldc.render.validation import validation_document
from cldc.validation import validate
from cldc.validation.thumbnails import thumbnails
from tests.support.browser import SCHEMES, SIZES, chromium, violations
from tests.support.folders import make_dataset
from tests.support.insights import RESULT, images
from tests.unit.test_leaderboard import board, entry

pytestmark = pytest.mark.lasts(40)
COMPETITION = competition.load()
NOW = datetime(2026, 2, 1, tzinfo=UTC)
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
    page = validation_document(report, thumbnails=lambda: thumbnails(report)).page
    assert page is not None
    return page


def preflight(_: Path) -> Page:
    predictions = images(
        ("train/a/1.png", "s1", 0, 0.9), ("val/a/2.png", "s2", 0, 0.2), ("val/b/3.png", "s3", 1, 0.1)
    )
    pictures = dict.fromkeys(("train/a/1.png", "val/b/3.png"), PICTURE)
    page = preflight_document(Insight(RESULT, predictions), None, lambda: pictures, next_command="").page
    assert page is not None
    return page


def comparison(_: Path) -> Page:
    before = images(
        ("train/a/1.png", "s1", 0, 0.9), ("val/a/2.png", "s2", 0, 0.8), ("val/b/3.png", "s3", 1, 0.9)
    )
    after = images(
        ("train/b/1.png", "s1", 1, 0.9), ("val/a/2.png", "s2", 0, 0.2), ("val/b/4.png", "s4", 1, 0.9)
    )
    found = compare_preflights(TrainedModel(RESULT, before), TrainedModel(RESULT, after))
    page = comparison_document(found, everything=False, pictures=lambda: {"val/a/2.png": PICTURE}).page
    assert page is not None
    return page


def labels(_: Path) -> Page:
    found = LabelReport(
        ("a", "b"),
        (
            RankedLabel(
                1, "train/a/1.png", "s1", "a", "b", 0.9, 0.1, 0.9, LabelProblem.OTHER_CLASS, ("b", "a")
            ),
            RankedLabel(2, "val/b/2.png", "s2", "b", "", 0.0, 0.0, 0.5, LabelProblem.BLANK, ()),
        ),
        noise=0.1,
    )
    page = labels_document(
        found, "digits", correct=0, top=None, pictures=lambda _: {"train/a/1.png": PICTURE}, next_command=""
    ).page
    assert page is not None
    return page


def grade(folder: Path) -> Page:
    make_dataset(folder)
    (folder / "val" / "i" / "bad.png").write_bytes(b"no picture")
    report = validate(folder, COMPETITION)
    scored = Grade(
        "ada", "ada.zip", NOW, score=0.9, rank=1, validation_accuracy=0.8, images=30, report=report
    )
    grading = Grading(COMPETITION.name, "accuracy", "2.4.1", 52, NOW, (scored,), ())
    return student_page(scored, grading)


def leaderboard(_: Path) -> Page:
    rows = [entry(), entry(description="better (Lab)", user_name="a" * 60), entry(created=1_600_000_500)]
    return board_page(parse(board(*rows), COMPETITION, account="me"), title=COMPETITION.title)


@pytest.mark.parametrize(
    ("make", "query"),
    [
        (validation, ""),
        (preflight, ""),
        (comparison, ""),
        (labels, ""),
        (grade, ""),
        (leaderboard, ""),
        (leaderboard, "?projector"),
    ],
)
def test_axe_finds_nothing_wrong(browser: Browser, tmp_path: Path, make: object, query: str) -> None:
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
            page.goto(file.as_uri() + query)
            page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
            found += violations(page, f"{width} {scheme}")
            wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
            found += [f"{width} {scheme}: wider than the screen"] if wide else []
            page.close()
    assert not found, "\n".join(found)


def write_board(folder: Path, *rows: object, passes: int) -> None:
    read = parse(board(*rows), COMPETITION)
    read = replace(read, updated=read.updated + timedelta(minutes=passes))
    page = render_page(board_page(read, title=COMPETITION.title))
    replace_atomically(folder / "index.html", page, mode=0o644)


@pytest.mark.parametrize("served", [True, False], ids=["http", "file"])
def test_a_board_updates_itself_and_leaves_who_reads_it_where_they_are(
    browser: Browser, tmp_path: Path, served: bool
) -> None:
    rows = [entry(created=1_600_000_000 + at, user_name=f"student{at}") for at in range(60)]
    write_board(tmp_path, *rows, passes=0)
    with serving(tmp_path) as address:
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.clock.install()
        page.goto(f"{address}/index.html" if served else (tmp_path / "index.html").as_uri())
        page.locator("summary", has_text="student7").click()
        page.evaluate("scrollTo(0, 1000)")
        page.get_by_role("button", name="Pause updates").evaluate("button => button.click()")
        write_board(tmp_path, *rows, entry(user_name="newcomer"), passes=1)
        page.clock.run_for(120_000)
        assert page.locator("#summary").inner_text().startswith("60 entries")
        page.get_by_role("button", name="Resume updates").evaluate("button => button.click()")
        expect(page.locator("#summary")).to_contain_text("61 entries of 61 contestants")
        expect(page.locator(".board")).to_contain_text("newcomer")
        expect(page.locator("details[open]")).to_have_count(1)
        expect(page.locator("details[open] h3")).to_have_text("student7")
        assert page.evaluate("scrollY") == 1000
        if served:
            expect(page.get_by_role("status")).to_contain_text("The board has changed: 61 entries")
            (tmp_path / "index.html").unlink()
            page.clock.run_for(31_000)
            expect(page.get_by_role("status")).to_contain_text("goes on trying")
            expect(page.locator("#summary")).to_contain_text("61 entries")
        page.close()


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A plain web server of files."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass
