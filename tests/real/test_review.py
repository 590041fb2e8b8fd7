"""`cldc review` in a real browser, from the first key to the folder that `cldc apply` leaves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from cldc import competition, decisions
from tests.support.browser import SCHEMES, SIZES, chromium, reviewing, violations
from tests.support.commands import Cldc
from tests.support.folders import contents, make_dataset, png

pytestmark = pytest.mark.lasts(100)
CONFLICTS = "Same drawing, two labels"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def decided(folder: Path) -> list[str]:
    table = decisions.default_path(folder)
    return [each.describe() for each in decisions.read(table, competition.load().dataset)]


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def close(page: Page) -> None:
    """Close a page once everything is saved, as people do."""
    expect(page.locator("#progress")).not_to_contain_text("Saving")
    page.close()


def put(path: Path, content: bytes) -> None:
    """Put a file into a dataset at once: no look at it finds half of it."""
    new = path.parents[3] / path.name
    new.write_bytes(content)
    new.rename(path)


def go_to(page: Page, title: str) -> None:
    """Go from list to list by keyboard."""
    expect(page.get_by_role("button", name=title)).to_be_visible(timeout=60_000)
    for _ in range(30):
        if page.locator("#queue-title").inner_text() == title:
            return
        page.keyboard.press("]")
    raise AssertionError(f"no list is called {title}")


def test_ten_conflicts_are_resolved_by_keyboard_applied_and_undone(
    browser: Browser, cldc: Cldc, real_data: Path, tmp_path: Path
) -> None:
    """A person's whole way: from the list of conflicts to a folder without them, and back."""
    folder = tmp_path / "project" / "data"
    shutil.copytree(real_data / "data", folder)
    before = contents(folder)
    with reviewing(folder, cldc.home) as (address, printed):
        page = browser.new_page()
        page.goto(address)
        assert "token" not in page.url
        go_to(page, CONFLICTS)
        expect(page.locator("#queue-count")).to_have_text("10 groups of copies, 20 images")
        press(page, "a")  # the likely class: that of the other copy
        expect(page.get_by_role("status").first).to_contain_text("9 left here")
        press(page, "u")
        expect(page.get_by_role("button", name=CONFLICTS)).to_contain_text("10")
        press(page, *"aaaaaaaaaa")
        expect(page.get_by_role("button", name=CONFLICTS)).to_contain_text("0 of 10 left")
        expect(page.locator(".tile .state.relabel").first).to_have_text("→ viii")
        close(page)
    assert decided(folder) == ["relabel to viii"] * 10
    assert any("10 decisions, 10 of them new: 10 to relabel." in line for line in printed)
    assert f"Next: cldc apply {folder}" in printed
    assert contents(folder) == before

    cldc("apply", folder, "--yes")
    assert len(list((folder / "train" / "viii").glob("*.png"))) == 199 + 10
    rules = {finding["rule"] for finding in cldc("validate", folder, "--format", "json").data["findings"]}
    assert "drawing-two-labels" not in rules
    cldc("apply", folder, "--undo")
    assert contents(folder) == before


def test_a_selection_is_decided_at_once_and_survives_enlarging(
    browser: Browser, bare_cldc: Cldc, tmp_path: Path
) -> None:
    folder = make_dataset(tmp_path / "digits", train=4)
    with reviewing(folder, bare_cldc.home) as (address, _):
        page = browser.new_page()
        page.goto(address)
        grid = page.get_by_role("listbox")
        expect(grid).to_be_focused()
        selected = grid.locator("[aria-selected=true]")
        press(page, "Shift+ArrowRight", "Shift+ArrowRight")
        expect(selected).to_have_count(3)
        press(page, "Enter", "ArrowRight", "x", "Escape")
        expect(selected).to_have_count(3)
        press(page, "m")
        page.get_by_label("Search").fill("train/iii/")
        press(page, "Enter", "Control+a", "4")
        expect(page.get_by_role("button", name="Decided")).to_contain_text("7")
        press(page, "ArrowLeft", "l")
        expect(page.get_by_role("navigation").get_by_role("button", name="Later")).to_contain_text("1")
        close(page)
    assert sorted(decided(folder)) == ["move to val"] * 3 + ["relabel to iv"] * 4


def test_pictures_in_sight_do_not_wait_for_those_scrolled_past(
    browser: Browser, bare_cldc: Cldc, tmp_path: Path
) -> None:
    folder = make_dataset(tmp_path / "digits", train=30)
    with reviewing(folder, bare_cldc.home) as (address, _):
        page = browser.new_page()
        page.route("**/picture/small/*", lambda _: None)  # none arrives
        page.goto(address)
        expect(page.get_by_role("listbox")).to_be_focused()
        passed = str(page.locator(".tile img").nth(1).get_attribute("src"))
        put(folder / "val" / "x" / "new.png", png(99, width=9))  # draws what is in sight anew
        expect(page.get_by_role("status").first).to_contain_text("1 image added")
        with page.expect_event("requestfailed", lambda request: request.url.endswith(passed)):
            press(page, "End")
        page.unroute_all(behavior="ignoreErrors")
        page.close()


def damaged_dataset(tmp_path: Path) -> Path:
    folder = make_dataset(tmp_path / "digits")
    (folder / "train" / "i" / "bad.png").write_bytes(b"no picture")
    return folder


def wait_for_the_check(page: Page) -> None:
    """Wait until the check has found the image that is damaged."""
    listed = page.get_by_role("button", name="Images that TensorFlow can't read")
    expect(listed).to_be_visible(timeout=60_000)


def test_the_page_follows_decisions_made_elsewhere(browser: Browser, bare_cldc: Cldc, tmp_path: Path) -> None:
    folder = damaged_dataset(tmp_path)
    with reviewing(folder, bare_cldc.home) as (address, _):
        page, other = browser.new_page(), browser.new_page()
        for each in (page, other):
            each.goto(address)
            wait_for_the_check(each)
        press(page, "x")
        expect(other.get_by_role("button", name="Decided")).to_contain_text("1")
        table = decisions.default_path(folder)
        table.write_text(table.read_text(encoding="utf-8").replace("set-aside", "nonsense"), encoding="utf-8")
        expect(other.get_by_role("alert")).to_contain_text("Line 2")
        press(other, "x")
        expect(other.get_by_role("status").first).to_contain_text("Not saved")
        table.unlink()
        expect(other.get_by_role("alert")).to_be_hidden()
        other.close()
        page.close()


def test_the_page_follows_the_images_of_the_folder_until_the_review_ends(
    browser: Browser, bare_cldc: Cldc, tmp_path: Path
) -> None:
    folder = damaged_dataset(tmp_path)
    with reviewing(folder, bare_cldc.home) as (address, _):
        page = browser.new_page()
        page.goto(address)
        expect(page.locator(".tile.unshown")).to_contain_text("bad.png")
        wait_for_the_check(page)
        (folder / "train" / "i" / "0.png").rename(folder / "train" / "i" / "new.png")  # one change, not two
        expect(page.get_by_role("status").first).to_contain_text("1 image added, 1 image removed")
        expect(page.get_by_role("option", name="new.png")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("cldc review has ended")
    page.close()


def test_thousands_of_images_are_shown_by_drawing_those_in_sight(
    browser: Browser, cldc: Cldc, tmp_path: Path
) -> None:
    folder = make_dataset(tmp_path / "digits", train=300, val=30)
    with reviewing(folder, cldc.home) as (address, _):
        page = browser.new_page()
        page.goto(address)
        expect(page.locator("#queue-count")).to_have_text("3,300 images")
        press(page, "End")
        last = page.get_by_role("option", name="x val 9.png", exact=True)
        expect(last).to_be_visible()
        expect(last).to_have_attribute("aria-posinset", "3300")
        assert page.get_by_role("option").count() < 150
        press(page, "Control+a", "x")
        expect(page.get_by_role("button", name="Decided")).to_contain_text("3,300")
        press(page, "u")
        expect(page.get_by_role("button", name="Decided")).to_contain_text("0")
        close(page)
    assert decided(folder) == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: str(size[0]))
def test_axe_finds_nothing_wrong_in_it(
    browser: Browser, bare_cldc: Cldc, tmp_path: Path, size: tuple[int, int], scheme: str
) -> None:
    folder = make_dataset(tmp_path / "digits")
    shutil.copy(folder / "train" / "i" / "0.png", folder / "val" / "ii" / "copy.png")
    with reviewing(folder, bare_cldc.home) as (address, _):
        page = browser.new_page(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        page.goto(address)
        go_to(page, "Same file, two labels")
        press(page, "a", "ArrowLeft")
        found = violations(page, "list")
        press(page, "Enter")
        found += violations(page, "enlarged")
        press(page, "Escape", "?")
        found += violations(page, "keys")
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        close(page)
    assert not found, "\n".join(found)
